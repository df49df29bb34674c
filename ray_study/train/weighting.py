"""How much each row of a step's batch counts: the only place that says how the losses of single tokens become one. Light: no torch."""

from __future__ import annotations

from collections.abc import Sequence

from ray_study.config import Training


def row_weights(num_targets: Sequence[int], training: Training) -> list[float]:
    """For each row of the whole batch, in its order, the weight of one of its response tokens in the loss of the step.

    The mean over all response tokens of the batch: whatever the micro-batches, packs and workers, each token counts the same.
    """
    return [1.0 / sum(num_targets)] * len(num_targets)
