"""Accuracy as if the cap on new tokens had been smaller, from the same attempts: what they wrote is stored, so no model is asked again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ray_study.analyze.statistics import NOTHING, Estimate, score
from ray_study.rows import UNJUDGED, GradedAttempt, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a smaller cap needs to know of one attempt; texts stay on disk."""

    problem_id: str
    sample: int
    cluster: str
    verdict: Verdict
    num_tokens: int
    cap: int


COLUMNS = ("problem_id", "sample", "cluster", "verdict", "num_tokens", "cap")
"""Of `GradedAttempt`: those that `Measured` has."""


def measured(rows: Iterable[Sequence[object]]) -> list[Measured]:
    """Attempts from tuples of `COLUMNS`."""
    return [Measured(**dict(zip(COLUMNS, row, strict=True))) for row in rows]  # type: ignore[arg-type]


WhenCut = Mapping[tuple[str, int, int], Verdict]
"""By item, sample and cap: the verdict on what of an attempt fits under the cap."""


def accuracy_at_caps(attempts: Sequence[Measured | GradedAttempt], caps: Iterable[int], when_cut: WhenCut) -> dict[int, Estimate | None]:
    """The accuracy that each cap would have given, by cap; None for a cap above that of every attempt: nobody knows how they went on.

    An attempt of as many tokens as the cap or fewer keeps its verdict. A longer one has that of its text as the cap would have cut it,
    which may hold an answer: many a model boxes one and writes on. Items, samples, clusters and intervals are those of
    `statistics.score`: an item's samples are averaged first, and what could not be judged is left out.

    Args:
        attempts: all of a checkpoint at a benchmark.
        caps: in tokens.
        when_cut: of every attempt that had an answer by the cap; one that is not in it counts as unfinished.
    """
    largest = max((attempt.cap for attempt in attempts), default=0)
    if not attempts:
        return dict.fromkeys(caps)
    items = sorted({attempt.problem_id for attempt in attempts})
    place = {item: number for number, item in enumerate(items)}
    cluster_of = {attempt.problem_id: attempt.cluster for attempt in attempts}
    item = np.array([place[attempt.problem_id] for attempt in attempts])
    num_samples = int(np.bincount(item).max())

    def at(cap: int) -> Estimate | None:
        if cap > largest:
            return None
        verdicts = [
            attempt.verdict if attempt.num_tokens <= cap else when_cut.get((attempt.problem_id, attempt.sample, cap), "unfinished")
            for attempt in attempts
        ]
        counts = np.bincount(item, weights=np.array([verdict not in UNJUDGED for verdict in verdicts]), minlength=len(items))
        right = np.bincount(item, weights=np.array([verdict == "correct" for verdict in verdicts]), minlength=len(items))
        judged = np.flatnonzero(counts)
        if not len(judged):
            return NOTHING
        means = right[judged] / counts[judged]
        return score([float(mean) for mean in means], [cluster_of[items[number]] for number in judged], num_samples=num_samples)

    return {cap: at(cap) for cap in caps}
