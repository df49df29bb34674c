"""Examples -> rows of token ids -> the batches of each step, in an order that a seed fixes and that no number of workers changes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from ray_study.manifests import digest
from ray_study.rows import Example

IGNORED = -100
"""The label of a position that teaches nothing."""


class Prompted(Protocol):
    """The token ids of a rendered prompt."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the whole prompt, up to where the response begins."""


class Renderer(Protocol):
    """What makes token ids; `chat.Chat` is one."""

    def prompt(self, text: str) -> Prompted:
        """The prompt as evaluation asks it."""

    def response_ids(self, text: str) -> tuple[int, ...]:
        """The response's ids, closed by the end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One example as the model sees it: prompt and response with its end token; the response's ids are the targets."""

    ids: tuple[int, ...]
    num_prompt: int

    @property
    def num_targets(self) -> int:
        """Response tokens, the end token included."""
        return len(self.ids) - self.num_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a run learns from, and what became of those over its `max_length`."""

    rows: tuple[Row, ...]
    num_dropped: int
    num_truncated: int

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of rows that stay, that were dropped and that were cut."""
        return {"num_rows": len(self.rows), "num_dropped": self.num_dropped, "num_truncated": self.num_truncated}


def tokenize(examples: Sequence[Example], chat: Renderer, *, max_length: int, over_long: Literal["drop", "truncate"]) -> Rows:
    """The examples as rows, in their order; those over `max_length` are dropped or cut.

    A cut row has lost its end token and teaches the model not to stop. One whose prompt leaves no room for a response token is
    dropped under either policy, since nothing of a prompt is ever a target.
    """
    rows = []
    num_dropped = num_truncated = 0
    for example in examples:
        prompt = chat.prompt(example.prompt).ids
        row = Row(ids=(*prompt, *chat.response_ids(example.response)), num_prompt=len(prompt))
        if len(row.ids) <= max_length:
            rows.append(row)
        elif over_long == "drop" or row.num_prompt >= max_length:
            num_dropped += 1
        else:
            num_truncated += 1
            rows.append(Row(ids=row.ids[:max_length], num_prompt=row.num_prompt))
    return Rows(rows=tuple(rows), num_dropped=num_dropped, num_truncated=num_truncated)


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
