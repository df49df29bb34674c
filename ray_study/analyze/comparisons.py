"""How two checkpoints differ on the same items, and whether a dip is more than the lowest of some noisy points."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special

from ray_study.analyze.statistics import (
    Estimate,
    accuracy_value,
    clustered_standard_error,
    independent_units,
    t_interval,
    values_by_item,
    wilson_interval,
)
from ray_study.rows import GradedAttempt

ItemMeans = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much higher the later checkpoint is, over the items judged at both."""

    estimate: Estimate
    p_value: float | None
    """Two-sided: McNemar's exact test where items were asked once and are independent, otherwise Student's t."""


def item_means(graded: Sequence[GradedAttempt]) -> dict[str, float]:
    """The accuracy on each item over its judged attempts; items with none are left out."""
    judged = {item: [value for value in values if value is not None] for item, values in values_by_item(graded, accuracy_value).items()}
    return {item: math.fsum(values) / len(values) for item, values in judged.items() if values}


def mcnemar_p(num_gained: int, num_lost: int) -> float:
    """The exact two-sided p-value of McNemar's test: twice the smaller tail of Bin(gained + lost, 1/2), at most 1."""
    tail = float(special.bdtr(min(num_gained, num_lost), num_gained + num_lost, 0.5))
    return min(1.0, 2 * tail)


def paired_difference(before: ItemMeans, after: ItemMeans, cluster_of: Mapping[str, str] | None = None) -> Difference:
    """The mean of after - before over the items in both, with a clustered standard error and its 95 % interval.

    d_i = x_i(after) - x_i(before); SE as in `clustered_standard_error`. On the same items this is far sharper than asking
    whether two intervals overlap. Source: Miller 2024 (arXiv 2411.00640).
    """
    items = sorted(set(before) & set(after))
    missing = Estimate(value=None, standard_error=None, low=None, high=None, num_items=len(items))
    if not items:
        return Difference(estimate=missing, p_value=None)
    differences = [after[item] - before[item] for item in items]
    units = independent_units(items, [cluster_of[item] for item in items] if cluster_of else [])
    num_units = len(set(units))
    value = math.fsum(differences) / len(items)
    error = clustered_standard_error(differences, units)
    if error is None:
        return Difference(estimate=Estimate(value=value, standard_error=None, low=None, high=None, num_items=len(items)), p_value=None)
    if error == 0:
        # All items moved alike, often not at all. Wilson's bound on a share of 0 keeps the interval from claiming certainty.
        half = wilson_interval(0.0, num_units)[1]
        low, high = value - half, value + half
    else:
        low, high = t_interval(value, error, num_units)
    estimate = Estimate(value=value, standard_error=error, low=max(-1.0, low), high=min(1.0, high), num_items=len(items))
    if num_units == len(items) and {*before.values(), *after.values()} <= {0.0, 1.0}:
        return Difference(estimate=estimate, p_value=mcnemar_p(differences.count(1.0), differences.count(-1.0)))
    return Difference(estimate=estimate, p_value=2 * _upper_tail(abs(value), error, num_units))


def compare(before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Difference:
    """The paired difference in accuracy of two checkpoints' attempts at one benchmark."""
    cluster_of = {attempt.problem_id: attempt.cluster for attempt in before}
    return paired_difference(item_means(before), item_means(after), cluster_of)


def _upper_tail(value: float, error: float, num_units: int) -> float:
    """P(T >= value / error) for Student's t; where all units moved alike there is no spread to go by, and the sign test decides."""
    if error == 0:
        return 0.5**num_units if value > 0 else 1.0
    return float(special.stdtr(num_units - 1, -value / error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dip:
    """A fall below the first checkpoint, with its bottom chosen on one half of the items and its depth measured on the other."""

    steps: tuple[int, int]
    """Where the bottom lies by each half."""
    depth: float
    """Mean of the two held-out depths; negative where the held-out half shows no fall."""
    p_value: float


def dip(by_step: Mapping[int, ItemMeans], cluster_of: Mapping[str, str] | None = None) -> Dip | None:
    """The cross-fitted dip of a trajectory; None with fewer than two steps, or too few items for two halves.

    The lowest of several noisy points lies below the first one in any trajectory, so the bottom is looked for on one half of
    the items and measured on the other, then the halves swap. The p-value is one-sided and twice the smaller of the two, which
    holds whatever their dependence: a trajectory that never falls is called a dip in at most 5 % of cases. Halves are by a
    hash of the cluster (of the item, where there are too few clusters to be of use), the same in every process.
    """
    steps = sorted(by_step)
    if len(steps) < 2:
        return None
    first, later = steps[0], steps[1:]
    shared = set.intersection(*(set(means) for means in by_step.values()))
    items = sorted(shared)
    units = independent_units(items, [cluster_of[item] for item in items] if cluster_of else items)
    # One task of two in each half would measure the bottom of the one on the other.
    clusters = dict(zip(items, units, strict=True))
    # Ranks of the hash, not its parity: the halves are then equal in their number of clusters.
    ranked = sorted({clusters[item] for item in shared}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    in_half_a = set(ranked[::2])
    half_a = [item for item in items if clusters[item] in in_half_a]
    half_b = [item for item in items if clusters[item] not in in_half_a]
    if min(len(half_a), len(half_b)) < 2:
        return None
    bottoms, depths, p_values = [], [], []
    for chosen_on, measured_on in ((half_a, half_b), (half_b, half_a)):
        bottom = min(later, key=lambda step: math.fsum(by_step[step][item] for item in chosen_on))
        held_out = paired_difference(
            {item: by_step[bottom][item] for item in measured_on}, {item: by_step[first][item] for item in measured_on}, cluster_of
        ).estimate
        if held_out.value is None or held_out.standard_error is None:
            return None
        num_units = len(set(independent_units(measured_on, [clusters[item] for item in measured_on])))
        bottoms.append(bottom)
        depths.append(held_out.value)
        p_values.append(_upper_tail(held_out.value, held_out.standard_error, num_units))
    return Dip(steps=(bottoms[0], bottoms[1]), depth=sum(depths) / 2, p_value=min(1.0, 2 * min(p_values)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for having looked at all of them (Holm 1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted
