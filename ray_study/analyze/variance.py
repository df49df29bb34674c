"""Where the spread of a score comes from: items, samples, training seeds; and how far one checkpoint differs from itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.comparisons import Difference, compare
from ray_study.analyze.lengths import Z_95
from ray_study.rows import UNJUDGED, GradedAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Variances of one step's score, in squared shares. A part that one seed or one sample cannot show is None."""

    step: int
    items: float
    """Between items: their true difficulty."""
    samples: float | None
    """Of one sample of one item: E p(1-p)."""
    seeds: float | None
    """Between training seeds, the same for all items."""
    seeds_by_items: float | None
    """What is left: a seed that is good at some items and bad at others. With one sample an item it holds the samples too."""

    def standard_error(self, *, num_items: int, num_samples: int, num_seeds: int) -> float:
        """The standard error of a score by another design, over new items and new seeds: what more of each would buy."""
        samples = (self.samples or 0.0) / (num_items * num_samples * num_seeds)
        crossed = (self.seeds_by_items or 0.0) / (num_items * num_seeds)
        return math.sqrt(self.items / num_items + (self.seeds or 0.0) / num_seeds + crossed + samples)


def components(curves: ItemCurves) -> list[Components]:
    """The components of variance of each step's score, by moments; items and seeds are crossed, samples lie within both.

    With x the item means, S seeds, n items, K samples: E MS(rest) = s2_si + s2_e/K, E MS(items) = that + S s2_i, E MS(seeds) = that +
    n s2_s, and s2_e = E x(1-x) K/(K-1). What moments make negative is put to zero. Source: Searle, Casella and McCulloch 1992,
    section 4.3 (two-way crossed, random).
    """
    return [_at(curves, number) for number in range(len(curves.steps))]


def _at(curves: ItemCurves, number: int) -> Components:
    x = curves.means[:, :, number]
    counts = curves.num_samples[:, :, number].astype(np.float64)
    num_seeds, num_items = x.shape
    several = counts > 1
    within = float(np.mean(x[several] * (1 - x[several]) * counts[several] / (counts[several] - 1))) if several.any() else None
    noise = 0.0 if within is None else within * float(np.mean(1 / counts))
    by_item, by_seed, mean = x.mean(axis=0), x.mean(axis=1), float(x.mean())
    ms_items = num_seeds * float(((by_item - mean) ** 2).sum()) / max(1, num_items - 1)
    if num_seeds < 2:
        return Components(step=curves.steps[number], items=max(0.0, ms_items - noise), samples=within, seeds=None, seeds_by_items=None)
    rest = x - by_item[None, :] - by_seed[:, None] + mean
    ms_rest = float((rest**2).sum()) / ((num_seeds - 1) * max(1, num_items - 1))
    ms_seeds = num_items * float(((by_seed - mean) ** 2).sum()) / (num_seeds - 1)
    return Components(
        step=curves.steps[number],
        items=max(0.0, (ms_items - ms_rest) / num_seeds),
        samples=within,
        seeds=max(0.0, (ms_seeds - ms_rest) / num_items),
        seeds_by_items=max(0.0, ms_rest - noise),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """How far one checkpoint, scored twice, is from itself: no smaller difference between checkpoints means anything."""

    difference: Difference
    """The second score less the first, by item; what it is made of is sampling, batching and rounding."""
    share_flipped: float
    """Of the attempts judged both times, those that were right once and wrong once: 0 where the same seed gives the same text."""
    share_same_text: float
    """Of them, those whose text came out the same."""
    num_attempts: int


def noise_floor(first: Sequence[GradedAttempt], second: Sequence[GradedAttempt]) -> NoiseFloor:
    """The noise floor from two sets of attempts of one checkpoint at one benchmark, matched by item and sample.

    Raises:
        ValueError: nothing was judged in both.
    """
    again = {(each.problem_id, each.sample): each for each in second if each.verdict not in UNJUDGED}
    pairs = [
        (each, again[each.problem_id, each.sample])
        for each in first
        if each.verdict not in UNJUDGED and (each.problem_id, each.sample) in again
    ]
    if not pairs:
        raise ValueError(f"found no attempt judged in both of {len(first)} and {len(second)}, expected the same items and samples twice")
    flipped = sum((one.verdict == "correct") != (other.verdict == "correct") for one, other in pairs)
    return NoiseFloor(
        difference=compare([one for one, _ in pairs], [other for _, other in pairs]),
        share_flipped=flipped / len(pairs),
        share_same_text=sum(one.text == other.text for one, other in pairs) / len(pairs),
        num_attempts=len(pairs),
    )


def sampling_variance(curves: ItemCurves, at: Sequence[int]) -> tuple[float | None, float]:
    """E p(1-p) of one sample over the steps, and the variance that sampling gives to an item's difference: unknown is 0 there."""
    found, noise = [], 0.0
    for number in at:
        x, counts = curves.means[:, :, number], curves.num_samples[:, :, number].astype(np.float64)
        several = counts > 1
        if not several.any():
            return None, 0.0
        found.append(float(np.mean(x[several] * (1 - x[several]) * counts[several] / (counts[several] - 1))))
        noise += found[-1] * float(np.mean(1 / counts))
    return float(np.mean(found)), noise


def sampling_floor(curves: ItemCurves, before: int, after: int) -> float | None:
    """How far two scorings of one checkpoint, by these items and samples, lie apart in 19 of 20 cases; None where items were asked once.

    1.96 sqrt( E p(1-p) (1/K + 1/K) / n ): sampling alone. Batching and rounding come on top, and `noise_floor` of a second scoring shows
    them too.
    """
    within, noise = sampling_variance(curves, [curves.steps.index(before), curves.steps.index(after)])
    return None if within is None else Z_95 * math.sqrt(noise / (len(curves.items) * len(curves.means)))


def split_samples(graded: Sequence[GradedAttempt]) -> tuple[list[GradedAttempt], list[GradedAttempt]] | None:
    """Two scorings of a checkpoint out of one, for `noise_floor`: its even samples and its odd ones; None where items were asked once."""
    num_pairs = (max((each.sample for each in graded), default=0) + 1) // 2
    if not num_pairs:
        return None
    paired = [each for each in graded if each.sample < 2 * num_pairs]
    halves = [[replace(each, sample=each.sample // 2) for each in paired if each.sample % 2 == rest] for rest in (0, 1)]
    return halves[0], halves[1]
