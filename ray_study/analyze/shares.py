"""Scores of several samples an item (pass@k, pass^k, maj@k) and intervals for shares, rare events and few items."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ray_study.analyze.intervals import FEW_ITEMS, beta_interval, clopper_pearson, wilson_interval
from ray_study.analyze.statistics import Estimate, score
from ray_study.rows import UNJUDGED, GradedAttempt


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """The chance that at least one of k samples is right, unbiased from `num_right` of `num_samples`; NaN with fewer than k.

    1 - C(n-c, k) / C(n, k). Source: Chen et al. 2021 (arXiv 2107.03374), section 2.1.
    """
    _check(num_samples, num_right, k)
    if num_samples < k:
        return math.nan
    return 1.0 - math.comb(num_samples - num_right, k) / math.comb(num_samples, k)


def pass_all_k(num_samples: int, num_right: int, k: int) -> float:
    """The chance that all of k samples are right (pass^k), unbiased from `num_right` of `num_samples`; NaN with fewer than k.

    C(c, k) / C(n, k). Source: Yao et al. 2024 (arXiv 2406.12045), section 3.
    """
    _check(num_samples, num_right, k)
    return math.nan if num_samples < k else math.comb(num_right, k) / math.comb(num_samples, k)


def _check(num_samples: int, num_right: int, k: int) -> None:
    if k < 1 or not 0 <= num_right <= num_samples:
        raise ValueError(f"found k = {k} and {num_right} right of {num_samples} samples, expected k of 1 or more and 0 <= right <= samples")


def majority_share(answers: Sequence[str | None], right: Sequence[bool]) -> float:
    """How likely the answer that most samples give is right (maj@k): 1 or 0, and in a tie the right ones' part of the tied answers.

    Answers are compared as they were extracted; all that the verifier calls right count as one answer, since they are equal to the
    gold one however they are spelt. A sample without an answer gives no vote. Source: Wang et al. 2022 (arXiv 2203.11171).
    """
    votes = Counter(
        "right" if good else f"wrong: {answer}" for answer, good in zip(answers, right, strict=True) if good or answer is not None
    )
    most = max(votes.values(), default=0)
    winners = [name for name, count in votes.items() if count == most]
    return winners.count("right") / len(winners) if winners else 0.0


def at_k(graded: Sequence[GradedAttempt], k: int) -> dict[str, Estimate]:
    """`pass@k`, `pass^k` and `maj@k` of one checkpoint at one benchmark, with errors over items, clustered where they share a source.

    pass@k and pass^k take all judged samples of an item; maj@k takes the first k judged ones. An item with fewer than k judged samples
    is in none of the three, and `num_items` says how many are.

    Raises:
        ValueError: no item has k judged samples, since fewer were asked for.
    """
    by_item: dict[str, list[GradedAttempt]] = {}
    for attempt in sorted(graded, key=lambda attempt: (attempt.problem_id, attempt.sample)):
        if attempt.verdict not in UNJUDGED:
            by_item.setdefault(attempt.problem_id, []).append(attempt)
    enough = {item: samples for item, samples in by_item.items() if len(samples) >= k}
    if not enough:
        most = max((len(samples) for samples in by_item.values()), default=0)
        raise ValueError(
            f"found at most {most} judged samples an item, expected {k} or more: ask for num_samples of {k}, or for a smaller k"
        )
    clusters = [samples[0].cluster for samples in enough.values()]
    counts = [(len(samples), sum(each.verdict == "correct" for each in samples)) for samples in enough.values()]
    votes = [([each.answer for each in samples[:k]], [each.verdict == "correct" for each in samples[:k]]) for samples in enough.values()]
    found = {
        f"pass@{k}": [pass_at_k(n, c, k) for n, c in counts],
        f"pass^{k}": [pass_all_k(n, c, k) for n, c in counts],
        f"maj@{k}": [majority_share(answers, right) for answers, right in votes],
    }
    return {name: score(values, clusters, num_samples=max(n for n, _ in counts)) for name, values in found.items()}


def rule_of_three(num: int) -> float:
    """The one-sided upper 95 % bound of a rate of which `num` independent draws showed no event: 1 - 0.05^(1/n), about 3/n.

    Source: Hanley and Lippman-Hand 1983.
    """
    return -math.expm1(math.log(0.05) / num)


def beta_binomial_interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The 95 % interval of a share over few items that were each asked several times, given as (right, samples) of each item.

    Samples of one item are alike, so K samples of n items are worth fewer than n K draws: K / (1 + (K-1) rho) an item, where rho is the
    correlation within items, by moments (analysis of variance: Ridout et al. 1999). See `beta_interval`. No central limit is asked for,
    and a share of 0 or 1 has a width.
    """
    num = sum(n for _, n in counts)
    right = sum(c for c, _ in counts)
    return beta_interval(right / num, num / _design_effect(counts), num_items=len(counts), num_samples=num / len(counts))


def _design_effect(counts: Sequence[tuple[int, int]]) -> float:
    """1 + (K-1) rho, with rho within 0 and 1; where all items agree rho is taken as 1, since nothing shows otherwise."""
    items, num = len(counts), sum(n for _, n in counts)
    mean = sum(c for c, _ in counts) / num
    size = num / items
    if size <= 1 or items < 2:
        return max(1.0, size)
    if mean in (0.0, 1.0):
        return size
    within = sum(c * (n - c) / n for c, n in counts) / (num - items)
    between = sum(n * (c / n - mean) ** 2 for c, n in counts) / (items - 1)
    rho = (between - within) / (between + (size - 1) * within)
    return 1.0 + (size - 1.0) * min(1.0, max(0.0, rho))


def share_interval(counts: Mapping[str, tuple[int, int]]) -> tuple[float, float]:
    """The 95 % interval of a share by how many items there are, from item -> (right, samples): for items that are independent.

    Few items asked once: Clopper-Pearson. Few asked several times: Beta-Binomial. Many asked once: Wilson. Many asked several
    times: Student's t over item means, as `score` gives it.
    """
    pairs = list(counts.values())
    if not pairs:
        raise ValueError("found no item, expected at least one: a share of nothing is missing, not an interval")
    once = all(n == 1 for _, n in pairs)
    if len(pairs) < FEW_ITEMS:
        return clopper_pearson(sum(c for c, _ in pairs), len(pairs)) if once else beta_binomial_interval(pairs)
    if once:
        return wilson_interval(sum(c for c, _ in pairs) / len(pairs), len(pairs))
    found = score([c / n for c, n in pairs], num_samples=max(n for _, n in pairs))
    return (found.low or 0.0, 1.0 if found.high is None else found.high)
