"""Countdown-Tasks-3to4-Unique: published tasks of three or four numbers, asked as this package's own Countdown asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ray_study.problems import countdown
from ray_study.problems.draws import split_of
from ray_study.problems.sets import Dropped, Item, PublishedSet, SetOptions


class TaskOptions(SetOptions):
    """Where the set is read from, and which of its tasks."""

    split: Literal["train", "heldout", "all"] = "train"
    """By the same rule as source `countdown`: a task of `train` is never one of the made Countdown's `heldout`."""


def _task(row: Mapping[str, Any], options: TaskOptions) -> Item | Dropped:
    numbers, target = row["nums"], row["target"]
    if not isinstance(numbers, list) or not numbers or not all(_whole(number) for number in [*numbers, target]):
        raise ValueError(f"expected whole numbers in columns 'nums' (a list) and 'target', found {numbers!r} and {target!r}")
    key = countdown.key(numbers, target)
    split = split_of(key)
    if options.split not in (split, "all"):
        return Dropped(f"of split {split}")
    return Item(question=countdown.question(numbers, target), answer=countdown.gold(numbers, target), kind="countdown", key=key)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


COUNTDOWN_TASKS = PublishedSet(
    name="Jiayi-Pan/Countdown-Tasks-3to4-Unique",
    columns=("nums", "target"),
    read=_task,
    kinds=("countdown",),
    licence="not known: see its card",
    has_solutions=False,
    options=TaskOptions,
)
