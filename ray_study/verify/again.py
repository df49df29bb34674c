"""Stored attempts judged again and compared with their stored verdicts. Light: the processes that do it import neither Ray nor torch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from ray_study import tables
from ray_study.rows import Attempt, GradedAttempt, Problem, Reads
from ray_study.verify.grading import grade

ROWS_AT_ONCE = 1024
JUDGED = ("problem_id", "sample", "verdict", "lenient_verdict", "answer", "explanation", "details")
"""Of `GradedAttempt`: what a verifier decides, with the attempt that it is about."""
MANY_SHARDS = 8
"""From so many on, processes cost less than they save."""

Change = tuple[str, int, str]
"""Item, sample, and what it was and is now."""


def judge_again(
    names: Sequence[str],
    attempts: str,
    verdicts: str,
    items: Mapping[str, Problem],
    *,
    num_workers: int,
    reads: Reads = "answer",
) -> list[Change]:
    """The attempts of the named shards that are judged otherwise than their stored verdicts say, over this machine's cores.

    Args:
        names: of the shards.
        attempts: the directory of `Attempt` shards.
        verdicts: the directory of `GradedAttempt` shards of the same names.
        items: the problems by id.
        num_workers: comparisons by math-verify at once, where they are judged in this process.
        reads: where the answer is looked for.
    """
    cores = len(os.sched_getaffinity(0))
    one = partial(_shard_changes, attempts=attempts, verdicts=verdicts, items=dict(items), reads=reads)
    # Computer algebra has processes of its own, which would be started once more in each of these.
    if len(names) < MANY_SHARDS or cores < 2 or any(item.kind == "math" for item in items.values()):
        return [change for name in names for change in one(name, num_workers=num_workers)]
    with ProcessPoolExecutor(cores, mp_context=get_context("forkserver")) as pool:
        # In order, and several shards at a time, since each sends the items along.
        return [change for changes in pool.map(one, names, chunksize=-(-len(names) // (4 * cores))) for change in changes]


def _shard_changes(
    name: str, *, attempts: str, verdicts: str, items: Mapping[str, Problem], reads: Reads, num_workers: int = 1
) -> list[Change]:
    rows = tables.stream(f"{attempts}/{name}.parquet", Attempt)
    stored = tables.columns(f"{verdicts}/{name}.parquet", GradedAttempt, JUDGED)
    return list(changes_between(stored, _graded(rows, partial(grade, problems=items, num_workers=num_workers, reads=reads))))


def _graded(rows: Iterator[Attempt], judge: Callable[[list[Attempt]], list[GradedAttempt]]) -> Iterator[tuple[Any, ...]]:
    while held := list(itertools.islice(rows, ROWS_AT_ONCE)):
        yield from map(decided, judge(held))


def decided(graded: GradedAttempt) -> tuple[Any, ...]:
    """What of a graded attempt a verifier decided, as a tuple of `JUDGED`."""
    return tuple(getattr(graded, column) for column in JUDGED)


def changes_between(stored: Iterator[tuple[Any, ...]], now: Iterator[tuple[Any, ...]]) -> Iterator[Change]:
    """What differs between two judgements of the same attempts, given as tuples of `JUDGED` in one order.

    Raises:
        ValueError: they are not of the same attempts.
    """
    for was, is_now in itertools.zip_longest(stored, now):
        if was == is_now:
            continue
        if was is None or is_now is None or was[:2] != is_now[:2]:
            raise ValueError("the stored verdicts are not those of the stored attempts: delete that verdicts directory and run again")
        yield was[0], was[1], _change(was, is_now)


def _change(was: tuple[Any, ...], now: tuple[Any, ...]) -> str:
    if was[2] != now[2]:
        return f"{was[2]} -> {now[2]}"
    if was[3] != now[3]:
        return f"leniently {was[3]} -> {now[3]}"
    return f"{was[2]} as before, its {next(name for name, one, other in zip(JUDGED, was, now, strict=True) if one != other)} is another"
