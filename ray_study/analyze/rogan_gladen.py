"""A share that a judge with known error rates saw -> the share that there is: Rogan and Gladen's correction, with an interval.

theta = (p + specificity - 1) / (sensitivity + specificity - 1). Source: Rogan & Gladen 1978 (Am. J. Epidemiol. 107); for judges of
language models: Lee et al., arXiv 2511.21140. Where a judge says yes no more often of what is than of what is not (the divisor is 0 or
less), its share says nothing, and there is no corrected one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.lengths import Z_95
from ray_study.analyze.statistics import NOTHING, Estimate
from ray_study.rows import Score

CORRECTED = "_corrected"
"""Ends the name of a corrected metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """How often a judge is right about what people labelled."""

    sensitivity: float
    """Of what is, the share that it says yes to."""
    specificity: float
    """Of what is not, the share that it says no to."""
    num_positive: int
    num_negative: int
    num_failed: int = 0
    """Labelled items that it gave no judgement of; they are in neither share."""

    @property
    def youden(self) -> float:
        """Sensitivity + specificity - 1: 1 for a judge without error, 0 for one that guesses."""
        return self.sensitivity + self.specificity - 1

    def intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The 95 % Wilson intervals of sensitivity and specificity."""
        return wilson_interval(self.sensitivity, self.num_positive), wilson_interval(self.specificity, self.num_negative)

    def in_words(self) -> str:
        """The rates with their 95 % intervals, for people; whether they allow a correction."""
        (low, high), (least, most) = self.intervals()
        failed = f"; {self.num_failed} not judged" if self.num_failed else ""
        useless = "" if self.youden > 0 else "; no better than a guess, so nothing is corrected by it"
        return (
            f"sensitivity {self.sensitivity:.3f} ({low:.3f} to {high:.3f}) of {self.num_positive}, "
            f"specificity {self.specificity:.3f} ({least:.3f} to {most:.3f}) of {self.num_negative}{failed}{useless}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A corrected share."""

    estimate: Estimate
    note: str
    """What a reader must know: that it was clipped, or why there is none; empty otherwise."""


def error_rates(labels: Sequence[bool], said: Sequence[bool | None]) -> ErrorRates:
    """The error rates of a judge from labels by people and what it said; None is a failure of the judge.

    Raises:
        ValueError: no positive or no negative label was judged.
    """
    judged = [(label, word) for label, word in zip(labels, said, strict=True) if word is not None]
    positive = [word for label, word in judged if label]
    negative = [word for label, word in judged if not label]
    if not positive or not negative:
        raise ValueError(
            f"{len(positive)} positive and {len(negative)} negative labels were judged, {len(labels) - len(judged)} were not; both are "
            "needed to measure a judge: look at its replies"
        )
    return ErrorRates(
        sensitivity=sum(positive) / len(positive),
        specificity=sum(not word for word in negative) / len(negative),
        num_positive=len(positive),
        num_negative=len(negative),
        num_failed=len(labels) - len(judged),
    )


def corrected_share(share: float, standard_error: float | None, num_items: int, rates: ErrorRates) -> Corrected:
    """The corrected share, its standard error by the delta method, and its 95 % interval by Lang and Reiczigel.

    SE^2 = [SE(p)^2 + (1 - theta)^2 q0 (1 - q0) / m0 + theta^2 q1 (1 - q1) / m1] / (q0 + q1 - 1)^2 with q1 sensitivity, q0
    specificity, m1 and m0 labels. The interval (Lang & Reiczigel 2014, Prev. Vet. Med. 113) moves shares and rates away from 0 and 1
    first, so that a judge without an error on few labels does not look certain. Clusters enter by the number of independent items that
    would give the same standard error.

    Args:
        share: as the judge saw it.
        standard_error: of that, over items or clusters.
        num_items: behind it.
        rates: the judge's.
    """
    if rates.youden <= 0:
        why = (
            f"the judge's sensitivity {rates.sensitivity:.2f} and specificity {rates.specificity:.2f} add up to 1 or less: "
            "what it says does not depend on what is, so there is no corrected share"
        )
        return Corrected(estimate=replace(NOTHING, num_items=num_items), note=why)
    raw = (share + rates.specificity - 1) / rates.youden
    value = _within(raw)
    error = 0.0 if standard_error is None else standard_error
    variance = error**2 + _noise(value, rates, rates.num_positive, rates.num_negative)
    low, high = _interval(share, _effective(share, standard_error, num_items), rates)
    note = "" if raw == value else f"{raw:.3f} before it was clipped to a share"
    estimate = Estimate(
        value=value,
        standard_error=None if standard_error is None else math.sqrt(variance) / rates.youden,
        low=min(low, value),
        high=max(high, value),
        num_items=num_items,
    )
    return Corrected(estimate=estimate, note=note)


def corrected_scores(scores: Sequence[Score], rates: Mapping[str, ErrorRates]) -> list[Score]:
    """A score more for each of the metrics whose judge was validated, named `METRIC_corrected`."""
    made = []
    for score in scores:
        if score.metric in rates and score.value is not None:
            found = corrected_share(score.value, score.standard_error, score.num_items, rates[score.metric]).estimate
            made.append(
                replace(
                    score,
                    metric=score.metric + CORRECTED,
                    value=found.value,
                    standard_error=found.standard_error,
                    low=found.low,
                    high=found.high,
                )
            )
    return made


def _noise(share: float, rates: ErrorRates, num_positive: float, num_negative: float) -> float:
    """What the error rates, being measured, add to the variance of the judged share."""
    of_positive = rates.sensitivity * (1 - rates.sensitivity) / num_positive
    of_negative = rates.specificity * (1 - rates.specificity) / num_negative
    return (1 - share) ** 2 * of_negative + share**2 * of_positive


def _effective(share: float, standard_error: float | None, num_items: int) -> float:
    """How many independent items would give this standard error; the items themselves where that cannot be told."""
    if not standard_error or not 0 < share < 1:
        return num_items
    return min(float(num_items), share * (1 - share) / standard_error**2)


def _interval(share: float, num_items: float, rates: ErrorRates) -> tuple[float, float]:
    z2 = Z_95**2
    moved_share = (num_items * share + z2 / 2) / (num_items + z2)
    moved = ErrorRates(
        sensitivity=(rates.num_positive * rates.sensitivity + 1) / (rates.num_positive + 2),
        specificity=(rates.num_negative * rates.specificity + 1) / (rates.num_negative + 2),
        num_positive=rates.num_positive,
        num_negative=rates.num_negative,
    )
    if moved.youden <= 0:
        return 0.0, 1.0
    theta = (moved_share + moved.specificity - 1) / moved.youden
    shift = 2 * z2 * theta * moved.sensitivity * (1 - moved.sensitivity) / rates.num_positive
    shift -= 2 * z2 * (1 - theta) * moved.specificity * (1 - moved.specificity) / rates.num_negative
    variance = moved_share * (1 - moved_share) / (num_items + z2) + _noise(theta, moved, rates.num_positive, rates.num_negative)
    half = Z_95 * math.sqrt(variance) / moved.youden
    return _within(theta + shift - half), _within(theta + shift + half)


def _within(share: float) -> float:
    return min(1.0, max(0.0, share))
