"""Rows of token ids -> the batches of each step, in an order that a seed fixes and that no number of workers changes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from ray_study.manifests import digest
from ray_study.train.packing import packed_shares, padded_shares
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a step's batch is cut into micro-batches, which never changes its gradient, and whose are meant."""

    rank: int
    num_workers: int
    packed: bool
    at_most: int
    """Tokens of a micro-batch where it is packed, rows where it is padded."""


def micro_batches(batch: Sequence[Row], weights: Sequence[float], cut: Cut) -> Iterator[dict[str, Any]]:
    """The micro-batches of one worker as tensors.

    Args:
        batch: all rows of the step.
        weights: for each of them what one of its response tokens counts in the loss.
        cut: which of them this worker takes, and how.
    """
    lengths = [len(row.ids) for row in batch]
    for part in (packed_shares if cut.packed else padded_shares)(lengths, cut.num_workers, cut.at_most)[cut.rank]:
        rows, its_weights = [batch[index] for index in part], [weights[index] for index in part]
        yield pack(rows, its_weights) if cut.packed else pad(rows, its_weights)


def pad(rows: Sequence[Row], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """One micro-batch as tensors (rows x longest row), padded on the right.

    `labels[i, t]` is what the model is to say *after* position t: the last prompt token is asked for the first response token,
    the last response token but one for the end token, and every other position for nothing.
    """
    length = max(len(row.ids) for row in rows)
    input_ids = torch.zeros((len(rows), length), dtype=torch.long)
    attention_mask = torch.zeros((len(rows), length), dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    for index, row in enumerate(rows):
        ids = torch.tensor(row.ids, dtype=torch.long)
        input_ids[index, : len(ids)] = ids
        attention_mask[index, : len(ids)] = 1
        labels[index, : len(ids)] = _labels(row)
    spread = torch.tensor(weights, dtype=torch.float32)[:, None].expand_as(labels)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels, "weights": spread}


def pack(rows: Sequence[Row], weights: Sequence[float]) -> dict[str, Any]:
    """One micro-batch as tensors (1 x tokens): the rows one after the other, the positions of each from 0.

    `document_lengths` tells `attention` where a row ends. Labels are as in `pad`: the last position of a row is asked for nothing, so
    none is asked for the first token of the next.
    """
    lengths = tuple(len(row.ids) for row in rows)
    return {
        "input_ids": torch.tensor([list(chain.from_iterable(row.ids for row in rows))], dtype=torch.long),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "labels": torch.cat([_labels(row) for row in rows])[None],
        "weights": torch.tensor(weights, dtype=torch.float32).repeat_interleave(torch.tensor(lengths))[None],
        "document_lengths": lengths,
    }


def _labels(row: Row) -> torch.Tensor:
    labels = torch.full((len(row.ids),), IGNORED, dtype=torch.long)
    labels[row.num_prompt - 1 : -1] = torch.tensor(row.ids[row.num_prompt :], dtype=torch.long)
    return labels
