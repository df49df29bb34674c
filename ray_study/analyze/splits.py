"""A dip chosen on half of the items and measured on the other half, both ways, over many splits.

The lowest of several noisy points lies below the first one in any trajectory, so whatever is chosen by looking is measured on items that
had no part in the choice. One split gives an answer that depends on the split, so there are many.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ray_study.analyze.bootstrap import ItemCurves, Numbers

SPLITS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """What the held-out halves say of a fall below the first step and a rise after it; one entry a half, two a split."""

    bottoms: NDArray[np.int64]
    """Which step was the lowest on the half that chose, as an index into the steps."""
    fall: Numbers
    """The first step's score less the bottom's, on the other half."""
    fall_p: Numbers
    """One-sided: how likely so great a fall is where there is none."""
    rise_p: Numbers
    """The same of the rise from the bottom to the highest later step, both chosen on one half and measured on the other."""
    regained: Numbers
    """The last step's score less the bottom's."""
    area: Numbers
    """Score lost times steps: the area below the first step's score, over the steps that lay below it on the half that chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A trajectory on both halves of every split, each the other way round too: two rows a split, a column a step."""

    chosen: Numbers
    """The score on the half that chooses."""
    measured: Numbers
    """The score on the other half."""
    sums: Numbers
    """Units x steps: the sum over the items of each unit."""
    sizes: Numbers
    """How many items each unit has."""
    measured_on: NDArray[np.bool_]
    """Which units measure, rows x units."""
    binary: bool
    """Whether items that are their own units were asked once."""

    def p_values(self, highs: NDArray[np.int64], lows: NDArray[np.int64]) -> Numbers:
        """One-sided, a row each: how likely it is that the first step lies so far above the second on the half that measures."""
        return _p_values(self.sums, self.sizes, self.measured_on, (highs, lows), binary=self.binary)


def divided(curves: ItemCurves, num_splits: int = SPLITS) -> Halves:
    """The trajectory on the halves of so many splits; seeds of a run are averaged first.

    Halves are of units, drawn by a generator that is seeded with a hash of the items: the same in every process.
    """
    num_units = curves.num_units
    means = curves.means.mean(axis=0)
    sums = np.zeros((num_units, len(curves.steps)))
    np.add.at(sums, curves.unit_of, means)
    sizes = np.bincount(curves.unit_of, minlength=num_units).astype(np.float64)
    chosen_on = _halves(curves, num_splits)
    return Halves(
        chosen=(chosen_on @ sums) / (chosen_on @ sizes)[:, None],
        measured=(~chosen_on @ sums) / (~chosen_on @ sizes)[:, None],
        sums=sums,
        sizes=sizes,
        measured_on=~chosen_on,
        binary=bool(np.isin(means, (0.0, 1.0)).all()) and num_units == len(curves.items),
    )


def cross_fit(curves: ItemCurves, num_splits: int = SPLITS) -> CrossFit:
    """The fall below the first step and the rise after it, as every held-out half of `divided` has them."""
    halves = divided(curves, num_splits)
    chosen, measured = halves.chosen, halves.measured
    bottoms = 1 + chosen[:, 1:].argmin(axis=1)
    after = np.arange(len(curves.steps)) > bottoms[:, None]
    # Where the bottom is the last step nothing comes after it, and there is no rise.
    peaks = np.where(after.any(axis=1), np.where(after, chosen, -np.inf).argmax(axis=1), bottoms)
    rows = np.arange(len(bottoms))
    first = np.zeros_like(bottoms)
    return CrossFit(
        bottoms=bottoms,
        fall=measured[:, 0] - measured[rows, bottoms],
        fall_p=halves.p_values(first, bottoms),
        rise_p=halves.p_values(peaks, bottoms),
        regained=measured[:, -1] - measured[rows, bottoms],
        area=_areas(curves.steps, chosen, measured),
    )


def _halves(curves: ItemCurves, num_splits: int) -> NDArray[np.bool_]:
    """Which units choose, halves x units: each split twice, the second time the other way round."""
    seed = int.from_bytes(hashlib.sha256("\n".join(curves.items).encode()).digest()[:8], "big")
    ranks = np.random.default_rng(seed).random((num_splits, curves.num_units)).argsort(axis=1)
    half = ranks < curves.num_units // 2
    return np.concatenate([half, ~half])


def _p_values(
    sums: Numbers, sizes: Numbers, masks: NDArray[np.bool_], pairs: tuple[NDArray[np.int64], NDArray[np.int64]], *, binary: bool
) -> Numbers:
    """One-sided p-values of the first step of each pair being higher than the second, by Student's t on sums over units.

    Items asked once are right or wrong, and with few that changed t is too sure of itself: there the exact sign test on those that
    changed decides (McNemar, one-sided), and so it does where every unit moved alike and t has no spread to go by.
    """
    high, low = pairs
    differences = np.where(masks, sums.T[high] - sums.T[low], 0.0)
    counts = masks @ sizes
    num_units = masks.sum(axis=1)
    value = differences.sum(axis=1) / counts
    residuals = np.where(masks, differences - sizes * value[:, None], 0.0)
    error = np.sqrt(num_units / (num_units - 1) * (residuals**2).sum(axis=1)) / counts
    ups, downs = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    sign_p = np.where(ups > 0, special.bdtr(downs, ups + downs, 0.5), 1.0)
    if binary:
        return np.asarray(sign_p, dtype=np.float64)
    spread = error > 1e-12
    t_p = special.stdtr(num_units - 1, -value / np.where(spread, error, 1.0))
    return np.asarray(np.where(spread, t_p, sign_p), dtype=np.float64)


def _areas(steps: tuple[int, ...], chosen: Numbers, measured: Numbers) -> Numbers:
    """The area below the first step's score by trapezoids, over the steps that lay below it on the half that chose."""
    gaps = np.diff(np.asarray(steps, dtype=np.float64))
    widths = (np.concatenate([[0.0], gaps]) + np.concatenate([gaps, [0.0]])) / 2
    below = chosen < chosen[:, :1]
    return np.asarray(((measured[:, :1] - measured) * below * widths).sum(axis=1), dtype=np.float64)


def median_p(p_values: Numbers) -> float:
    """One p-value of all halves: twice their median, whatever their dependence (Meinshausen, Meier and Buehlmann 2009), at most 1."""
    return min(1.0, 2.0 * float(np.median(p_values)))
