"""Whole trajectories drawn again: items with all their steps together, samples within items, seeds on top.

One draw is one trajectory that could have been measured, so one set of draws gives the uncertainty of everything that is read off
a trajectory: a step, a depth, an area, a share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.statistics import accuracy_value, independent_units, values_by_item
from ray_study.rows import GradedAttempt

Numbers = NDArray[np.float64]
ItemMeans = Mapping[str, float]

DRAWS = 10_000
CHUNK = 1_000_000
"""Most indices that are drawn at once: 8 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCurves:
    """A trajectory for each item that was judged at every step, of one or several seeds of a run."""

    steps: tuple[int, ...]
    items: tuple[str, ...]
    unit_of: NDArray[np.int64]
    """The number of each item's independent unit: its cluster's where clusters are of use, otherwise its own."""
    means: Numbers
    """Seeds x items x steps: the mean over the samples that were judged."""
    num_samples: NDArray[np.int64]
    """Seeds x items x steps: how many were."""
    num_left_out: int
    """Items that some step, or some seed, has no judged sample of."""

    @property
    def num_units(self) -> int:
        """How many independent draws the items are."""
        return int(self.unit_of.max()) + 1 if len(self.unit_of) else 0

    def curve(self) -> Numbers:
        """The score at each step: the mean over items and seeds."""
        found: Numbers = self.means.mean(axis=(0, 1))
        return found


def curves_of_means(
    by_seed: Sequence[Mapping[int, ItemMeans]], cluster_of: Mapping[str, str] | None = None, num_samples: int = 1
) -> ItemCurves:
    """The item curves of scores given as step -> item -> mean, one mapping a seed.

    Args:
        by_seed: the seeds must have the same steps.
        cluster_of: item -> cluster; without it every item is its own.
        num_samples: samples behind each mean.

    Raises:
        ValueError: seeds have different steps, or there is none.
    """
    steps = sorted(by_seed[0]) if by_seed else []
    if not steps or any(sorted(each) != steps for each in by_seed):
        raise ValueError(f"found the steps {[sorted(each) for each in by_seed]} by seed, expected the same for all: give those they share")
    cells = [means for each in by_seed for means in each.values()]
    # Sorted, so that a seeded draw does not depend on the order in which rows came.
    items = sorted(set.intersection(*(set(means) for means in cells)))
    every = set.union(*(set(means) for means in cells))
    means = np.array([[[each[step][item] for step in steps] for item in items] for each in by_seed], dtype=np.float64)
    means = means.reshape(len(by_seed), len(items), len(steps))
    units = independent_units(items, [cluster_of[item] for item in items] if cluster_of else [])
    return ItemCurves(
        steps=tuple(steps),
        items=tuple(items),
        unit_of=np.unique(np.asarray(units, dtype=np.str_), return_inverse=True)[1].astype(np.int64),
        means=means,
        num_samples=np.full(means.shape, num_samples, dtype=np.int64),
        num_left_out=len(every) - len(items),
    )


def curves_of_attempts(
    by_seed: Sequence[Mapping[int, Sequence[GradedAttempt]]], read: Callable[[GradedAttempt], float | None] = accuracy_value
) -> ItemCurves:
    """The item curves of attempts given as step -> attempts, one mapping a seed.

    Args:
        by_seed: the seeds must have the same steps.
        read: what each attempt counts for, None where it could not be judged.
    """
    judged = [{step: _judged(graded, read) for step, graded in each.items()} for each in by_seed]
    means = [{step: {item: sum(v) / len(v) for item, v in found.items()} for step, found in each.items()} for each in judged]
    cluster_of = {attempt.problem_id: attempt.cluster for each in by_seed for graded in each.values() for attempt in graded}
    curves = curves_of_means(means, cluster_of)
    counts = [[[len(each[step][item]) for step in curves.steps] for item in curves.items] for each in judged]
    return ItemCurves(
        steps=curves.steps,
        items=curves.items,
        unit_of=curves.unit_of,
        means=curves.means,
        num_samples=np.array(counts, dtype=np.int64).reshape(curves.means.shape),
        num_left_out=curves.num_left_out,
    )


def _judged(graded: Sequence[GradedAttempt], read: Callable[[GradedAttempt], float | None]) -> dict[str, list[float]]:
    found = {item: [value for value in values if value is not None] for item, values in values_by_item(graded, read).items()}
    return {item: values for item, values in found.items() if values}


def draw_trajectories(curves: ItemCurves, *, num_draws: int = DRAWS, within_items: bool = False, seed: int = 0) -> Numbers:
    """Trajectories drawn again, draws x steps: units with all their steps, and seeds where there are several.

    Each draw takes as many units as there are, with replacement, and the mean over the items in them; items are the same for all
    seeds, so one draw of items serves all, and of the seeds as many are drawn as there are. The spread between S seeds comes out
    (S-1)/S too small, as in every bootstrap: with two or three seeds read it as a lower bound.

    Item means hold the noise of sampling already, so drawing units alone has the variance of the standard error over items.
    `within_items` draws each item's samples again too, which counts that noise twice: by E p(1-p)/K over the number of items. It is
    the wide side to err on where K is small. Items of equal mean and count are drawn together as one binomial: it is exact.
    Sources: Efron and Tibshirani 1993, chapter 8; Davison and Hinkley 1997, section 3.8 (two stages and their variance); Owen 2007 (crossed
    factors).

    Raises:
        ValueError: there is no item, or samples within items are to be drawn of values other than 0 and 1.
    """
    if not curves.items:
        raise ValueError("found no item that was judged at every step, expected at least one: see which step owes items")
    if within_items:
        _check_counts(curves)
    rng = np.random.default_rng(seed)
    num_units = curves.num_units
    sizes = np.bincount(curves.unit_of, minlength=num_units).astype(np.float64)
    chunk = max(1, CHUNK // num_units)
    drawn = []
    for start in range(0, num_draws, chunk):
        weights = _unit_weights(rng, min(chunk, num_draws - start), num_units)
        totals = weights @ sizes
        by_seed = [
            _totals(rng, curves, number, weights, within_items=within_items) / totals[:, None] for number in range(len(curves.means))
        ]
        drawn.append(_over_seeds(rng, by_seed))
    return np.concatenate(drawn)


def _check_counts(curves: ItemCurves) -> None:
    counts = curves.means * curves.num_samples
    if not np.allclose(counts, np.round(counts), atol=1e-6):
        raise ValueError("samples within items can be drawn of right and wrong only, found item means of other values: draw items alone")


def _unit_weights(rng: np.random.Generator, num_draws: int, num_units: int) -> Numbers:
    """How often each unit stands in each draw, draws x units: multinomial with equal shares."""
    chosen = rng.integers(0, num_units, size=(num_draws, num_units))
    chosen += np.arange(num_draws)[:, None] * num_units
    return np.bincount(chosen.ravel(), minlength=num_draws * num_units).reshape(num_draws, num_units).astype(np.float64)


def _totals(rng: np.random.Generator, curves: ItemCurves, number: int, weights: Numbers, *, within_items: bool) -> Numbers:
    """The sum of item means in each draw, draws x steps."""
    means = curves.means[number]
    if not within_items:
        sums = np.zeros((weights.shape[1], means.shape[1]))
        np.add.at(sums, curves.unit_of, means)
        return np.asarray(weights @ sums, dtype=np.float64)
    return np.stack(
        [
            _binomial_totals(rng, curves.unit_of, means[:, step], curves.num_samples[number, :, step], weights)
            for step in range(means.shape[1])
        ],
        axis=1,
    )


def _binomial_totals(
    rng: np.random.Generator, unit_of: NDArray[np.int64], means: Numbers, num_samples: NDArray[np.int64], weights: Numbers
) -> Numbers:
    """The sum of redrawn item means in each draw: items of equal mean and count are one binomial of all their samples."""
    kinds, kind_of = np.unique(np.stack([np.round(means, 9), num_samples.astype(np.float64)], axis=1), axis=0, return_inverse=True)
    members = np.zeros((weights.shape[1], len(kinds)))
    np.add.at(members, (unit_of, kind_of.ravel()), 1.0)
    copies = weights @ members
    right = rng.binomial(np.rint(copies * kinds[:, 1]).astype(np.int64), np.clip(kinds[:, 0], 0.0, 1.0))
    return np.asarray((right / kinds[:, 1]).sum(axis=1), dtype=np.float64)


def _over_seeds(rng: np.random.Generator, by_seed: Sequence[Numbers]) -> Numbers:
    if len(by_seed) == 1:
        return by_seed[0]
    weights = _unit_weights(rng, len(by_seed[0]), len(by_seed)) / len(by_seed)
    return np.asarray(np.einsum("ds,sdt->dt", weights, np.stack(by_seed)), dtype=np.float64)


def percentile_interval(draws: Numbers) -> tuple[float, float]:
    """The 95 % percentile interval of one quantity's draws (Efron 1979); draws that are no number are left out."""
    known = draws[np.isfinite(draws)]
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Intervals that hold for all steps at once with 95 % confidence."""

    steps: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    critical: float
    """How many standard errors wide to each side: 1.96 would do for one step alone."""


def simultaneous_band(curves: ItemCurves, draws: Numbers) -> Band:
    """The band within which the whole true trajectory lies with 95 % confidence: score +- c SE at each step.

    c is the 95 % quantile of the largest |t| over steps in the draws, t = (draw - score) / SE. A step at which all items agree has
    no spread: Wilson's interval on its units takes its place. Source: Davison and Hinkley 1997, section 4.2; Romano and Wolf 2005.
    """
    centre = curves.curve()
    errors = draws.std(axis=0, ddof=1)
    spread = errors > 1e-12
    critical = 0.0
    if spread.any():
        critical = float(np.quantile(np.abs((draws[:, spread] - centre[spread]) / errors[spread]).max(axis=1), 0.95))
    low, high = centre - critical * errors, centre + critical * errors
    for number in np.flatnonzero(~spread):
        low[number], high[number] = wilson_interval(float(np.clip(centre[number], 0.0, 1.0)), curves.num_units)
    return Band(
        steps=curves.steps,
        low=tuple(float(value) for value in np.clip(low, 0.0, 1.0)),
        high=tuple(float(value) for value in np.clip(high, 0.0, 1.0)),
        critical=critical,
    )
