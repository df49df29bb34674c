"""Stored attempts -> stored verdicts, shard by shard: over the cluster's free CPUs where there are many, and here where there are few.

A shard is read, judged and written in one place; what comes back is its name. So nobody holds more than some thousand rows, and a shard
that is written stays whatever becomes of the others.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
import ray.data

from ray_study import tables
from ray_study.rows import Attempt, GradedAttempt, Problem, Reads
from ray_study.verify.grading import grade

log = logging.getLogger(__name__)

MANY_SHARDS = 8
"""From so many on, tasks cost less than they save."""
ROWS_AT_ONCE = 1024


def judge_shard(
    name: str, attempts: str, verdicts: str, *, problems: Mapping[str, Problem], num_workers: int, reads: Reads = "answer"
) -> int:
    """How many verdicts were written of one shard.

    Args:
        name: of the shard.
        attempts: the directory of `Attempt` shards.
        verdicts: the directory of `GradedAttempt` shards.
        problems: by id.
        num_workers: comparisons by math-verify at once.
        reads: where the answer is looked for.
    """
    rows = tables.stream(f"{attempts}/{name}.parquet", Attempt)
    return tables.write(_graded(rows, problems, num_workers, reads), f"{verdicts}/{name}.parquet", GradedAttempt)


def _graded(rows: Iterator[Attempt], problems: Mapping[str, Problem], num_workers: int, reads: Reads) -> Iterator[GradedAttempt]:
    while held := list(itertools.islice(rows, ROWS_AT_ONCE)):
        yield from grade(held, problems, num_workers=num_workers, reads=reads)


def judge_shards(  # noqa: PLR0913 - what is judged, how, and who is told
    names: Sequence[str],
    attempts: str,
    verdicts: str,
    problems: Mapping[str, Problem],
    *,
    num_workers: int,
    reads: Reads = "answer",
    progress: Callable[[str], None] = log.info,
) -> None:
    """Writes the verdicts of the named shards; those that are written stay when one fails.

    Args:
        names: of the shards that are owed.
        attempts: the directory of `Attempt` shards; every node must see it.
        verdicts: the directory of `GradedAttempt` shards; every node must see it.
        problems: by id.
        num_workers: comparisons by math-verify at once, where they are judged here.
        reads: where the answer is looked for.
        progress: told how many shards are judged.
    """
    free = free_cpus()
    if len(names) < MANY_SHARDS or free < 2:
        for name in names:
            judge_shard(name, attempts, verdicts, problems=problems, num_workers=num_workers, reads=reads)
        return
    shared = ray.put(dict(problems))
    task = functools.partial(_task, attempts=attempts, verdicts=verdicts, shared=shared, reads=reads)
    ray.data.DataContext.get_current().enable_progress_bars = False
    owed = ray.data.from_items([{"name": name} for name in names], override_num_blocks=len(names))
    judged = owed.map(task, num_cpus=1, compute=ray.data.TaskPoolStrategy(size=free))
    for number, _ in enumerate(judged.iter_rows(), 1):
        if number % max(1, len(names) // 10) == 0:
            progress(f"judged {number} of {len(names)} shards on {free} CPUs")


def _task(row: dict[str, Any], *, attempts: str, verdicts: str, shared: Any, reads: Reads) -> dict[str, Any]:
    name = str(row["name"])
    return {"name": name, "num_rows": judge_shard(name, attempts, verdicts, problems=ray.get(shared), num_workers=1, reads=reads)}


def free_cpus() -> int:
    """Whole CPUs of the connected cluster that nothing has taken; 0 where there is no cluster."""
    return int(ray.available_resources().get("CPU", 0)) if ray.is_initialized() else 0
