"""Our scores beside the numbers that the paper prints: `agrees`, `differs`, or `not comparable`, and why.

A score is set beside a printed number only where what is declared of its model, data set, recipe, step and exam is that of the number.
Nothing is matched by what people call things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_study.analyze.aggregates import as_wholes
from ray_study.analyze.agreement import Verdict, agreement, difference_of_shares, refused
from ray_study.analyze.comparisons import holm
from ray_study.analyze.layout import run_labels
from ray_study.analyze.paper_match import Matched, match_exam, match_model, match_training
from ray_study.analyze.published import SOURCE, Published, cells, exams
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import Point, Trajectory, benchmark_cards, study_trajectories
from ray_study.rows import BenchmarkCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One of our scores beside the printed number of the same checkpoint on the same exam. Shares of 1; missing numbers are None."""

    run: str
    label: str
    model: str
    dataset: str
    benchmark: str
    metric: str
    step: int
    ours: float | None
    num_answers: int
    """Ours: items times samples."""
    published: float
    published_num_answers: int | None
    table: str
    read_by: str
    difference: float | None
    """Ours less the printed number."""
    low: float | None
    high: float | None
    """Our 95 % interval of the difference, over what either side's model might have answered to the same items."""
    p_value: float | None
    p_adjusted: float | None
    """By Holm, for all that were compared."""
    detectable: float | None
    """The smallest difference that would have been seen four times in five."""
    verdict: Verdict
    why: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstPaper:
    """What can be set beside the paper, and why the rest cannot."""

    rows: tuple[Beside, ...]
    num_scores: int
    """Of our scores that were looked at: every run and benchmark at every step."""
    reasons: tuple[tuple[str, int], ...]
    """Why scores have no printed number beside them, with how many; one score may have several reasons."""


def against_paper(study: StudyTables) -> AgainstPaper:
    """Every score of a study beside the paper's number, where there is one of the same thing; parts as their whole, as it prints them."""
    study = as_wholes(study)
    declared = dict(study.facts.get("declared") or {})
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    cards = {card.benchmark: card for card in benchmark_cards(study)}
    printed = {_key(cell): cell for cell in cells()}
    rows: dict[tuple[str, str, int], Beside] = {}
    reasons: Counter[str] = Counter()
    looked_at = [each for each in study_trajectories(study) if each.run.stage == "sft"]
    seen = _Seen(study)
    for each in looked_at:
        card = cards[each.benchmark]
        exam = match_exam(declared, card)
        model = match_model(declared, each.run)
        training = match_training(declared, study.facts, each.run, model.value)
        for point in seen.once(each):
            matches = [model, exam, *([training] if point.step else [])]
            stops = list(dict.fromkeys(reason for match in matches for reason in match.reasons))
            cell = None if stops else _find(printed, model, exam, training, (each.metric, point.step))
            if cell is None:
                reasons.update(stops or [f"the paper prints no number at step {point.step}"])
                continue
            note = "; ".join(note for match in matches for note in match.notes)
            rows[each.run.id, each.benchmark, point.step] = _beside(each, point, (labels[each.run.id], card, cell, note))
    return AgainstPaper(rows=tuple(_judged(list(rows.values()))), num_scores=seen.count, reasons=tuple(reasons.most_common()))


class _Seen:
    """Points with a value, each once: step 0 of all runs of a model is one checkpoint."""

    def __init__(self, study: StudyTables) -> None:
        """Knows which checkpoints have the same weights."""
        self._weights = {(each.run, each.step): each.fingerprint for each in study.checkpoints if each.fingerprint}
        self._taken: set[tuple[str, str]] = set()
        self.count = 0

    def once(self, each: Trajectory) -> list[Point]:
        """The points of a trajectory that no other had, and that have a value."""
        found = []
        for point in each.points:
            key = (self._weights.get((each.run.id, point.step), f"{each.run.id}@{point.step}"), f"{each.benchmark} {each.metric}")
            if point.value is not None and key not in self._taken:
                self._taken.add(key)
                self.count += 1
                found.append(point)
        return found


def _key(cell: Published) -> tuple[Any, ...]:
    recipe = (cell.num_examples, cell.epochs, cell.batch_size, cell.learning_rate, cell.schedule)
    return (cell.model, cell.dataset, recipe, cell.step, cell.benchmark, cell.metric)


def _find(
    printed: Mapping[tuple[Any, ...], Published], model: Matched, exam: Matched, training: Matched, what: tuple[str, int]
) -> Published | None:
    """The printed number of a checkpoint; that of the base model has no data set and no recipe."""
    metric, step = what
    dataset, recipe = (training.value, training.recipe) if step else ("", (None, None, None, None, ""))
    return printed.get((model.value, dataset, recipe, step, exam.value, metric))


def _beside(each: Trajectory, point: Point, what: tuple[str, BenchmarkCard, Published, str]) -> Beside:
    label, card, cell, note = what
    assert point.score is not None, "a point with a value has a score"
    row = Beside(
        run=each.run.id,
        label=label if point.step else each.run.model,
        model=cell.model,
        dataset=cell.dataset,
        benchmark=each.benchmark,
        metric=each.metric,
        step=point.step,
        ours=point.value,
        num_answers=point.score.num_items * card.num_samples,
        published=cell.share,
        published_num_answers=exams()[cell.benchmark].num_answers,
        table=cell.table,
        read_by=cell.read_by,
        difference=None,
        low=None,
        high=None,
        p_value=None,
        p_adjusted=None,
        detectable=None,
        verdict="not comparable",
        why=f"the printed number is in doubt: {cell.doubt}" if cell.doubt else "",
        note=note,
    )
    if row.why or row.ours is None or row.published_num_answers is None:
        return row
    found, p_value, detectable = difference_of_shares(row.ours, row.published, row.num_answers, row.published_num_answers)
    return replace(row, difference=found.value, low=found.low, high=found.high, p_value=p_value, detectable=detectable)


def _judged(rows: Sequence[Beside]) -> list[Beside]:
    """The rows with their verdicts, adjusted for all that were compared."""
    tested = [number for number, row in enumerate(rows) if row.p_value is not None]
    adjusted = dict(zip(tested, holm([rows[number].p_value or 0.0 for number in tested]), strict=True))
    found = []
    for number, row in enumerate(rows):
        said = refused(row.why) if row.why else agreement(adjusted.get(number), row.detectable, is_share=True)
        found.append(replace(row, p_adjusted=adjusted.get(number), verdict=said.verdict, why=said.why))
    return found


def sentences(found: AgainstPaper) -> list[str]:
    """What came of setting a study beside the paper, in sentences made from the numbers."""
    beside = Counter(row.verdict for row in found.rows)
    without = found.num_scores - len(found.rows)
    said = []
    if found.rows:
        counts = ", ".join(f"{word} {beside[word]}" for word in ("agrees", "differs", "not comparable"))
        said.append(f"{len(found.rows)} of {found.num_scores} scores have a printed number of the same checkpoint and exam: {counts}.")
    if without:
        begin = f"{without} of {found.num_scores} scores cannot be set beside {SOURCE}"
        begin = begin if found.rows else f"None of {found.num_scores} scores can be set beside {SOURCE}"
        said.append(f"{begin}: {'; '.join(f'{reason} ({count})' for reason, count in found.reasons)}.")
    return said or [f"There are no scores to set beside {SOURCE}."]
