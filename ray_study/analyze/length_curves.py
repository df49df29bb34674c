"""Kaplan-Meier curves of response lengths by step: the share of attempts still writing after so many tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.lengths import Z_95, Numbers, Survival, restricted_mean, survival
from ray_study.analyze.statistics import independent_units
from ray_study.rows import GradedAttempt

LEVELS = 40
"""A curve has a point wherever it has fallen by another fortieth, so that a table of many curves stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthCurve:
    """The share of attempts of one arm at one benchmark and step that are still writing, seeds together."""

    label: str
    benchmark: str
    step: int
    cap: int
    """The largest; 0 where recorded attempts know none."""
    num_attempts: int
    num_items: int
    mean_of_cap: float
    """The restricted mean as a share of the cap."""
    tokens: Numbers
    """From 0 to the longest response, rising; the curve keeps its height from one to the next."""
    share: Numbers
    low: Numbers
    """95 %, at this number of tokens by itself; clustered by item."""
    high: Numbers


def length_curves(groups: Mapping[tuple[str, str], Mapping[int, Sequence[GradedAttempt]]]) -> list[LengthCurve]:
    """The curve of each (label, benchmark) at each step; attempts that were never asked have no length, and steps of these alone none."""
    found = []
    for (label, benchmark), by_step in groups.items():
        for step in sorted(by_step):
            asked = [each for each in by_step[step] if each.finish_reason != "refused"]
            if asked:
                found.append(_curve(label, benchmark, step, asked))
    return found


def _curve(label: str, benchmark: str, step: int, asked: Sequence[GradedAttempt]) -> LengthCurve:
    cluster_of = {each.problem_id: each.cluster for each in asked}
    items = sorted(cluster_of)
    names = dict(zip(items, independent_units(items, [cluster_of[item] for item in items]), strict=True))
    numbers = {name: number for number, name in enumerate(sorted(set(names.values())))}
    lengths, finished = [each.num_tokens for each in asked], [each.finish_reason == "stop" for each in asked]
    cap = max(each.cap for each in asked)
    curve = survival(lengths, finished)
    chosen = thinned(curve.share_going)
    unit_of = np.array([numbers[names[each.problem_id]] for each in asked], dtype=np.int64)
    low, high = intervals(curve, chosen, clustered_errors(curve, chosen, (lengths, finished), unit_of), len(numbers))
    longest = float(max(lengths))
    # The last height is kept to the longest response: where some were cut it stays above 0.
    is_short = not len(chosen) or curve.times[chosen[-1]] < longest
    ends = [-1] if is_short else []
    share = np.concatenate([[1.0], curve.share_going[chosen]])
    low, high = np.concatenate([[1.0], low]), np.concatenate([[1.0], high])
    return LengthCurve(
        label=label,
        benchmark=benchmark,
        step=step,
        cap=cap,
        num_attempts=len(asked),
        num_items=len(items),
        mean_of_cap=restricted_mean(lengths, finished, cap).value / cap if cap else 0.0,
        tokens=np.concatenate([[0.0], curve.times[chosen], [longest] if is_short else []]),
        share=np.concatenate([share, share[ends]]),
        low=np.concatenate([low, low[ends]]),
        high=np.concatenate([high, high[ends]]),
    )


def thinned(share_going: Numbers, levels: int = LEVELS) -> NDArray[np.int64]:
    """Which points of a falling curve are kept, as indices: the first at or below each of so many levels, and the last."""
    if not len(share_going):
        return np.zeros(0, dtype=np.int64)
    wanted = np.arange(levels - 1, -1, -1) / levels
    # Products of fractions land a rounding error above a level.
    first = np.searchsorted(-share_going, -wanted - 1e-12)
    return np.unique(np.append(first[first < len(share_going)], len(share_going) - 1)).astype(np.int64)


def clustered_errors(
    curve: Survival, chosen: NDArray[np.int64], attempts: tuple[Sequence[int], Sequence[bool]], unit_of: NDArray[np.int64]
) -> Numbers:
    """The standard error of S at the chosen points, with the samples of one unit taken together.

    Var = U/(U-1) * sum over units of (sum of influences)^2 / n^2. An attempt's influence on S(t) is -S(t) times (n / (n_j - d_j) where it
    stopped at t_j <= t, less the sum of n d_j / (n_j (n_j - d_j)) over t_j up to t and its own length). One unit an attempt and without
    the factor, it is Greenwood's. Sources: Reid 1981 (the influence function); Williams 1995 (Kaplan-Meier of correlated data).
    """
    lengths, stopped = np.asarray(attempts[0], dtype=np.int64), np.asarray(attempts[1], dtype=bool)
    number, left = len(lengths), curve.num_at_risk - curve.num_stopped
    per_stop = np.divide(number, left, out=np.zeros(len(left)), where=left > 0)
    drift = np.concatenate([[0.0], np.cumsum(per_stop * curve.num_stopped / curve.num_at_risk)])
    at_most = np.searchsorted(curve.times, lengths, side="right")
    own = np.where(stopped, per_stop[at_most - 1], 0.0) if len(per_stop) else np.zeros(number)
    until = chosen + 1
    influence = np.where(at_most[:, None] <= until, own[:, None], 0.0) - drift[np.minimum(at_most[:, None], until)]
    sums = np.zeros((int(unit_of.max()) + 1, len(chosen)))
    np.add.at(sums, unit_of, influence * curve.share_going[chosen])
    units = len(sums)
    if units < 2:
        return np.full(len(chosen), np.nan)
    return np.asarray(np.sqrt(units / (units - 1) * (sums**2).sum(axis=0)) / number, dtype=np.float64)


def intervals(curve: Survival, chosen: NDArray[np.int64], errors: Numbers, num_units: int) -> tuple[Numbers, Numbers]:
    """The 95 % interval of S at the chosen points: S^exp(+-1.96 SE / |S log S|), and Wilson's on the units where all have stopped.

    Source: Kalbfleisch and Prentice 2002, section 1.4 (log of minus log). Without an error both ends are NaN.
    """
    share = curve.share_going[chosen]
    inside = share > 1e-12
    s = np.where(inside, share, 0.5)
    width = Z_95 * errors / np.abs(s * np.log(s))
    none = wilson_interval(0.0, num_units)[1] if num_units > 1 else np.nan
    low, high = s ** np.exp(width), s ** np.exp(-width)
    return np.where(inside, low, 0.0), np.where(inside, high, none)


_SCHEMA = {
    "label": pl.String,
    "benchmark": pl.String,
    "step": pl.Int64,
    "num_attempts": pl.Int64,
    "num_items": pl.Int64,
    "cap": pl.Int64,
    "tokens": pl.Int64,
    "share_writing": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def curves_table(curves: Sequence[LengthCurve]) -> pl.DataFrame:
    """The points of all curves, a row a point."""
    rows = [
        (each.label, each.benchmark, each.step, each.num_attempts, each.num_items, each.cap, int(tokens), *map(float, at))
        for each in curves
        for tokens, *at in zip(each.tokens, each.share, each.low, each.high, strict=True)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(pl.col("low", "high").fill_nan(None))
