"""What the verdicts of one checkpoint on one benchmark say, with uncertainty over items: the scores of the study.

The rules, once: an item's samples are averaged first and the standard error is taken over item means, since the spread
between repeated runs of the exam knows nothing of which items were drawn. Attempts that could not be judged are left out of
both sides of a share and counted. A benchmark that came back short is an error, never a smaller denominator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ray_study.analyze.intervals import FEW_ITEMS, few_items_interval, t_interval, wilson_interval
from ray_study.analyze.judged import MEANS
from ray_study.analyze.lengths import median_tokens, restricted_mean
from ray_study.analyze.readings import INSTRUCTION_METRICS, instruction_values, readers

# Named again: what counts for an attempt is part of every number here.
from ray_study.analyze.readings import accuracy_value as accuracy_value
from ray_study.rows import UNJUDGED, GradedAttempt, Group, Score

LEAST_CLUSTERS = 5
"""Fewer clusters than this give a clustered standard error too few degrees of freedom to mean anything."""

Values = Mapping[str, Sequence[float | None]]
"""Item -> one value a sample, None where that sample could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its standard error and 95 % interval; all None where nothing could be judged."""

    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    num_items: int


NOTHING = Estimate(value=None, standard_error=None, low=None, high=None, num_items=0)


def avg_at_k(values: Values, *, num_samples: int, expected_items: int) -> dict[str, float]:
    """The mean of each item over the samples that came back judged; items with none are left out.

    The divisor is the number of samples received. Asking for k and dividing by it while fewer came back would shrink the
    score, so a shortfall raises ValueError instead, and so does an item with more samples than were asked for.
    """
    odd = {item: len(samples) for item, samples in values.items() if len(samples) != num_samples}
    if len(values) != expected_items or odd:
        received = sum(len(samples) for samples in values.values())
        shown = dict(sorted(odd.items())[:3])
        raise ValueError(
            f"found {received} attempts at {len(values)} items, expected {expected_items * num_samples} "
            f"({expected_items} items x {num_samples} samples); items with another number of samples: {shown or 'none'}; "
            "ask the model again for what is missing before scoring"
        )
    judged = {item: [value for value in samples if value is not None] for item, samples in values.items()}
    return {item: math.fsum(samples) / len(samples) for item, samples in judged.items() if samples}


def independent_units(items: Sequence[str], clusters: Sequence[str]) -> list[str]:
    """The unit that counts as one independent draw, for each item: its cluster where clusters are of use, otherwise the item.

    Clusters are of use when some cluster holds more than one item and there are at least five of them. With fewer, the
    standard error over items is given, which is then too small: a benchmark out of three passages cannot know better.
    """
    distinct = len(set(clusters))
    if not clusters or distinct == len(items) or distinct < LEAST_CLUSTERS:
        return list(items)
    return list(clusters)


def clustered_standard_error(values: Sequence[float], units: Sequence[str]) -> float | None:
    """The standard error of the mean of `values`, where those of one unit are not independent; None with fewer than two units.

    SE = sqrt( C/(C-1) * sum over units c of ( sum over i in c of (x_i - mean) )^2 ) / n. With every item its own unit this is
    sqrt( sum (x_i - mean)^2 / (n (n-1)) ). Computed on item means it already holds the noise of sampling. Source: Miller 2024
    (arXiv 2411.00640), with the small-sample factor C/(C-1).
    """
    _, unit_of = np.unique(np.asarray(units), return_inverse=True)
    x = np.asarray(values, dtype=np.float64)
    sums = np.bincount(unit_of, weights=x - x.mean())
    if len(sums) < 2:
        return None
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(x))


def score(item_means: Sequence[float], clusters: Sequence[str] = (), *, num_samples: int) -> Estimate:
    """The mean of item means (each a share between 0 and 1) with its standard error over items and 95 % interval.

    The interval of fewer than 30 independent items is that of `few_items_interval`. Of more it is Wilson's where every item was asked once
    and items are independent. Otherwise it is Student's t on the standard error over items, or over clusters (`independent_units`), kept
    within 0 and 1. Where that error is zero, since all items agree, an interval without width would claim certainty: Wilson on the
    number of independent units takes its place.
    """
    if not item_means:
        return NOTHING
    n = len(item_means)
    items = [str(number) for number in range(n)]
    units = independent_units(items, clusters)
    num_units = len(set(units))
    value = math.fsum(item_means) / n
    error = clustered_standard_error(item_means, units)
    return share_estimate(value, error, num_items=n, num_units=num_units, num_samples=num_samples)


def share_estimate(value: float, error: float | None, *, num_items: int, num_units: int, num_samples: int) -> Estimate:
    """A mean of shares with its interval, chosen as `score` says, from its standard error over `num_units` independent units."""
    if num_units == num_items < FEW_ITEMS:
        low, high = few_items_interval(min(max(value, 0.0), 1.0), error, num_items=num_items, num_samples=num_samples)
    elif not error or (num_samples == 1 and num_units == num_items):
        low, high = wilson_interval(min(max(value, 0.0), 1.0), num_units)
    else:
        low, high = t_interval(value, error, num_units)
    return Estimate(value=value, standard_error=error, low=max(0.0, low), high=min(1.0, high), num_items=num_items)


def mean(item_means: Sequence[float], clusters: Sequence[str] = ()) -> Estimate:
    """The mean of item means that are no shares, such as rewards, with its clustered standard error and Student's t interval."""
    if not item_means:
        return NOTHING
    n = len(item_means)
    units = independent_units([str(number) for number in range(n)], clusters)
    value, error = math.fsum(item_means) / n, clustered_standard_error(item_means, units)
    low, high = (None, None) if error is None else t_interval(value, error, len(set(units)))
    return Estimate(value=value, standard_error=error, low=low, high=high, num_items=n)


def instruction_estimates(attempts: Sequence[tuple[Hashable, str]], cluster_of: Mapping[Any, str]) -> dict[str, Estimate]:
    """IFEval's accuracies by instruction: the share of all instructions that are followed, those of one prompt never independent.

    `attempts` as in `instruction_values`; nothing where none has details. The standard error is that of `clustered_standard_error` over
    instructions with prompts (or their clusters) as units, the interval Student's t.
    """
    found = {}
    for metric in INSTRUCTION_METRICS:
        values, of = instruction_values(attempts, metric)
        items = list(dict.fromkeys(of))
        unit = dict(zip(items, independent_units(list(map(str, items)), [cluster_of[item] for item in items]), strict=True))
        units = [unit[item] for item in of]
        error = clustered_standard_error(values, units) if values else None
        value = math.fsum(values) / len(values) if values else 0.0
        how = {"num_items": len(items), "num_units": len(set(units)), "num_samples": 0}
        found[metric] = share_estimate(value, error, **how) if values else NOTHING
    return found


def values_by_item(graded: Sequence[GradedAttempt], read: Callable[[GradedAttempt], float | None]) -> dict[str, list[float | None]]:
    """Item -> what `read` says of each of its attempts, in order of items and samples."""
    values: dict[str, list[float | None]] = {}
    for attempt in sorted(graded, key=lambda attempt: (attempt.problem_id, attempt.sample)):
        values.setdefault(attempt.problem_id, []).append(read(attempt))
    return values


def summarize(  # noqa: PLR0913 - the five that name the cell stand in every row made here
    graded: Sequence[GradedAttempt],
    *,
    run: str,
    step: int,
    benchmark: str,
    group: Group,
    num_samples: int,
    expected_items: int,
) -> list[Score]:
    """The scores of one checkpoint on one benchmark: one row a metric, the primary metric first.

    `accuracy` (for kind `refusal`: `share_refused`), `lenient_accuracy` and `share_boxed` (an answer was found where it was asked
    for; neither exists for `refusal`, and kind `judged` has what `judged_readers` says instead; kind `instructions` has no boxes, but
    `instruction_accuracy` and `lenient_instruction_accuracy`), `share_finished` (ended by a stop
    token), `share_unjudged`, `response_tokens` (restricted mean up to the cap) and `response_tokens_median` (Kaplan-Meier; None
    where more than half were cut).

    Unjudged attempts are in no accuracy and are counted in `num_unjudged`; never-asked attempts have no length. `num_items` is
    the number of items that entered the metric. Raises ValueError where attempts are missing, or stand twice.
    """
    seen = Counter((attempt.problem_id, attempt.sample) for attempt in graded)
    twice = sorted(key for key, count in seen.items() if count > 1)
    if twice:
        raise ValueError(f"{benchmark}, step {step}: {len(twice)} attempts stand twice, such as {twice[0]}; expected each once")
    row = partial(Score, run=run, step=step, benchmark=benchmark, group=group)
    cluster_of = {attempt.problem_id: attempt.cluster for attempt in graded}
    unjudged = sum(attempt.verdict in UNJUDGED for attempt in graded)
    leniently = sum(attempt.lenient_verdict in UNJUDGED for attempt in graded)
    scores = []
    for metric, read in readers(graded).items():
        means = avg_at_k(values_by_item(graded, read), num_samples=num_samples, expected_items=expected_items)
        clusters = [cluster_of[item] for item in means]
        found = mean(list(means.values()), clusters) if metric in MEANS else score(list(means.values()), clusters, num_samples=num_samples)
        scores.append(_as_score(row, metric, found, leniently if metric == "lenient_accuracy" else unjudged))
    further = _lengths(graded, cluster_of)
    if {attempt.kind for attempt in graded} == {"instructions"}:
        judged = [(attempt.problem_id, attempt.details) for attempt in graded if attempt.verdict not in UNJUDGED]
        further = instruction_estimates(judged, cluster_of) | further
    return [*scores, *(_as_score(row, metric, found, unjudged) for metric, found in further.items())]


def _as_score(row: Callable[..., Score], metric: str, found: Estimate, num_unjudged: int) -> Score:
    return row(
        metric=metric,
        value=found.value,
        standard_error=found.standard_error,
        low=found.low,
        high=found.high,
        num_items=found.num_items,
        num_unjudged=num_unjudged,
    )


def _lengths(graded: Sequence[GradedAttempt], cluster_of: Mapping[str, str]) -> dict[str, Estimate]:
    """The two numbers on response length; missing where no attempt was asked."""
    asked = [attempt for attempt in graded if attempt.finish_reason != "refused"]
    if not asked:
        return {"response_tokens": NOTHING, "response_tokens_median": NOTHING}
    tokens = [attempt.num_tokens for attempt in asked]
    finished = [attempt.finish_reason == "stop" for attempt in asked]
    items = sorted({attempt.problem_id for attempt in asked})
    unit_of = dict(zip(items, independent_units(items, [cluster_of[item] for item in items]), strict=True))
    return length_estimates(
        tokens,
        finished,
        cap=max(attempt.cap for attempt in asked),
        units=[unit_of[attempt.problem_id] for attempt in asked],
        num_items=len(items),
    )


def length_estimates(
    tokens: Sequence[int], finished: Sequence[bool], *, cap: int, units: Sequence[str] | Sequence[int], num_items: int
) -> dict[str, Estimate]:
    """`response_tokens` and `response_tokens_median` of attempts with these lengths, each in one of the independent `units`."""
    mean = restricted_mean(tokens, finished, cap, units)
    error = None if mean.variance is None else math.sqrt(mean.variance)
    low, high = (None, None) if error is None else t_interval(mean.value, error, mean.num_units)
    return {
        "response_tokens": Estimate(
            value=mean.value,
            standard_error=error,
            low=None if low is None else max(0.0, low),
            high=None if high is None else min(float(cap), high),
            num_items=num_items,
        ),
        "response_tokens_median": Estimate(
            value=median_tokens(tokens, finished), standard_error=None, low=None, high=None, num_items=num_items
        ),
    }
