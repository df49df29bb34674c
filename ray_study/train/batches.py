"""Rows of token ids -> the batches of each step, in an order that a seed fixes and that no number of workers changes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from ray_study.manifests import digest
from ray_study.train.tokenizing import Row

IGNORED = -100
"""The label of a position that teaches nothing."""


class Order:
    """Which rows each step sees. The last ragged batch of an epoch is left out, and an epoch is shuffled by seed and epoch alone."""

    def __init__(self, num_rows: int, *, batch_size: int, seed: int, shuffle: bool) -> None:
        """The order of a run.

        Raises:
            ValueError: there are fewer rows than one batch holds.
        """
        if num_rows < batch_size:
            raise ValueError(
                f"{num_rows} rows are left to learn from, fewer than one batch of {batch_size}; set a smaller batch_size, make more "
                "examples, or raise max_length if rows were dropped as over-long"
            )
        self._num_rows = num_rows
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = -1
        self._shuffled: list[int] = []

    @property
    def per_epoch(self) -> int:
        """Steps in one epoch."""
        return self._num_rows // self._batch_size

    def of(self, step: int) -> list[int]:
        """The indices of the rows of step `step`, counted from 1."""
        epoch, batch = divmod(step - 1, self.per_epoch)
        if epoch != self._epoch:
            self._shuffled = list(range(self._num_rows))
            if self._shuffle:
                random.Random(stable_seed("order", self._seed, epoch)).shuffle(self._shuffled)
            self._epoch = epoch
        return self._shuffled[batch * self._batch_size : (batch + 1) * self._batch_size]


def stable_seed(*parts: object) -> int:
    """A seed of 31 bits from its parts, the same in every process and on every machine."""
    return int(digest([str(part) for part in parts]), 16) % 2**31


def share(batch: Sequence[Row], *, rank: int, num_workers: int, micro_batch_size: int) -> list[list[Row]]:
    """The micro-batches of one worker, as many on each worker; rows of like length together, the longest first.

    Which rows share a micro-batch never changes the gradient, so they are put where the least padding is computed.
    """
    by_length = sorted(batch, key=lambda row: len(row.ids), reverse=True)
    mine = by_length[rank::num_workers]
    return [mine[start : start + micro_batch_size] for start in range(0, len(mine), micro_batch_size)]


def collate(rows: Sequence[Row], *, pad_id: int) -> dict[str, torch.Tensor]:
    """One micro-batch as tensors (rows x longest row), padded on the right.

    `labels[i, t]` is what the model is to say *after* position t: the last prompt token is asked for the first response token,
    the last response token but one for the end token, and every other position for nothing.
    """
    length = max(len(row.ids) for row in rows)
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    attention_mask = torch.zeros((len(rows), length), dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        ids = torch.tensor(row.ids, dtype=torch.long)
        input_ids[index, : len(ids)] = ids
        attention_mask[index, : len(ids)] = 1
        labels[index, row.num_prompt - 1 : len(ids) - 1] = ids[row.num_prompt :]
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
