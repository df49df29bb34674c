"""Whether a trajectory dips and recovers, how deep, where and for how long, and what dip this design could have seen at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special

from ray_study.analyze.bootstrap import Band, ItemCurves, Numbers, draw_trajectories, percentile_interval, simultaneous_band
from ray_study.analyze.comparisons import Difference, paired_difference
from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.splits import SPLITS, CrossFit, cross_fit, median_p
from ray_study.analyze.statistics import Estimate

Shape = Literal["monotone", "dip_and_recovery", "dip_only", "flat", "underpowered"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

LEVEL = 0.05
POWER_80 = float(special.ndtri(0.8))
RECOVERED_SHARE = 0.5
"""A dip has recovered at a step from which on at least this share of its depth is regained."""
PLAUSIBLE_DEPTH = 0.1
"""A design that could not have seen a dip of ten points says nothing by seeing none; published dips of this kind are about that deep."""
DRAWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dip:
    """A trajectory's shape in a word, and the numbers behind it. Depths are shares of the items, measured on held-out halves."""

    shape: Shape
    depth: Estimate
    """The fall below the first step; negative where held-out halves show none. The interval is that of the paired difference there."""
    bottom_step: int
    """Where most halves find the lowest score."""
    bottom_share: float
    """The share of halves that find it there."""
    recovery_step: int | None
    """The first step from which on half of the depth is regained; None where there is none, or no clear fall."""
    share_recovered: Estimate | None
    """How much of the depth the last step has regained; None where there is no clear fall."""
    area: float
    """Score lost times training steps; divided by the steps it is the mean shortfall."""
    p_value: float
    """Of the fall below the first step, one-sided."""
    rise_p_value: float
    """Of the rise after the bottom, one-sided."""
    change: Difference
    """The last step less the first."""
    detectable: float
    """The smallest fall that this design finds clear four times in five."""
    band: Band
    num_items: int


def find_dip(
    curves: ItemCurves, *, num_splits: int = SPLITS, num_draws: int = DRAWS, plausible_depth: float = PLAUSIBLE_DEPTH
) -> Dip | None:
    """The shape of a trajectory with its dip; None with fewer than two steps, or too few items for two halves.

    A dip is a fall below the first step **and** a rise after it, each clear at 5 % by itself: so no monotone trajectory, rising or
    falling, is called one in more than 5 % of cases (an intersection-union test, Berger 1982).

    - `dip_and_recovery`: a dip of which the last step has regained at least half.
    - `dip_only`: a dip of which it has regained less, or a clear fall of which neither a rise nor a lower end is clear.
    - `monotone`: no dip, and the last step clearly differs from the first; `change` says which way.
    - `flat`: none of these, in a design that could have seen a dip of `plausible_depth`.
    - `underpowered`: none of these, in one that could not, or that starts too low for such a fall.

    Args:
        curves: the trajectories of the items; seeds of one run are averaged.
        num_splits: into halves.
        num_draws: for the band and for the interval of the share recovered.
        plausible_depth: the dip that one would want to have seen.
    """
    if len(curves.steps) < 2 or curves.num_units < 4:
        return None
    halves = cross_fit(curves, num_splits)
    draws = draw_trajectories(curves, num_draws=num_draws)
    bottom = int(np.bincount(halves.bottoms, minlength=len(curves.steps)).argmax())
    change = _difference(curves, 0, -1)
    p_value, rise_p_value = median_p(halves.fall_p), median_p(halves.rise_p)
    recovered = _share_recovered(curves, halves, draws, bottom) if p_value < LEVEL else None
    detectable = smallest_detectable(curves)
    can_see = detectable <= plausible_depth <= float(curves.curve()[0])
    return Dip(
        shape=_shape(p_value, rise_p_value, change, recovered, can_see=can_see),
        depth=held_out(curves, float(halves.fall.mean()), 0, bottom),
        bottom_step=curves.steps[bottom],
        bottom_share=float((halves.bottoms == bottom).mean()),
        recovery_step=_recovery_step(curves, halves, bottom) if p_value < LEVEL else None,
        share_recovered=recovered,
        area=float(halves.area.mean()),
        p_value=p_value,
        rise_p_value=rise_p_value,
        change=change,
        detectable=detectable,
        band=simultaneous_band(curves, draws),
        num_items=len(curves.items),
    )


def _shape(p_value: float, rise_p_value: float, change: Difference, recovered: Estimate | None, *, can_see: bool) -> Shape:
    falls, rises = p_value < LEVEL, rise_p_value < LEVEL
    differs = change.p_value is not None and change.p_value < LEVEL
    if falls and rises:
        share = recovered.value if recovered is not None else None
        return "dip_and_recovery" if share is not None and share >= RECOVERED_SHARE else "dip_only"
    if falls and not (differs and (change.estimate.value or 0.0) < 0):
        return "dip_only"
    if differs:
        return "monotone"
    return "flat" if can_see else "underpowered"


def smallest_detectable(curves: ItemCurves) -> float:
    """The smallest fall to one step that is found clear in 80 % of cases; see `detectable_fall`.

    SE is that of the paired difference to the first step, the largest over steps. Where every difference has no spread, Wilson's bound
    on a share of none takes the place of an SE of zero.
    """
    largest = float(_errors_to_first(curves).max())
    if largest < 1e-12:
        return wilson_interval(0.0, curves.num_units)[1]
    return detectable_fall(largest, curves.num_units)


def detectable_fall(standard_error: float, num_units: int) -> float:
    """The smallest fall, to a step that nobody named beforehand, that is found clear in 80 % of cases: (sqrt(2) t_0.975 + z_0.8) SE.

    The usual (1.96 + 0.84) SE = 2.8 SE is for two checkpoints that were named beforehand (Miller 2024, section 5); to have looked for the
    bottom on one half and measured on the other costs the factor sqrt(2) before t, whose degrees of freedom are those of half of the
    units: about 3.6 SE in all.
    """
    critical = float(special.stdtrit(max(1, num_units // 2 - 1), 0.975))
    return (math.sqrt(2) * critical + POWER_80) * standard_error


def _errors_to_first(curves: ItemCurves) -> Numbers:
    """The standard error of each later step's paired difference to the first, as `statistics.clustered_standard_error` has it."""
    means = curves.means.mean(axis=0)
    differences = means[:, 1:] - means[:, :1]
    sums = np.zeros((curves.num_units, differences.shape[1]))
    np.add.at(sums, curves.unit_of, differences - differences.mean(axis=0))
    num_units = curves.num_units
    return np.asarray(np.sqrt(num_units / (num_units - 1) * (sums**2).sum(axis=0)) / len(differences), dtype=np.float64)


def _difference(curves: ItemCurves, before: int, after: int) -> Difference:
    """The paired difference between two steps, given by index, on the items of the curves."""
    means = curves.means.mean(axis=0)
    cluster_of = {item: str(unit) for item, unit in zip(curves.items, curves.unit_of, strict=True)}
    return paired_difference(
        dict(zip(curves.items, means[:, before].tolist(), strict=True)),
        dict(zip(curves.items, means[:, after].tolist(), strict=True)),
        cluster_of,
        are_shares=_are_shares(curves),
    )


def _are_shares(curves: ItemCurves) -> bool:
    """Whether all values lie between 0 and 1; rewards do not, and a fall in them may be deeper than 1."""
    return bool(((curves.means >= 0) & (curves.means <= 1)).all())


def held_out(curves: ItemCurves, value: float, high: int, low: int) -> Estimate:
    """A mean held-out fall, with the paired interval between the two steps moved to it: the halves of a split use every item once."""
    there = _difference(curves, low, high).estimate
    move = value - (there.value or 0.0)
    most = 1.0 if _are_shares(curves) else math.inf
    return Estimate(
        value=value,
        standard_error=there.standard_error,
        low=None if there.low is None else max(-most, there.low + move),
        high=None if there.high is None else min(most, there.high + move),
        num_items=len(curves.items),
    )


def _share_recovered(curves: ItemCurves, halves: CrossFit, draws: Numbers, bottom: int) -> Estimate:
    """The mean held-out regain over the mean held-out fall; the percentile interval is of the ratio at the bottom that most halves find."""
    fall = float(halves.fall.mean())
    drawn_fall = draws[:, 0] - draws[:, bottom]
    ratios = np.divide(draws[:, -1] - draws[:, bottom], drawn_fall, out=np.full(len(draws), np.nan), where=drawn_fall > 1e-9)
    low, high = percentile_interval(ratios) if np.isfinite(ratios).any() else (None, None)
    value = float(halves.regained.mean()) / fall if fall > 0 else None
    return Estimate(value=value, standard_error=None, low=low, high=high, num_items=len(curves.items))


def _recovery_step(curves: ItemCurves, halves: CrossFit, bottom: int) -> int | None:
    """The first step after the bottom from which on the score stays above the first one less half of the depth."""
    curve = curves.curve()
    regained = curve >= curve[0] - (1 - RECOVERED_SHARE) * float(halves.fall.mean()) - 1e-12
    later = [number for number in range(bottom + 1, len(curves.steps)) if regained[number:].all()]
    return curves.steps[later[0]] if later else None
