"""Two studies, or two subsets of runs, side by side: on every benchmark and step the paired difference, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ray_study.analyze.agreement import Agreement, Verdict, agreement, detectable_paired, refused
from ray_study.analyze.comparisons import holm, item_means, paired_difference
from ray_study.analyze.judged import MEANS
from ray_study.analyze.pairing import Pair, choose, pair_runs
from ray_study.analyze.same_exam import Graded, differences, notes, reasons
from ray_study.analyze.statistics import independent_units
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import benchmark_cards, find_attempts, study_trajectories
from ray_study.rows import Group

MOST_SENTENCES = 8
"""Of clear differences; the table has the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison: a study and which of its runs."""

    name: str
    study: StudyTables
    wanted: tuple[str, ...] = ()
    """`KEY=VALUE` of its runs; empty takes all that did not fail."""

    @property
    def title(self) -> str:
        """The name of its study, and which runs of it."""
        study = str(self.study.facts.get("name") or "study")
        return f"{study}, {' and '.join(self.wanted)}" if self.wanted else study


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One step of a pair of runs on one benchmark. Missing numbers are None."""

    pair: str
    label_a: str
    label_b: str
    run_a: str
    run_b: str
    benchmark: str
    group: Group
    metric: str
    step: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    """B less A, over the items that both answered and that could be judged."""
    standard_error: float | None
    low: float | None
    high: float | None
    """The 95 % interval of the difference, of this comparison by itself."""
    p_value: float | None
    p_adjusted: float | None
    """By Holm, for all steps, benchmarks and pairs that were compared."""
    detectable: float | None
    """The smallest difference that would have been seen four times in five, by this comparison alone."""
    num_items: int
    verdict: Verdict
    why: str
    """Why it is not comparable; empty otherwise."""
    note: str
    """What must be said beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that two sides have in common, and what only one of them has."""

    title_a: str
    title_b: str
    pairs: tuple[Pair, ...]
    rows: tuple[Compared, ...]
    left_out: tuple[str, ...]
    """In words: runs without a partner, benchmarks and steps that one side lacks."""


def compare_studies(a: Side, b: Side, *, mixed: bool = False) -> Comparison:
    """Two sides compared, run by run that belong together, item by item.

    Args:
        a: what B is compared to.
        b: the other side; a difference is B less A.
        mixed: whether checkpoints that were measured under other conditions are compared all the same, and marked.

    Raises:
        ValueError: a side has no such run, or nothing on one side belongs to anything on the other.
    """
    runs = [choose(side.study.runs, side.wanted, side.name) for side in (a, b)]
    pairs, alone = pair_runs(*runs)
    if not pairs:
        raise ValueError(
            f"no run of A ({a.title}) belongs to one of B ({b.title}): they are alike in some settings, but in no pair of runs in all of "
            "these; name the runs with --runs-a and --runs-b"
        )
    itself = [pair.a.name for pair in pairs if a.study is b.study and pair.a.id == pair.b.id]
    if itself:
        raise ValueError(f"{itself[0]!r} would be compared to itself; say with --runs-a and --runs-b which runs are which side")
    rows = [row for pair in pairs for row in _rows(a.study, b.study, pair, mixed=mixed)]
    return Comparison(
        title_a=a.title, title_b=b.title, pairs=tuple(pairs), rows=tuple(_judged(rows)), left_out=(*_alone(alone), *_apart(a, b, pairs))
    )


def _rows(a: StudyTables, b: StudyTables, pair: Pair, *, mixed: bool) -> Iterator[Compared]:
    """A row for every benchmark and step that both runs have attempts of."""
    graded_a, graded_b = find_attempts(a), find_attempts(b)
    cards_b = {card.benchmark: card for card in benchmark_cards(b)}
    declared = [dict(study.facts.get("declared") or {}) for study in (a, b)]
    models = [each.get("models", {}).get(run.model) for each, run in zip(declared, (pair.a, pair.b), strict=True)]
    same_model = pair.a.model == pair.b.model if a is b else models[0] is not None and models[0] == models[1]
    for card in benchmark_cards(a):
        if card.benchmark not in cards_b:
            continue
        exams = [each.get("benchmarks", {}).get(card.benchmark) for each in declared]
        other = differences(exams[0], exams[1], (card, cards_b[card.benchmark]))
        for step in _steps(a, b, pair, card.benchmark):
            one, two = graded_a(pair.a.id, step, card.benchmark), graded_b(pair.b.id, step, card.benchmark)
            begun = _begun(pair, card.benchmark, card.group, card.metric, step)
            if not one or not two:
                yield replace(begun, why=f"nothing to compare: {'A' if not one else 'B'} has no attempts here")
            # Both runs start from one checkpoint, whose answers cannot differ from themselves.
            elif one != two:
                stops = [*other, *reasons(one, two, same_model=same_model, mixed=mixed)]
                yield _measured(begun, one, two, stops)


def _steps(a: StudyTables, b: StudyTables, pair: Pair, benchmark: str) -> list[int]:
    """The steps at which both runs were to sit a benchmark."""
    found = [
        {point.step for each in study_trajectories(study) if (each.run.id, each.benchmark) == (run.id, benchmark) for point in each.points}
        for study, run in ((a, pair.a), (b, pair.b))
    ]
    return sorted(found[0] & found[1])


def _begun(pair: Pair, benchmark: str, group: Group, metric: str, step: int) -> Compared:
    return Compared(
        pair=pair.label,
        label_a=pair.label_a,
        label_b=pair.label_b,
        run_a=pair.a.id,
        run_b=pair.b.id,
        benchmark=benchmark,
        group=group,
        metric=metric,
        step=step,
        value_a=None,
        value_b=None,
        difference=None,
        standard_error=None,
        low=None,
        high=None,
        p_value=None,
        p_adjusted=None,
        detectable=None,
        num_items=0,
        verdict="not comparable",
        why="",
        note="",
    )


def _measured(begun: Compared, a: Graded, b: Graded, stops: Sequence[str]) -> Compared:
    """The row with both sides' values, and with their difference where nothing stops it."""
    means = [item_means(side) for side in (a, b)]
    if stops:
        return replace(
            begun, value_a=_mean(means[0]), value_b=_mean(means[1]), num_items=len(set(means[0]) & set(means[1])), why="; ".join(stops)
        )
    shared = sorted(set(means[0]) & set(means[1]))
    cluster_of = {each.problem_id: each.cluster for each in a}
    found = paired_difference(means[0], means[1], cluster_of)
    num_units = len(set(independent_units(shared, [cluster_of[item] for item in shared])))
    return replace(
        begun,
        # On the shared items, so that the difference is that of the two numbers beside it.
        value_a=_mean({item: means[0][item] for item in shared}),
        value_b=_mean({item: means[1][item] for item in shared}),
        difference=found.estimate.value,
        standard_error=found.estimate.standard_error,
        low=found.estimate.low,
        high=found.estimate.high,
        p_value=found.p_value,
        detectable=detectable_paired(found.estimate, num_units),
        num_items=found.estimate.num_items,
        note="; ".join(notes(a, b)),
    )


def _mean(means: dict[str, float]) -> float | None:
    return sum(means.values()) / len(means) if means else None


def _judged(rows: Sequence[Compared]) -> list[Compared]:
    """The rows with their verdicts, adjusted for all that were tested."""
    tested = [number for number, row in enumerate(rows) if row.p_value is not None]
    adjusted = dict(zip(tested, holm([rows[number].p_value or 0.0 for number in tested]), strict=True))
    found = []
    for number, row in enumerate(rows):
        p_adjusted = adjusted.get(number)
        said = _said(row, p_adjusted)
        found.append(replace(row, p_adjusted=p_adjusted, verdict=said.verdict, why=said.why))
    return found


def _said(row: Compared, p_adjusted: float | None) -> Agreement:
    return refused(row.why) if row.why else agreement(p_adjusted, row.detectable, is_share=row.metric not in MEANS)


def _alone(names: Sequence[str]) -> list[str]:
    return [f"Without a partner on the other side: {'; '.join(names)}."] if names else []


def _apart(a: Side, b: Side, pairs: Sequence[Pair]) -> Iterator[str]:
    """Benchmarks and steps that one side lacks."""
    ours, theirs = ({card.benchmark for card in benchmark_cards(side.study)} for side in (a, b))
    for name, only in (("A", ours - theirs), ("B", theirs - ours)):
        if only:
            yield f"Only {name} has {', '.join(sorted(only))}."
    runs = [{pair.a.id for pair in pairs}, {pair.b.id for pair in pairs}]
    steps = [{each.step for each in side.study.checkpoints if each.run in owners} for side, owners in zip((a, b), runs, strict=True)]
    for name, steps_only in (("A", steps[0] - steps[1]), ("B", steps[1] - steps[0])):
        if steps_only:
            yield f"Only {name} has checkpoints at the steps {', '.join(map(str, sorted(steps_only)))}."


def summary(found: Comparison) -> list[str]:
    """What the comparison says, in sentences made from its numbers."""
    counts = {word: [row for row in found.rows if row.verdict == word] for word in ("differs", "agrees", "not comparable")}
    said = ", ".join(f"{word} {len(rows)}" for word, rows in counts.items())
    sentences = [f"Pairs of runs: {len(found.pairs)}. Comparisons of one benchmark at one step: {len(found.rows)}; {said}."]
    for row in counts["differs"][:MOST_SENTENCES]:
        where = f"{row.benchmark} at step {row.step}" + (f" ({row.pair})" if row.pair else "")
        side = "B" if (row.difference or 0.0) > 0 else "A"
        sentences.append(f"{where}: {side} is higher, {_number(row, row.value_a)} in A and {_number(row, row.value_b)} in B.")
    if len(counts["differs"]) > MOST_SENTENCES:
        sentences.append(f"{len(counts['differs']) - MOST_SENTENCES} more clear differences are in the table.")
    why = Counter(row.why for row in counts["not comparable"])
    return [*sentences, *(f"Not comparable, {count}: {reason}." for reason, count in why.most_common()), *found.left_out]


def _number(row: Compared, value: float | None) -> str:
    return "missing" if value is None else f"{value:.2f}" if row.metric in MEANS else f"{100 * value:.1f} %"
