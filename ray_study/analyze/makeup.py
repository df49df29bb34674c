"""What a change in accuracy is made of: forgetting how, or forgetting to stop.

accuracy = share finished x share answered given finished x share right given answered + share right though cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves, Numbers, curves_of_attempts, draw_trajectories, percentile_interval
from ray_study.analyze.statistics import Estimate
from ray_study.rows import UNJUDGED, GradedAttempt

DRAWS = 2_000
PARTS = ("finished", "answered", "right", "right_though_cut")


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """The parts of one checkpoint's accuracy. A conditional share is None where nothing fulfils its condition."""

    step: int
    accuracy: float
    finished: float
    """Share of attempts that ended by a stop token."""
    answered: float | None
    """Of those, the share with an answer."""
    right: float | None
    """Of those in turn, the share that is right."""
    right_though_cut: float
    """Share of all attempts that are right though they did not finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOf:
    """How much of a change in accuracy each part accounts for; the four add up to the change."""

    before: Makeup
    after: Makeup
    change: Estimate
    parts: Mapping[str, Estimate]
    """`PARTS` -> its part of the change, in shares of all attempts."""


def makeups(by_step: Mapping[int, Sequence[GradedAttempt]]) -> list[Makeup]:
    """The parts of the accuracy at each step, over the items that were judged at every step.

    Attempts are averaged within items first, so the product of the parts is the accuracy as it is scored. Unjudged attempts are left
    out. A right attempt counts as answered, extracted answer or not: a refusal has none.
    """
    if not by_step:
        return []
    curves = _curves(by_step)
    sums = np.stack([each.curve() for each in curves])
    return [_makeup(step, sums[:, number]) for number, step in enumerate(curves[0].steps)]


def made_of(before: tuple[int, Sequence[GradedAttempt]], after: tuple[int, Sequence[GradedAttempt]], num_draws: int = DRAWS) -> MadeOf:
    """How the change between two checkpoints, each a step with its attempts, divides among the parts, with bootstrap intervals over items.

    Each factor's part is its change times the mean of the others over all orders of changing them (Shapley 1953; for products:
    Shorrocks 2013), so no order is preferred and nothing is left over. A conditional share that one side lacks counts as unchanged.

    Raises:
        ValueError: no item was judged at both steps.
    """
    curves = _curves({before[0]: before[1], after[0]: after[1]})
    first, last = (0, 1) if before[0] < after[0] else (1, 0)
    # The same seed and the same items: the four are drawn together.
    drawn = np.stack([draw_trajectories(each, num_draws=num_draws) for each in curves], axis=1)
    sums = np.stack([each.curve() for each in curves])
    values = _contributions(sums[None, :, first], sums[None, :, last])[0]
    draws = _contributions(drawn[:, :, first], drawn[:, :, last])
    num_items = len(curves[0].items)
    return MadeOf(
        before=_makeup(before[0], sums[:, first]),
        after=_makeup(after[0], sums[:, last]),
        change=_estimate(float(values.sum()), draws.sum(axis=1), num_items),
        parts={name: _estimate(float(values[number]), draws[:, number], num_items) for number, name in enumerate(PARTS)},
    )


def _estimate(value: float, draws: Numbers, num_items: int) -> Estimate:
    low, high = percentile_interval(draws)
    return Estimate(value=value, standard_error=float(draws.std(ddof=1)), low=low, high=high, num_items=num_items)


def _curves(by_step: Mapping[int, Sequence[GradedAttempt]]) -> list[ItemCurves]:
    """Shares of all attempts: finished, finished and answered, these and right, right though cut; over the same items."""
    judged = {step: _known(graded) for step, graded in by_step.items()}
    readers = (
        lambda attempt: float(attempt.finish_reason == "stop"),
        lambda attempt: float(attempt.finish_reason == "stop" and _answered(attempt)),
        lambda attempt: float(attempt.finish_reason == "stop" and attempt.verdict == "correct"),
        lambda attempt: float(attempt.finish_reason != "stop" and attempt.verdict == "correct"),
    )
    return [curves_of_attempts([judged], read) for read in readers]


def _known(graded: Sequence[GradedAttempt]) -> list[GradedAttempt]:
    return [attempt for attempt in graded if attempt.verdict not in UNJUDGED]


def _answered(attempt: GradedAttempt) -> bool:
    return attempt.answer is not None or attempt.verdict == "correct"


def _makeup(step: int, shares: Numbers) -> Makeup:
    finished, answered, right, cut = (float(share) for share in shares)
    return Makeup(
        step=step,
        accuracy=right + cut,
        finished=finished,
        answered=answered / finished if finished else None,
        right=right / answered if answered else None,
        right_though_cut=cut,
    )


def _contributions(before: Numbers, after: Numbers) -> Numbers:
    """The part of each of `PARTS` in the change, draws x 4, from shares of all attempts, draws x 4."""
    old, new = _factors(before), _factors(after)
    known = np.isfinite(old) & np.isfinite(new)
    # A factor that only one side has is unchanged; one that neither has multiplies nothing.
    a = np.where(np.isfinite(old), old, np.where(np.isfinite(new), new, 0.0))
    b = np.where(known, new, a)
    parts = []
    for factor in range(3):
        one, other = (factor + 1) % 3, (factor + 2) % 3
        ends = 2 * a[:, one] * a[:, other] + 2 * b[:, one] * b[:, other]
        mixed = a[:, one] * b[:, other] + b[:, one] * a[:, other]
        parts.append((b[:, factor] - a[:, factor]) * (ends + mixed) / 6)
    return np.stack([*parts, after[:, 3] - before[:, 3]], axis=1)


def _factors(shares: Numbers) -> Numbers:
    """Finished, answered given finished, right given answered; NaN where the condition is never fulfilled."""
    finished, answered, right = shares[:, 0], shares[:, 1], shares[:, 2]
    nothing = np.full(len(shares), np.nan)
    return np.stack(
        [
            finished,
            np.divide(answered, finished, out=nothing.copy(), where=finished > 0),
            np.divide(right, answered, out=nothing.copy(), where=answered > 0),
        ],
        axis=1,
    )
