"""How two checkpoints, data sets or models differ on the same items, and what many such comparisons are worth together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import special

from ray_study.analyze.intervals import t_interval, wilson_interval
from ray_study.analyze.judged import MEANS, judged_readers
from ray_study.analyze.statistics import Estimate, accuracy_value, clustered_standard_error, independent_units, values_by_item
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


def paired_difference(
    before: ItemMeans, after: ItemMeans, cluster_of: Mapping[str, str] | None = None, *, are_shares: bool = True
) -> Difference:
    """The mean of after - before over the items in both, with a clustered standard error and its 95 % interval.

    d_i = x_i(after) - x_i(before); SE as in `clustered_standard_error`. On the same items this is far sharper than asking
    whether two intervals overlap. Source: Miller 2024 (arXiv 2411.00640).

    Args:
        before: the value of each item.
        after: the value of each item later.
        cluster_of: the cluster of each item, where items are not independent.
        are_shares: whether values lie between 0 and 1, so that a difference lies between -1 and 1. Rewards have no such bounds.
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
    if error == 0 and are_shares:
        # All items moved alike, often not at all. Wilson's bound on a share of 0 keeps the interval from claiming certainty.
        half = wilson_interval(0.0, num_units)[1]
        low, high = value - half, value + half
    else:
        low, high = t_interval(value, error, num_units)
    if are_shares:
        low, high = max(-1.0, low), min(1.0, high)
    estimate = Estimate(value=value, standard_error=error, low=low, high=high, num_items=len(items))
    if are_shares and num_units == len(items) and {*before.values(), *after.values()} <= {0.0, 1.0}:
        return Difference(estimate=estimate, p_value=mcnemar_p(differences.count(1.0), differences.count(-1.0)))
    return Difference(estimate=estimate, p_value=2 * _upper_tail(abs(value), error, num_units))


def compare(before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Difference:
    """The paired difference in the primary value of two checkpoints' attempts at one benchmark: mostly accuracy."""
    cluster_of = {attempt.problem_id: attempt.cluster for attempt in before}
    return paired_difference(item_means(before), item_means(after), cluster_of, are_shares=_are_shares(before))


def _are_shares(graded: Sequence[GradedAttempt]) -> bool:
    """Whether the primary value of attempts lies between 0 and 1: of all but those that a reward model judged."""
    return not graded or graded[0].kind != "judged" or next(iter(judged_readers(graded))) not in MEANS


def _upper_tail(value: float, error: float, num_units: int) -> float:
    """P(T >= value / error) for Student's t; where all units moved alike there is no spread to go by, and the sign test decides."""
    if error == 0:
        return 0.5**num_units if value > 0 else 1.0
    return float(special.stdtr(num_units - 1, -value / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for having looked at all of them (Holm 1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that those below a level hold that share of false ones at most, in the order given: for exploring.

    The least over ranks r >= own of p_(r) m / r, at most 1. Source: Benjamini and Hochberg 1995; valid for independent and for
    positively dependent tests (Benjamini and Yekutieli 2001). A claim that was declared beforehand wants `holm`.
    """
    adjusted = [0.0] * len(p_values)
    least = 1.0
    for rank, number in reversed(list(enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number]), start=1))):
        least = min(least, p_values[number] * len(p_values) / rank)
        adjusted[number] = least
    return adjusted
