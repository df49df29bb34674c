"""How much each row of a step's batch counts: the only place that says how the losses of single tokens become one. Light: no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ray_study.config import Training


def row_weights(num_targets: Sequence[int], training: Training) -> list[float]:
    """For each row of the whole batch, in its order, the weight of one of its response tokens in the loss of the step.

    `token_mean` is the mean over all response tokens of the batch: whatever the micro-batches, packs and workers, each token counts
    the same. `micro_batch_token_mean` counts as the study's trainer does; see `_by_micro_batch`. Either way the weights come from the
    batch's order alone, so a real run may split and pack it as it likes.
    """
    if training.loss_aggregation == "micro_batch_token_mean":
        return _by_micro_batch(num_targets, training.layout_workers, training.layout_rows)
    return [1.0 / sum(num_targets)] * len(num_targets)


def _by_micro_batch(num_targets: Sequence[int], num_workers: int, num_rows: int) -> list[float]:
    """Weights that give the gradient of the study's trainer on a stated layout.

    Its workers take the rows in turn (torch's `DistributedSampler` without shuffling), each cuts its share, in order, into micro-batches
    of `num_rows`, the loss of one is the mean over its response tokens (`loss_agg_mode=token-mean`), each is back-propagated as it is,
    so they add up, and FSDP2 averages over workers: a token of a micro-batch with T targets weighs 1 / (num_workers * T). The sum of all
    weights is therefore the number of micro-batches of one worker, 8 at its defaults, and not 1: gradients are that much larger, and are
    clipped that much sooner. Source: `training_step`, `_compute_loss_and_backward` and `_build_dataloader` in
    `verl/trainer/fsdp_sft_trainer_ours.py`, github.com/Nebularaid2000/rethink_sft_generalization at 3378e2b.
    """
    places = [(index % num_workers, index // num_workers // num_rows) for index in range(len(num_targets))]
    totals: Counter[tuple[int, int]] = Counter()
    for place, number in zip(places, num_targets, strict=True):
        totals[place] += number
    return [1.0 / (num_workers * totals[place]) for place in places]
