"""Response lengths that were cut at a cap: the Kaplan-Meier median and the restricted mean, never a plain mean of cut lengths.

A cut attempt says only that the response is longer than its cap. So its length is censored, as in survival analysis, where
"time" is the number of tokens, "event" is the stop token and "censored" is the cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]

Z_95 = float(special.ndtri(0.975))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """The Kaplan-Meier curve of response lengths: the share of responses still going after each observed stop."""

    times: Numbers
    """Distinct lengths at which at least one attempt stopped, rising."""
    share_going: Numbers
    """S(t) just after each of `times`."""
    num_at_risk: Numbers
    num_stopped: Numbers


def survival(tokens: Sequence[int], finished: Sequence[bool]) -> Survival:
    """The Kaplan-Meier curve of attempts with these lengths, where an attempt that is not finished is censored at its length.

    S(t) = prod over t_j <= t of (1 - d_j / n_j), with d_j stops at t_j among n_j attempts of at least t_j tokens. An attempt
    censored at t_j is still at risk there. Source: Kaplan and Meier 1958.
    """
    lengths = np.asarray(tokens, dtype=np.int64)
    stopped = np.asarray(finished, dtype=bool)
    # Lengths are small whole numbers: counting them is several times faster than sorting millions.
    stops = np.bincount(lengths[stopped])
    times = np.flatnonzero(stops)
    num_stopped = stops[times]
    shorter = np.concatenate([[0], np.cumsum(np.bincount(lengths))])
    at_risk = len(lengths) - shorter[times]
    share_going = np.cumprod(1.0 - num_stopped / at_risk).astype(np.float64)
    return Survival(
        times=times.astype(np.float64),
        share_going=share_going,
        num_at_risk=at_risk.astype(np.float64),
        num_stopped=num_stopped.astype(np.float64),
    )


def median_tokens(tokens: Sequence[int], finished: Sequence[bool]) -> float | None:
    """The Kaplan-Meier median length, the least t with S(t) <= 1/2; None where fewer than half of the attempts stop (not reached)."""
    curve = survival(tokens, finished)
    # Products of fractions such as 3/4 * 2/3 land a rounding error above one half.
    reached = np.flatnonzero(curve.share_going <= 0.5 + 1e-12)
    return float(curve.times[reached[0]]) if len(reached) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictedMean:
    """The mean of min(length, cap), with its variance over independent units."""

    value: float
    variance: float | None
    """None with fewer than two units."""
    num_units: int


def restricted_mean(tokens: Sequence[int], finished: Sequence[bool], cap: int, units: Sequence[str] | Sequence[int] = ()) -> RestrictedMean:
    """The mean response length up to `cap`, the area under S(t) from 0 to `cap`, with its variance.

    Where all attempts share the cap this is the mean of min(length, cap). Where some were censored earlier (their prompt left
    fewer positions), Kaplan-Meier fills in; after the last observed length S stays as it is (Gill's rule), so the number may
    be too high, never too low.

    The variance sums the influence of each attempt within `units` (items, or clusters of items), so that samples of one item
    do not count as independent: Var = U/(U-1) * sum over units of (sum of influences)^2 / n^2. Without units and without the
    factor it is Greenwood's: sum of A_j^2 d_j / (n_j (n_j - d_j)), A_j the area under S from t_j to the cap.
    Sources: Irwin 1949; Reid 1981 (the influence function); Royston and Parmar 2013.
    """
    if not len(tokens):
        raise ValueError("a restricted mean needs at least one attempt; found none: leave the number missing instead")
    lengths = np.asarray(tokens, dtype=np.int64)
    stopped = np.asarray(finished, dtype=bool)
    curve = survival(tokens, finished)
    within = curve.times < cap
    times, share_going = curve.times[within], curve.share_going[within]
    edges = np.concatenate([[0.0], times, [float(cap)]])
    heights = np.concatenate([[1.0], share_going])
    areas = np.diff(edges) * heights
    value = float(areas.sum())
    area_after = np.cumsum(areas[::-1])[::-1][1:]

    influence = _influence(lengths, stopped, times, curve, area_after)
    labels = np.asarray(units) if len(units) else np.arange(len(lengths))
    unit_of = labels if np.issubdtype(labels.dtype, np.integer) else np.unique(labels, return_inverse=True)[1]
    sums = np.bincount(unit_of, weights=influence)[np.bincount(unit_of) > 0]
    num_units = len(sums)
    variance = float(num_units / (num_units - 1) * np.sum(sums**2) / len(lengths) ** 2) if num_units > 1 else None
    return RestrictedMean(value=value, variance=variance, num_units=num_units)


def _influence(lengths: NDArray[np.int64], stopped: NDArray[np.bool_], times: Numbers, curve: Survival, area_after: Numbers) -> Numbers:
    """How far each attempt moves the restricted mean, times n: with no early censoring it is min(length, cap) minus the mean."""
    if not len(times):
        return np.zeros(len(lengths))
    at_risk, num_stopped = curve.num_at_risk[: len(times)], curve.num_stopped[: len(times)]
    remaining = at_risk - num_stopped
    # Where everybody left stops at once, nothing is left to weigh: the area after it is zero too.
    per_stop = np.divide(len(lengths) * area_after, remaining, out=np.zeros(len(times)), where=remaining > 0)
    drift = np.concatenate([[0.0], np.cumsum(per_stop * num_stopped / at_risk)])
    # How many of `times` are at most, and how many are below, each length there is.
    is_time = np.zeros(int(max(lengths.max(), times[-1])) + 1, dtype=np.int64)
    is_time[times.astype(np.int64)] = 1
    at_most = np.cumsum(is_time)
    influence = drift[at_most[lengths]]
    position = (at_most - is_time)[lengths]
    at_own = stopped & (position < len(times))
    influence[at_own] -= per_stop[position[at_own]]
    return influence


def greenwood(curve: Survival) -> Numbers:
    """The standard error of S(t) at each of `times`, for independent attempts: S sqrt( sum of d_j / (n_j (n_j - d_j)) ).

    NaN where everybody left has stopped. Source: Greenwood 1926.
    """
    left = curve.num_at_risk - curve.num_stopped
    terms = np.divide(curve.num_stopped, curve.num_at_risk * left, out=np.full(len(left), np.nan), where=left > 0)
    return np.asarray(curve.share_going * np.sqrt(np.cumsum(terms)), dtype=np.float64)


def median_interval(tokens: Sequence[int], finished: Sequence[bool]) -> tuple[float | None, float | None]:
    """The 95 % interval of the Kaplan-Meier median: the lengths at which S(t) = 1/2 is not rejected; None for an end that is not reached.

    |g(S) - g(1/2)| <= 1.96 |g'(S)| SE with g(s) = log(-log s), for independent attempts: with several samples an item it is too narrow.
    Source: Brookmeyer and Crowley 1982, with the transform of Borgan and Liestol 1990.
    """
    curve = survival(tokens, finished)
    inside = (curve.share_going > 0) & (curve.share_going < 1)
    s, error = curve.share_going[inside], greenwood(curve)[inside]
    distance = np.log(-np.log(s)) - np.log(np.log(2.0))
    held = np.abs(distance) <= Z_95 * error / np.abs(s * np.log(s))
    times = curve.times[inside]
    if not held.any():
        middle = median_tokens(tokens, finished)
        return middle, middle
    last = int(np.flatnonzero(held)[-1])
    # S stays at a height until the next stop: the interval ends there, and nowhere where no further stop was seen.
    after = curve.times[curve.times > times[last]]
    return float(times[held][0]), float(after[0]) if len(after) else None
