"""What a study found, in numbers and sentences made from them: first against last step, dips, gaps, mixed conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from ray_study.analyze.bootstrap import curves_of_attempts
from ray_study.analyze.comparisons import Difference, compare, holm
from ray_study.analyze.dips import LEVEL, Dip, find_dip
from ray_study.analyze.layout import run_labels
from ray_study.analyze.makeup import MadeOf, made_of
from ray_study.analyze.peaks import Peak, find_peak
from ray_study.analyze.shapes import peak_row, shape_row
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import Trajectory, accuracy_at_cap, benchmark_cards, find_attempts, study_trajectories
from ray_study.rows import GradedAttempt, Group, Score


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
    difference_p_value: float | None
    """Of the difference, adjusted (Holm) for all runs and benchmarks: the family is the last step against the first one, everywhere."""
    dip: Dip | None
    dip_p_value: float | None
    """Of the fall, adjusted (Holm) for all runs and benchmarks looked at."""
    peak: Peak | None
    """The largest fall from an earlier high above step 0; None where there is no such high."""
    peak_p_value: float | None
    """Of having risen to it and fallen from it, adjusted (Holm) for all runs and benchmarks looked at."""
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
    difference_p_value=None,
    dip=None,
    dip_p_value=None,
    peak=None,
    peak_p_value=None,
    made_of=None,
    num_missing=0,
    mixed_conditions=False,
)


ByStep = Mapping[int, tuple[GradedAttempt, ...]]


def all_attempts_by_step(study: StudyTables) -> dict[tuple[str, str], ByStep]:
    """(run id, benchmark) -> step -> the attempts of that checkpoint, or of one with the same weights; steps without any are left out."""
    attempts = find_attempts(study)
    return {
        (each.run.id, each.benchmark): {
            point.step: graded for point in each.points if (graded := attempts(each.run.id, point.step, each.benchmark))
        }
        for each in study_trajectories(study)
    }


def changes(study: StudyTables, by_step: Mapping[tuple[str, str], ByStep] | None = None) -> list[Change]:
    """The change of every run that did not fail on every benchmark, by group, benchmark and run.

    Args:
        study: the study.
        by_step: what `all_attempts_by_step` says of it, where that is known already.
    """
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    order = {card.benchmark: number for number, card in enumerate(benchmark_cards(study))}
    found = sorted(study_trajectories(study), key=lambda each: order.get(each.benchmark, len(order)))
    graded = all_attempts_by_step(study) if by_step is None else by_step
    made = [_change(each, labels[each.run.id], graded.get((each.run.id, each.benchmark), {})) for each in found]
    return _adjusted(made)


def _adjusted(made: Sequence[Change]) -> list[Change]:
    """The changes with their p-values adjusted (Holm) in three families: all dips, all falls from a high, all last steps against first."""
    # What has no high above step 0 was looked at too, and counts as one.
    peaks = {number: 1.0 if each.peak is None else each.peak.p_value for number, each in enumerate(made) if each.dip is not None}
    dips = {number: each.dip.p_value for number, each in enumerate(made) if each.dip is not None}
    last = {
        number: each.difference.p_value
        for number, each in enumerate(made)
        if each.difference is not None and each.difference.p_value is not None
    }
    of_dips = dict(zip(dips, holm(list(dips.values())), strict=True))
    of_last = dict(zip(last, holm(list(last.values())), strict=True))
    of_peaks = dict(zip(peaks, holm(list(peaks.values())), strict=True))
    return [
        replace(
            each,
            dip_p_value=of_dips.get(number),
            peak_p_value=None if each.peak is None else of_peaks.get(number),
            difference_p_value=of_last.get(number),
        )
        for number, each in enumerate(made)
    ]


def _turns_of(by_step: ByStep) -> tuple[Dip | None, Peak | None]:
    """The dip below step 0 and the fall from a later high, where there is a step 0."""
    if 0 not in by_step:
        return None, None
    curves = curves_of_attempts([by_step])
    return find_dip(curves), find_peak(curves)


def _made_of(by_step: ByStep, found: Dip | None) -> MadeOf | None:
    if found is None or found.p_value >= LEVEL:
        return None
    return made_of((0, by_step[0]), (found.bottom_step, by_step[found.bottom_step]))


def _change(each: Trajectory, label: str, by_step: ByStep) -> Change:
    dipped, peak = _turns_of(by_step)
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
        difference_p_value=None,
        dip=dipped,
        dip_p_value=None,
        peak=peak,
        peak_p_value=None,
        made_of=_made_of(by_step, dipped),
        num_missing=each.num_missing,
        mixed_conditions=len(conditions) > 1,
    )


_TEXT = ("run", "label", "benchmark", "group", "metric", "shape")
_FLAGS = ("mixed_conditions", "peak_established")
_WHOLE = (
    "bottom_step",
    "recovery_step",
    "peak_step",
    "peak_low_step",
    "first_step",
    "last_step",
    "first_num_items",
    "first_num_unjudged",
    "last_num_items",
    "last_num_unjudged",
    "num_missing",
)


def final_table(study: StudyTables, found: Sequence[Change] | None = None) -> pl.DataFrame:
    """The scores of each run on each benchmark at its first and last step, with standard errors, as a table of plain numbers.

    Args:
        study: the study.
        found: its `changes`, where they are known already.
    """
    rows = [flat(change) for change in (changes(study) if found is None else found)]
    names = list(flat(_NO_CHANGE))
    # Types by name: a column in which everything is missing keeps its type.
    schema: dict[str, type[pl.DataType]] = {
        name: pl.String if name in _TEXT else pl.Int64 if name in _WHOLE else pl.Boolean if name in _FLAGS else pl.Float64 for name in names
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
        "difference_p_value_adjusted": change.difference_p_value,
        **shape_row(change.dip),
        "dip_p_value": change.dip_p_value,
        **peak_row(change.peak, change.peak_p_value),
        "num_missing": change.num_missing,
        "mixed_conditions": change.mixed_conditions,
    }


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
