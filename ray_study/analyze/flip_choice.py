"""Which flipped items are put on pages, under what names, and how much of a text: bounded, whatever the study."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_study.analyze.flipping import FLIP_KINDS, FlipKind, Flips, Item, attempts_shown

ITEMS_A_PAGE = 20
MOST_OF_A_KIND = 60
"""Items of one kind of flip and one pair of checkpoints."""
MOST_CHARACTERS = 25_000_000
"""Of all pages together, markup among them. One item of each kind of each pair is shown whatever it takes: with `MOST_PAIRS` pairs, six
kinds and texts of `WHOLE_CHARACTERS` that is 110 million characters at the very most."""
MOST_PAIRS = 400
FOLDED_FROM = 1_800
SHOWN_CHARACTERS = 1_200
"""Texts longer than `FOLDED_FROM` are shown by so much of their beginning and end, with the whole behind a fold."""
WHOLE_CHARACTERS = 20_000
"""Still longer ones by beginning and end behind the fold too; the table of attempts holds the whole."""
MARKUP_CHARACTERS = 2_500
"""What an item takes beside its texts, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The items of one kind of flip between two checkpoints: how many there are, and those shown, by id."""

    kind: FlipKind
    num_items: int
    items: tuple[Item, ...]

    def pages(self) -> list[tuple[Item, ...]]:
        """The items shown, page by page."""
        return [self.items[start : start + ITEMS_A_PAGE] for start in range(0, len(self.items), ITEMS_A_PAGE)]


def choose(found: Sequence[Flips], most_characters: int = MOST_CHARACTERS) -> list[list[Listed]]:
    """For each pair of checkpoints its kinds of flip, none empty, each with the items that are shown.

    As many of each kind as fit into the bound, up to `MOST_OF_A_KIND`, the same number for all: those that come first by the SHA-256
    of their ids, so that nobody picked them and the same study shows the same.
    """
    drawn = [{kind: sorted(each.of_kind(kind), key=_draw) for kind in FLIP_KINDS} for each in found]
    costs = [[_cost(item, kind) for item in items[:MOST_OF_A_KIND]] for each in drawn for kind, items in each.items() if items]
    allowed = _allowed(costs, most_characters)
    return [[_listed(kind, items, allowed) for kind, items in each.items() if items] for each in drawn]


def _listed(kind: FlipKind, items: Sequence[Item], allowed: int) -> Listed:
    return Listed(kind=kind, num_items=len(items), items=tuple(sorted(items[:allowed], key=lambda item: item.problem_id)))


def _draw(item: Item) -> str:
    return hashlib.sha256(item.problem_id.encode("utf-8", "surrogatepass")).hexdigest()


def _cost(item: Item, kind: FlipKind) -> int:
    return MARKUP_CHARACTERS + sum(_length(len(attempt.text)) for attempt in attempts_shown(item, kind))


def _length(num_characters: int) -> int:
    return num_characters if num_characters <= FOLDED_FROM else SHOWN_CHARACTERS + min(num_characters, WHOLE_CHARACTERS)


def _allowed(costs: Sequence[Sequence[int]], most: int) -> int:
    """The largest number of items of each kind that fits, one at least."""
    total = 0
    for rank in range(MOST_OF_A_KIND):
        total += sum(own[rank] for own in costs if rank < len(own))
        if total > most:
            return max(rank, 1)
    return MOST_OF_A_KIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A text as a page has it: the part that is seen at once, and the part behind the fold, None where that is not needed."""

    text: str
    whole: str | None
    num_characters: int


def shown(text: str) -> Shown:
    """A text by its beginning and end where it is long."""
    if len(text) <= FOLDED_FROM:
        return Shown(text=text, whole=None, num_characters=len(text))
    return Shown(text=_ends(text, SHOWN_CHARACTERS), whole=_ends(text, WHOLE_CHARACTERS), num_characters=len(text))


def _ends(text: str, most: int) -> str:
    left_out, half = len(text) - most, most // 2
    return text if left_out <= 0 else f"{text[:half]}\n[… {left_out:,} characters left out …]\n{text[-half:]}"


def file_stem(number: int, name: str) -> str:
    """A file name without its ending: the number makes it the only one, the letters and digits of the name are for people."""
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"{number:04d}-{letters}" if letters else f"{number:04d}"


def page_names(stem: str, listed: Sequence[Listed]) -> Mapping[FlipKind, list[str]]:
    """Kind of flip -> the file names of its pages."""
    return {
        each.kind: [f"{stem}.{each.kind.replace('_', '-')}.{number}.html" for number in range(1, len(each.pages()) + 1)] for each in listed
    }
