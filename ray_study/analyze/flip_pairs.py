"""Which checkpoints a report compares item by item: the ends of each run, the bottom of a dip with both, and data sets with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from ray_study.analyze.flipping import Flips, Reason, RunStep, between
from ray_study.analyze.flow import examined_steps, shown_runs
from ray_study.analyze.layout import run_labels
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import find_attempts
from ray_study.rows import Run

if TYPE_CHECKING:
    from ray_study.analyze.findings import Change

Pair = tuple[str, Reason, RunStep, RunStep]
"""Benchmark, why, before, after."""
Steps = Mapping[tuple[str, str], tuple[int, ...]]
REASONS: tuple[Reason, ...] = ("first_to_last", "first_to_bottom", "bottom_to_last", "between_datasets", "chosen")


def default_pairs(study: StudyTables, changes: Sequence[Change]) -> list[Pair]:
    """The pairs of a report, by benchmark, reason and run: first and last step with attempts; the bottom of a dip between, with both.

    Two data sets that share model, seed and training settings are compared at the last step of each.
    """
    steps = examined_steps(study)
    labels = run_labels(shown_runs(study))
    dips = {(each.run, each.benchmark): each.dip.bottom_step for each in changes if each.dip and each.dip.shape.startswith("dip")}
    found: list[Pair] = []
    for benchmark in dict.fromkeys(benchmark for _, benchmark in steps):
        own = [*_within_runs(benchmark, steps, dips, labels), *_between_datasets(benchmark, steps, shown_runs(study), labels)]
        found += sorted(own, key=lambda pair: REASONS.index(pair[1]))
    return found


def _within_runs(benchmark: str, steps: Steps, dips: Mapping[tuple[str, str], int], labels: Mapping[str, str]) -> Iterator[Pair]:
    for run, name in steps:
        own = steps[run, name]
        if name != benchmark or len(own) < 2:
            continue
        sides = [RunStep(run=run, label=labels[run], step=step) for step in (own[0], own[-1])]
        yield benchmark, "first_to_last", sides[0], sides[1]
        bottom = dips.get((run, benchmark))
        if bottom is not None and own[0] < bottom < own[-1]:
            lowest = RunStep(run=run, label=labels[run], step=bottom)
            yield benchmark, "first_to_bottom", sides[0], lowest
            yield benchmark, "bottom_to_last", lowest, sides[1]


def _between_datasets(benchmark: str, steps: Steps, runs: Sequence[Run], labels: Mapping[str, str]) -> Iterator[Pair]:
    trained = [run for run in runs if run.stage == "sft" and (run.id, benchmark) in steps]
    for first, second in combinations(trained, 2):
        same = all(getattr(first, name) == getattr(second, name) for name in ("model", "seed", "settings"))
        if same and first.dataset != second.dataset:
            one, other = (RunStep(run=run.id, label=labels[run.id], step=steps[run.id, benchmark][-1]) for run in (first, second))
            # A run that has only its base model yet says nothing of its data.
            if one.step and other.step:
                yield benchmark, "between_datasets", one, other


def compared(study: StudyTables, pairs: Sequence[Pair]) -> list[Flips]:
    """The flips of each pair."""
    attempts = find_attempts(study)
    return [
        between(
            benchmark,
            (before, attempts(before.run, before.step, benchmark) or ()),
            (after, attempts(after.run, after.step, benchmark) or ()),
            reason,
        )
        for benchmark, reason, before, after in pairs
    ]
