"""What a study found, in numbers and sentences made from them: first against last step, dips, gaps, mixed conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ray_study.analyze.bootstrap import curves_of_attempts
from ray_study.analyze.comparisons import Difference, compare, holm
from ray_study.analyze.dips import LEVEL, Dip, find_dip
from ray_study.analyze.layout import run_labels
from ray_study.analyze.makeup import MadeOf, made_of
from ray_study.analyze.shapes import shape_row, shapes_summary
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import Trajectory, accuracy_at_cap, benchmark_cards, find_attempts, study_trajectories
from ray_study.rows import GradedAttempt, Group, Score

MOST_SENTENCES = 8
"""Past these the final table says it better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One run on one benchmark: the first step, the last, and what lies between them. Missing numbers are None."""

    run: str
    label: str
    benchmark: str
    group: Group
    metric: str
    first_step: int
    first: Score | None
    last_step: int | None
    """None where there is only one step."""
    last: Score | None
    difference: Difference | None
    """Last - first on the same items; None without the attempts of both."""
    dip: Dip | None
    dip_p_value: float | None
    """Of the fall, adjusted (Holm) for all runs and benchmarks looked at."""
    made_of: MadeOf | None
    """What the fall to the bottom is made of, where it is clear."""
    num_missing: int
    mixed_conditions: bool
    """Whether the points of this trajectory were measured under different conditions."""


_NO_CHANGE = Change(
    run="",
    label="",
    benchmark="",
    group="general",
    metric="",
    first_step=0,
    first=None,
    last_step=None,
    last=None,
    difference=None,
    dip=None,
    dip_p_value=None,
    made_of=None,
    num_missing=0,
    mixed_conditions=False,
)


def changes(study: StudyTables) -> list[Change]:
    """The change of every run that did not fail on every benchmark, by group, benchmark and run."""
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    order = {card.benchmark: number for number, card in enumerate(benchmark_cards(study))}
    found = sorted(study_trajectories(study), key=lambda each: order.get(each.benchmark, len(order)))
    attempts = find_attempts(study)
    by_step = [
        {point.step: graded for point in each.points if (graded := attempts(each.run.id, point.step, each.benchmark))} for each in found
    ]
    dips = [_dip_of(graded) for graded in by_step]
    tested = [number for number, each in enumerate(dips) if each is not None]
    adjusted = dict(zip(tested, holm([each.p_value for each in dips if each is not None]), strict=True))
    return [_change(each, labels[each.run.id], by_step[number], dips[number], adjusted.get(number)) for number, each in enumerate(found)]


def _dip_of(by_step: dict[int, tuple[GradedAttempt, ...]]) -> Dip | None:
    return find_dip(curves_of_attempts([by_step])) if 0 in by_step else None


def _made_of(by_step: dict[int, tuple[GradedAttempt, ...]], found: Dip | None) -> MadeOf | None:
    if found is None or found.p_value >= LEVEL:
        return None
    return made_of((0, by_step[0]), (found.bottom_step, by_step[found.bottom_step]))


def _change(
    each: Trajectory, label: str, by_step: dict[int, tuple[GradedAttempt, ...]], dipped: Dip | None, dip_p_value: float | None
) -> Change:
    first, last = each.points[0], each.points[-1]
    both = len(each.points) > 1 and first.step in by_step and last.step in by_step
    conditions = {attempt.conditions for graded in by_step.values() for attempt in graded if attempt.finish_reason != "refused"}
    return Change(
        run=each.run.id,
        label=label,
        benchmark=each.benchmark,
        group=each.group,
        metric=each.metric,
        first_step=first.step,
        first=first.score,
        last_step=last.step if len(each.points) > 1 else None,
        last=last.score if len(each.points) > 1 else None,
        difference=compare(by_step[first.step], by_step[last.step]) if both else None,
        dip=dipped,
        dip_p_value=dip_p_value,
        made_of=_made_of(by_step, dipped),
        num_missing=each.num_missing,
        mixed_conditions=len(conditions) > 1,
    )


_TEXT = ("run", "label", "benchmark", "group", "metric", "shape")
_WHOLE = (
    "bottom_step",
    "recovery_step",
    "first_step",
    "last_step",
    "first_num_items",
    "first_num_unjudged",
    "last_num_items",
    "last_num_unjudged",
    "num_missing",
)


def final_table(study: StudyTables) -> pl.DataFrame:
    """The scores of each run on each benchmark at its first and last step, with standard errors, as a table of plain numbers."""
    rows = [flat(change) for change in changes(study)]
    names = list(flat(_NO_CHANGE))
    # Types by name: a column in which everything is missing keeps its type.
    schema: dict[str, type[pl.DataType]] = {
        name: pl.String if name in _TEXT else pl.Int64 if name in _WHOLE else pl.Boolean if name == "mixed_conditions" else pl.Float64
        for name in names
    }
    return pl.DataFrame(rows, schema=schema)


BESIDE = ("lenient_accuracy", "share_boxed", "share_finished", "response_tokens")
"""What stands beside a strict score: being right without the form, the form, the end, and the length."""


def beside(study: StudyTables, found: Sequence[Change]) -> list[dict[str, Any]]:
    """For each change that has any: the `BESIDE` metrics at its first and its last step, None where one is missing."""
    by_metric = {(each.run.id, each.benchmark, each.metric): each for each in study_trajectories(study, metrics=BESIDE)}
    rows: list[dict[str, Any]] = []
    for change in found:
        values: dict[str, tuple[float | None, float | None]] = {}
        for metric in BESIDE:
            each = by_metric.get((change.run, change.benchmark, metric))
            by_step = {point.step: point.value for point in each.points} if each else {}
            # Without a last step there is nothing beside it.
            values[metric] = (by_step.get(change.first_step), by_step.get(-1 if change.last_step is None else change.last_step))
        if any(value is not None for pair in values.values() for value in pair):
            rows.append({"benchmark": change.benchmark, "label": change.label, "metrics": values})
    return rows


def flat(change: Change) -> dict[str, Any]:
    """A change as one row of plain numbers."""
    row: dict[str, Any] = {
        name: getattr(change, name) for name in ("run", "label", "benchmark", "group", "metric", "first_step", "last_step")
    }
    for when, score in (("first", change.first), ("last", change.last)):
        row |= {f"{when}_{key}": getattr(score, key, None) for key in ("value", "standard_error", "low", "high")}
        row |= {f"{when}_{key}": getattr(score, key, None) for key in ("num_items", "num_unjudged")}
    estimate = change.difference.estimate if change.difference else None
    return row | {
        "difference": estimate.value if estimate else None,
        "difference_standard_error": estimate.standard_error if estimate else None,
        "difference_p_value": change.difference.p_value if change.difference else None,
        **shape_row(change.dip),
        "dip_p_value": change.dip_p_value,
        "num_missing": change.num_missing,
        "mixed_conditions": change.mixed_conditions,
    }


def answer(study: StudyTables, found: Sequence[Change]) -> list[str]:
    """The answer in a few sentences, each made from the numbers: every group as a whole, in domain run by run, then dips and warnings."""
    if not found:
        failed = sum(run.status == "failed" for run in study.runs)
        return [f"There is no answer yet: none of the {len(study.runs)} runs has a score ({failed} failed)."]
    in_domain = [change for change in found if change.group == "in_domain"]
    shown = in_domain or list(found)
    sentences = [] if in_domain else ["The study has no in-domain benchmark."]
    sentences += _by_group(found)
    sentences += [sentence(change) for change in shown[:MOST_SENTENCES]]
    if len(shown) > MOST_SENTENCES:
        sentences.append(f"{len(shown) - MOST_SENTENCES} more runs and benchmarks like these are in the final table.")
    return [*sentences, _dips(found), *_warnings(study, found)]


def sentence(change: Change) -> str:
    """One run on one benchmark in a sentence: both scores with their intervals, whether those overlap, and the paired difference."""
    begin = f"{change.benchmark}, {change.label}: "
    first, last = change.first, change.last
    if change.last_step is None:
        return f"{begin}{_with_interval(first)} at step {change.first_step}, the only step, so nothing can be said of change."
    text = f"{begin}{_with_interval(first)} at step {change.first_step}, {_with_interval(last)} at step {change.last_step}"
    if first is None or last is None or first.value is None or last.value is None:
        return f"{text}; with one of them missing nothing can be said of change."
    if None not in (first.low, first.high, last.low, last.high):
        text += f"; the 95 % intervals {'overlap' if _overlap(first, last) else 'do not overlap'}"
    return f"{text}. {_paired(change)}".strip()


def _paired(change: Change) -> str:
    if change.difference is None or change.difference.estimate.value is None:
        return ""
    estimate, p_value = change.difference.estimate, change.difference.p_value
    error = "" if estimate.standard_error is None else f" (SE {100 * estimate.standard_error:.1f})"
    verdict = "" if p_value is None else f", {'a clear change' if p_value < 0.05 else 'not a clear change'} (p = {p_value:.2g})"
    return f"On the same {estimate.num_items} items the difference is {100 * (estimate.value or 0.0):+.1f} points{error}{verdict}."


def _with_interval(score: Score | None) -> str:
    if score is None or score.value is None:
        return "missing"
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}"


def _overlap(first: Score, last: Score) -> bool:
    return (first.low or 0.0) <= (last.high or 0.0) and (last.low or 0.0) <= (first.high or 0.0)


def _by_group(found: Sequence[Change]) -> list[str]:
    """For every group, how many runs rose, fell or did not clearly change."""
    sentences = []
    for group in dict.fromkeys(change.group for change in found):
        judged = [change for change in found if change.group == group and change.difference and change.difference.p_value is not None]
        clear = [change.difference.estimate.value or 0.0 for change in judged if change.difference and _is_clear(change)]
        rose, fell = sum(value > 0 for value in clear), sum(value < 0 for value in clear)
        if judged:
            sentences.append(
                f"{group.replace('_', ' ').capitalize()}: of {len(judged)} comparisons of the last with the first step, {rose} rose, "
                f"{fell} fell and {len(judged) - rose - fell} did not clearly change (paired, each at p < 0.05, not adjusted)."
            )
    return sentences


def _is_clear(change: Change) -> bool:
    return change.difference is not None and change.difference.p_value is not None and change.difference.p_value < 0.05


def _dips(found: Sequence[Change]) -> str:
    return shapes_summary([(f"{each.benchmark} with {each.label}", each.dip, each.dip_p_value) for each in found if each.dip])


def _warnings(study: StudyTables, found: Sequence[Change]) -> list[str]:
    """What a reader must know before believing the above."""
    failed = sum(run.status == "failed" for run in study.runs)
    missing = sum(change.num_missing for change in found)
    mixed = sum(change.mixed_conditions for change in found)
    sentences = []
    if failed:
        sentences.append(f"{failed} of {len(study.runs)} runs failed and are in no curve.")
    if missing:
        sentences.append(f"{missing} points are missing; they are drawn as gaps and counted nowhere as zero.")
    if mixed:
        sentences.append(f"{mixed} trajectories mix measuring conditions, which alone can move scores by points.")
    if len({run.seed for run in study.runs}) < 2:
        sentences.append("Every run has the same seed, so the intervals say nothing of how much another seed would differ.")
    return sentences


def caps_table(study: StudyTables) -> list[dict[str, Any]]:
    """The accuracy at the last step if the cap had been a quarter or half of what it was, for every run and benchmark with attempts."""
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    attempts = find_attempts(study)
    rows: list[dict[str, Any]] = []
    for each in study_trajectories(study, metrics=["accuracy"]):
        graded = attempts(each.run.id, each.points[-1].step, each.benchmark)
        if graded:
            cap = max(attempt.cap for attempt in graded)
            shares = {name: accuracy_at_cap(graded, max(1, cap // by)).value for name, by in (("quarter", 4), ("half", 2), ("full", 1))}
            rows.append({"label": labels[each.run.id], "benchmark": each.benchmark, "step": each.points[-1].step, "cap": cap} | shares)
    return rows


def missing_cells(study: StudyTables, found: Sequence[Trajectory]) -> list[str]:
    """Every checkpoint and benchmark without a value, in words."""
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    return [
        f"{labels[each.run.id]}, step {point.step}, {each.benchmark}: "
        + ("not scored" if point.score is None else "nothing could be judged")
        for each in found
        for point in each.points
        if point.value is None
    ]
