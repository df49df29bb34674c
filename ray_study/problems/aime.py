"""The AIME of 2024 and 2025 in the layouts in which they are published: whole numbers from 0 to 999 as answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_study.problems.math_sets import text
from ray_study.problems.sets import Item, PublishedSet, SetOptions

LARGEST = 999


def whole(value: object) -> str:
    """An AIME answer without leading zeros.

    Raises:
        ValueError: it is no whole number from 0 to 999.
    """
    found = text(value)
    if not found.isdecimal() or int(found) > LARGEST:
        raise ValueError(f"expected a whole number from 0 to {LARGEST} as answer, found {found[:80]!r}")
    return str(int(found))


def _aime2024(row: Mapping[str, Any], options: SetOptions) -> Item:
    return Item(question=text(row["problem"]), answer=whole(row["answer"]), solution=text(row["solution"]), name=text(row["id"]))


def _aime2025(row: Mapping[str, Any], options: SetOptions) -> Item:
    return Item(question=text(row["question"]), answer=whole(row["answer"]))


AIME2024 = PublishedSet(
    name="HuggingFaceH4/aime_2024",
    columns=("id", "problem", "solution", "answer"),
    read=_aime2024,
    licence="not known: see its card; the problems are the MAA's",
    has_solutions=True,
    has_ids=True,
)
AIME2025 = PublishedSet(
    name="opencompass/AIME2025",
    subsets=("AIME2025-I", "AIME2025-II"),
    columns=("question", "answer"),
    read=_aime2025,
    split="test",
    licence="MIT by its card; the problems are the MAA's",
    has_solutions=False,
)
