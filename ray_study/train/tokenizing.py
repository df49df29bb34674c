"""Examples -> the rows of token ids that a run learns from, and what becomes of those over its `max_length`. Light: no torch.

The driver counts rows with this before a run starts, and the run tokenises with it, so both have the same number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ray_study.rows import Example


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


Fate = Literal["whole", "truncated", "dropped"]
OverLong = Literal["drop", "truncate"]


def tokenize(examples: Sequence[Example], chat: Renderer, *, max_length: int, over_long: OverLong) -> Rows:
    """The examples as rows, in their order; those over `max_length` are dropped or cut.

    A cut row has lost its end token and teaches the model not to stop. One whose prompt leaves no room for a response token is
    dropped under either policy, since nothing of a prompt is ever a target.
    """
    found = list(_fitted(examples, chat, max_length, over_long))
    fates = [fate for _, fate in found]
    rows = tuple(row for row, fate in found if fate != "dropped")
    return Rows(rows=rows, num_dropped=fates.count("dropped"), num_truncated=fates.count("truncated"))


def count(examples: Iterable[Example], chat: Renderer, *, max_length: int, over_long: OverLong) -> dict[str, int]:
    """The counts of `tokenize`, without holding the rows."""
    fates = Counter(fate for _, fate in _fitted(examples, chat, max_length, over_long))
    return {
        "num_rows": fates["whole"] + fates["truncated"],
        "num_dropped": fates["dropped"],
        "num_truncated": fates["truncated"],
    }


def _fitted(examples: Iterable[Example], chat: Renderer, max_length: int, over_long: OverLong) -> Iterator[tuple[Row, Fate]]:
    for example in examples:
        prompt = chat.prompt(example.prompt).ids
        row = Row(ids=(*prompt, *chat.response_ids(example.response)), num_prompt=len(prompt))
        if len(row.ids) <= max_length:
            yield row, "whole"
        elif over_long == "drop" or row.num_prompt >= max_length:
            yield Row(ids=(), num_prompt=0), "dropped"
        else:
            yield Row(ids=row.ids[:max_length], num_prompt=row.num_prompt), "truncated"
