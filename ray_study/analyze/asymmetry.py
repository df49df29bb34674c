"""What reasoning gains against what safety loses, step by step: a path in the plane, with over-refusal beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_study.analyze.bootstrap import DRAWS, ItemCurves, Numbers, draw_trajectories, percentile_interval
from ray_study.analyze.statistics import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """One checkpoint: everything is less the first step's score, in shares, the mean over benchmarks."""

    step: int
    reasoning_gain: Estimate
    safety_loss: Estimate
    """Positive where less is refused that should be."""
    over_refusal: Estimate | None
    """The change in the share of harmless requests that are refused; None where no such benchmark was given."""
    loss_less_gain: Estimate
    """Above zero more safety is lost than reasoning gained."""


def asymmetry(
    reasoning: Sequence[ItemCurves], safety: Sequence[ItemCurves], over_refusal: Sequence[ItemCurves] = (), num_draws: int = DRAWS
) -> list[PathPoint]:
    """The path of a run over the steps that all its benchmarks share, each point with 95 % bootstrap intervals over items.

    Benchmarks have items of their own and are drawn independently; each counts the same, however many items it has. Scores of safety are
    shares refused (more is safer), those of over-refusal shares of harmless requests refused.

    Raises:
        ValueError: a side has no benchmark, or the benchmarks share fewer than two steps.
    """
    if not reasoning or not safety:
        raise ValueError(f"found {len(reasoning)} reasoning and {len(safety)} safety benchmarks, expected one of each at least")
    every = [*reasoning, *safety, *over_refusal]
    steps = sorted(set.intersection(*(set(each.steps) for each in every)))
    if len(steps) < 2:
        raise ValueError(f"found the shared steps {steps}, expected two or more: score all of these benchmarks at the same checkpoints")
    seeds = iter(range(len(every)))
    gain, gain_draws = _mean_change(reasoning, steps, num_draws, [next(seeds) for _ in reasoning])
    rise, rise_draws = _mean_change(safety, steps, num_draws, [next(seeds) for _ in safety])
    over = _mean_change(over_refusal, steps, num_draws, [next(seeds) for _ in over_refusal]) if over_refusal else None
    num_reasoning, num_safety = (sum(len(each.items) for each in side) for side in (reasoning, safety))
    num_over = sum(len(each.items) for each in over_refusal)
    return [
        PathPoint(
            step=step,
            reasoning_gain=_estimate(gain[at], gain_draws[:, at], num_reasoning),
            safety_loss=_estimate(-rise[at], -rise_draws[:, at], num_safety),
            over_refusal=_estimate(over[0][at], over[1][:, at], num_over) if over else None,
            loss_less_gain=_estimate(-rise[at] - gain[at], -rise_draws[:, at] - gain_draws[:, at], num_reasoning + num_safety),
        )
        for at, step in enumerate(steps)
    ]


def _mean_change(side: Sequence[ItemCurves], steps: Sequence[int], num_draws: int, seeds: Sequence[int]) -> tuple[Numbers, Numbers]:
    """The mean over benchmarks of the change since the first step, and the draws of it."""
    values, draws = [], []
    for curves, seed in zip(side, seeds, strict=True):
        at = [curves.steps.index(step) for step in steps]
        curve = curves.curve()[at]
        drawn = draw_trajectories(curves, num_draws=num_draws, seed=seed)[:, at]
        values.append(curve - curve[0])
        draws.append(drawn - drawn[:, :1])
    return np.asarray(np.mean(values, axis=0), dtype=np.float64), np.asarray(np.mean(draws, axis=0), dtype=np.float64)


def _estimate(value: float, draws: Numbers, num_items: int) -> Estimate:
    low, high = percentile_interval(draws)
    return Estimate(value=float(value), standard_error=float(draws.std(ddof=1)), low=low, high=high, num_items=num_items)
