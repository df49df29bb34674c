"""The loss of a run on examples that it never learns from (`holding_out` chooses them)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ray_study.train.batches import Cut, micro_batches
from ray_study.train.parallel import Engine, Place
from ray_study.train.tokenizing import Row

_NOTHING = Row(ids=(0, 0), num_prompt=2)
"""A row that is asked for nothing: it makes rows divisible by workers, which must all take part in each micro-batch."""


def held_out_loss(engine: Engine, rows: Sequence[Row], cut: Cut, place: Place) -> dict[str, float]:
    """`held_out_loss`, the mean negative log-likelihood of the rows' response tokens in nats, and `held_out_token_accuracy`.

    Empty where no row is held out. The same for any micro-batches and workers, as the loss of training is.
    """
    num_targets = sum(row.num_targets for row in rows)
    if not num_targets:
        return {}
    filled = [*rows, *[_NOTHING] * (-len(rows) % cut.num_workers)]
    totals = torch.zeros(2, dtype=torch.float64, device=place.device)
    for part in micro_batches(filled, [0.0] * len(filled), cut):
        totals += engine.measure(place.take(part))[:2]
    loss, hits = place.sum(totals)
    return {"held_out_loss": loss / num_targets, "held_out_token_accuracy": hits / num_targets}
