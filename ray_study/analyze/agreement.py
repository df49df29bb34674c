"""What a difference between two sides is called: `agrees`, `differs`, or `not comparable`, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import special

from ray_study.analyze.dips import LEVEL, PLAUSIBLE_DEPTH, POWER_80
from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.statistics import Estimate

Verdict = Literal["agrees", "differs", "not comparable"]

MARGIN = PLAUSIBLE_DEPTH
"""A comparison of shares that could have missed a difference of ten points does not show that two sides agree: as deep as a dip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A verdict with its reason: why the sides cannot be compared, empty where they can."""

    verdict: Verdict
    why: str


def refused(*reasons: str) -> Agreement:
    """Not comparable, for these reasons."""
    return Agreement(verdict="not comparable", why="; ".join(reasons))


def agreement(p_adjusted: float | None, detectable: float | None, *, is_share: bool) -> Agreement:
    """The verdict on a difference that was tested.

    `differs` where the difference is clear at 5 % after adjusting for all that were looked at. `agrees` where it is not **and** a
    difference of ten points would have been seen four times in five; where it would not, nothing was shown, and that is no agreement.
    Of values that are no shares nobody knows how large ten points would be, so there the smallest difference that could have been seen
    stands beside the word, and the reader decides.
    """
    if p_adjusted is None or detectable is None:
        return refused("too few items for an interval")
    if p_adjusted < LEVEL:
        return Agreement(verdict="differs", why="")
    if is_share and detectable > MARGIN:
        return refused(f"too few answers: a difference of {100 * MARGIN:.0f} points could have been missed")
    return Agreement(verdict="agrees", why="")


def detectable_paired(found: Estimate, num_units: int) -> float | None:
    """The smallest true difference that a paired comparison finds clear four times in five: (t_0.975 + z_0.8) SE, for one comparison.

    Source: Miller 2024 (arXiv 2411.00640), section 5, with Student's t. Where all items moved alike, Wilson's bound on a share of none.
    """
    if found.standard_error is None or num_units < 2:
        return None
    if found.standard_error == 0:
        return wilson_interval(0.0, num_units)[1]
    return (float(special.stdtrit(num_units - 1, 0.975)) + POWER_80) * found.standard_error


def difference_of_shares(ours: float, theirs: float, num_ours: int, num_theirs: int) -> tuple[Estimate, float, float]:
    """Ours less theirs with its 95 % interval, the two-sided p-value, and the smallest difference found clear four times in five.

    Both are shares of so many answers, each side drawn by itself. The interval is Newcombe's hybrid of two Wilson intervals (Newcombe
    1998, Statistics in Medicine 17, method 10), the p-value that of the pooled score test; both keep their level near 0 and 1.
    """
    value = ours - theirs
    (low_1, high_1), (low_2, high_2) = wilson_interval(ours, num_ours), wilson_interval(theirs, num_theirs)
    low = value - math.hypot(ours - low_1, high_2 - theirs)
    high = value + math.hypot(high_1 - ours, theirs - low_2)
    pooled = (ours * num_ours + theirs * num_theirs) / (num_ours + num_theirs)
    error = math.sqrt(pooled * (1 - pooled) * (1 / num_ours + 1 / num_theirs))
    p_value = 1.0 if error == 0 else 2 * float(special.ndtr(-abs(value) / error))
    # Half of the interval's width is 1.96 standard errors, also where the shares are 0 or 1 and their own error is none.
    half = (high - low) / 2
    estimate = Estimate(value=value, standard_error=error, low=low, high=high, num_items=num_ours)
    return estimate, p_value, half * (1 + POWER_80 / float(special.ndtri(0.975)))
