"""Whether a trajectory that has risen falls again: the largest fall from an earlier high that lies above the first step.

`dips` looks below the first step. Here the high is a later one, so a trajectory that only falls has none, and one that only rises no fall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ray_study.analyze.bootstrap import ItemCurves, Numbers
from ray_study.analyze.dips import held_out
from ray_study.analyze.splits import SPLITS, divided, median_p
from ray_study.analyze.statistics import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The largest fall from an earlier high, max over s < t of score(s) - score(t), measured on held-out halves."""

    fall: Estimate
    """Negative where held-out halves show none. The interval is that of the paired difference between the two steps."""
    high_step: int
    """Where most halves find the high of which the most is lost."""
    low_step: int
    """Where these find the lowest score after it."""
    share: float
    """The share of halves that find both there."""
    fall_p_value: float
    """Of the fall from the high, one-sided."""
    rise_p_value: float
    """Of the high lying above the first step, one-sided."""

    @property
    def p_value(self) -> float:
        """Of both at once, rise and fall: the larger of the two (an intersection-union test, Berger 1982)."""
        return max(self.fall_p_value, self.rise_p_value)


def find_peak(curves: ItemCurves, *, num_splits: int = SPLITS) -> Peak | None:
    """The largest fall from an earlier high; None with fewer than three steps, too few items, or no high on any half.

    On one half of the units the two steps are chosen: of all pairs of a high above the first step and a later step, the one with the
    largest fall. On the other half both the rise to that high and the fall from it are measured; both ways, over many splits, as for dips.
    That it rose **and** fell is claimed where both are clear: so no trajectory that never turns, rising or falling, is said to have done
    so in more than 5 % of cases.
    """
    if len(curves.steps) < 3 or curves.num_units < 4:
        return None
    halves = divided(curves, num_splits)
    highs, lows = chosen_pairs(halves.chosen)
    # Half of the splits without a high above the first step have a p-value of 1, and then so has the trajectory.
    if not (highs > 0).any():
        return None
    pairs, counts = np.unique(np.stack([highs, lows])[:, highs > 0], axis=1, return_counts=True)
    high, low = (int(step) for step in pairs[:, counts.argmax()])
    rows = np.arange(len(highs))
    fall = (halves.measured[rows, highs] - halves.measured[rows, lows])[highs > 0]
    return Peak(
        fall=held_out(curves, float(fall.mean()), high, low),
        high_step=curves.steps[high],
        low_step=curves.steps[low],
        share=float(counts.max() / len(highs)),
        fall_p_value=median_p(halves.p_values(highs, lows)),
        rise_p_value=median_p(halves.p_values(highs, np.zeros_like(highs))),
    )


def chosen_pairs(chosen: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row of scores by step the high above the first one and the later step with the largest fall between them.

    Both are the first step where no step but the last lies above it.
    """
    lowest_after = np.minimum.accumulate(chosen[:, ::-1], axis=1)[:, ::-1][:, 1:]
    falls = np.where(chosen[:, :-1] > chosen[:, :1], chosen[:, :-1] - lowest_after, -np.inf)
    highs = np.where(np.isfinite(falls).any(axis=1), falls.argmax(axis=1), 0)
    later = np.arange(chosen.shape[1]) > highs[:, None]
    lows = np.where(highs > 0, np.where(later, chosen, np.inf).argmin(axis=1), 0)
    return highs.astype(np.int64), lows.astype(np.int64)
