"""Scores joined with runs into one series a benchmark and run, where a missing point stays missing, and is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ray_study.analyze.judged import PRIMARY
from ray_study.analyze.statistics import Estimate, accuracy_value, score, values_by_item
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import BenchmarkCard, Checkpoint, GradedAttempt, Group, Run, Score

Cell = tuple[str, int, str]
"""Run id, step, benchmark."""
T = TypeVar("T")

PRIMARY_METRICS = tuple(dict.fromkeys(("accuracy", *PRIMARY.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One checkpoint of a trajectory; `score` is None where none was ever made, and has no value where nothing could be judged."""

    step: int
    score: Score | None

    @property
    def value(self) -> float | None:
        """The score's value, None where it is missing."""
        return None if self.score is None else self.score.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One metric of one run on one benchmark, a point for each checkpoint there is, by rising step."""

    run: Run
    benchmark: str
    group: Group
    metric: str
    points: tuple[Point, ...]

    @property
    def num_missing(self) -> int:
        """Checkpoints without a value."""
        return sum(point.value is None for point in self.points)


def lookup(cells: Mapping[Cell, T], checkpoints: Sequence[Checkpoint]) -> Callable[[str, int, str], T | None]:
    """A function from run, step and benchmark to what `cells` holds of that checkpoint, or of another with the same weights.

    The untrained student is step 0 of every run of its model but is scored once: the equal fingerprint finds that score.
    """
    fingerprints = {(each.run, each.step): each.fingerprint for each in checkpoints if each.fingerprint}
    twins: dict[tuple[str, str], T] = {}
    for (run, step, benchmark), found in cells.items():
        if (run, step) in fingerprints:
            twins.setdefault((fingerprints[run, step], benchmark), found)

    def find(run: str, step: int, benchmark: str) -> T | None:
        own = cells.get((run, step, benchmark))
        return own if own is not None else twins.get((fingerprints.get((run, step), ""), benchmark))

    return find


ExaminedAt = Literal["all", "final"] | Sequence[int]
"""At which steps a benchmark is asked; step 0 and the last step always are."""


def trajectories(
    scores: Sequence[Score],
    runs: Sequence[Run],
    checkpoints: Sequence[Checkpoint],
    *,
    metrics: Sequence[str] = PRIMARY_METRICS,
    examined_at: Mapping[str, ExaminedAt] | None = None,
) -> list[Trajectory]:
    """A trajectory for each benchmark, run and metric (the primary ones), in the order of the scores and of the runs.

    Every checkpoint that was to sit the benchmark (`examined_at`; without an entry every one) is a point, scored or not. A
    failed run is in no trajectory, whatever it left behind. A pretraining run is in those of the benchmarks that it was scored on.
    """
    kinds = {(each.benchmark, each.metric): each.group for each in scores if each.metric in metrics}
    found: list[Trajectory] = []
    for (benchmark, metric), group in kinds.items():
        cells = {(each.run, each.step, benchmark): each for each in scores if (each.benchmark, each.metric) == (benchmark, metric)}
        find = lookup(cells, checkpoints)
        at = (examined_at or {}).get(benchmark, "all")
        for run in runs:
            steps = _expected_steps(run, checkpoints, at) | {step for owner, step, _ in cells if owner == run.id}
            points = tuple(Point(step=step, score=find(run.id, step, benchmark)) for step in sorted(steps))
            unscored = all(point.score is None for point in points)
            if run.status == "failed" or not points or (unscored and run.stage == "pretrain"):
                continue
            found.append(Trajectory(run=run, benchmark=benchmark, group=group, metric=metric, points=points))
    return found


def _expected_steps(run: Run, checkpoints: Sequence[Checkpoint], at: ExaminedAt) -> set[int]:
    """The steps of a run's checkpoints that sit a benchmark; the last is known once the run has finished."""
    steps = {each.step for each in checkpoints if each.run == run.id}
    if at == "all" or not steps:
        return steps
    named = {0} | ({max(steps)} if run.status == "finished" else set())
    return steps & (named if at == "final" else named | {step for step in at if isinstance(step, int)})


def study_trajectories(study: StudyTables, *, metrics: Sequence[str] = PRIMARY_METRICS) -> list[Trajectory]:
    """The trajectories of a study."""
    return trajectories(study.scores, study.runs, study.checkpoints, metrics=metrics, examined_at=study.facts.get("examined_at"))


def find_attempts(study: StudyTables) -> Callable[[str, int, str], tuple[GradedAttempt, ...] | None]:
    """A function from run, step and benchmark to the attempts of that checkpoint, or of another with the same weights."""
    return lookup({(each.run, each.step, each.benchmark): each.attempts for each in study.attempts}, study.checkpoints)


def conditions_used(study: StudyTables) -> list[dict[str, Any]]:
    """Each set of measuring conditions with how many attempts were made under it, the most used first."""
    counts: dict[str, int] = {}
    for cell in study.attempts:
        for attempt in cell.attempts:
            if attempt.finish_reason != "refused":
                counts[attempt.conditions] = counts.get(attempt.conditions, 0) + 1
    return [{"conditions": name, "num_attempts": count} for name, count in sorted(counts.items(), key=lambda pair: -pair[1])]


def benchmark_cards(study: StudyTables) -> list[BenchmarkCard]:
    """The study's benchmark cards by group, with one made up from the scores for a benchmark that has none."""
    cards = {card.benchmark: card for card in study.benchmarks}
    for each in study.scores:
        if each.benchmark not in cards and each.metric in PRIMARY_METRICS:
            cards[each.benchmark] = BenchmarkCard(
                benchmark=each.benchmark,
                group=each.group,
                kind="refusal" if each.metric == "share_refused" else "exact",
                metric=each.metric,
                num_items=each.num_items,
                num_samples=1,
                note="no card was given",
            )
    order = ("in_domain", "out_of_domain", "general", "safety")
    return sorted(cards.values(), key=lambda card: order.index(card.group))


def accuracy_at_cap(graded: Sequence[GradedAttempt], cap: int) -> Estimate:
    """The accuracy that a smaller cap would have given on the same generations: a longer attempt counts as unfinished.

    A cap can decide the shape of a curve, so it is varied without asking the model again. ValueError for a cap above that of
    every attempt: nobody knows how the cut ones went on.
    """
    largest = max((attempt.cap for attempt in graded), default=0)
    if cap > largest:
        raise ValueError(f"found attempts capped at {largest} tokens, expected a cap up to that and not {cap}; generate again for more")
    cut = [
        replace(attempt, verdict="unfinished", answer=None, finish_reason="length") if attempt.num_tokens > cap else attempt
        for attempt in graded
    ]
    judged = {item: [value for value in values if value is not None] for item, values in values_by_item(cut, accuracy_value).items()}
    means = {item: sum(values) / len(values) for item, values in judged.items() if values}
    cluster_of = {attempt.problem_id: attempt.cluster for attempt in cut}
    num_samples = max((len(values) for values in judged.values()), default=1)
    return score(list(means.values()), [cluster_of[item] for item in means], num_samples=num_samples)


def attempts_by_step(study: StudyTables, run: str, benchmark: str) -> dict[int, tuple[GradedAttempt, ...]]:
    """The attempts of a run at a benchmark, by the steps that have any; those at step 0 may be of another run with the same weights.

    Raises:
        ValueError: there are none.
    """
    find = find_attempts(study)
    steps = sorted({each.step for each in study.checkpoints if each.run == run})
    found = {step: graded for step in steps if (graded := find(run, step, benchmark))}
    if not found:
        there = sorted({(each.run, each.benchmark) for each in study.attempts})
        raise ValueError(f"found no attempts of {run!r} at {benchmark!r}, expected one of {there}")
    return found
