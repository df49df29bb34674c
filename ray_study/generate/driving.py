"""Shards sent to a pool through Ray Data; each is written as soon as it is answered, wherever its task runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.data

from ray_study import tables
from ray_study.generate.asking import Shard
from ray_study.rows import Attempt
from ray_study.serving import Pool

log = logging.getLogger(__name__)

SLOT_CPUS = 0.01
"""A task only waits for the pool and writes a file."""

PROGRESS_SECONDS = 10.0


def drive(shards: Sequence[Shard], pool: Pool, checkpoint: str, path: str, *, progress: Callable[[str], None] = log.info) -> int:
    """How many attempts were written, one file a shard.

    Args:
        shards: those that are owed; the caller leaves out what is whole.
        pool: what answers, of the checkpoint's serving identity.
        checkpoint: directory of the checkpoint that is asked.
        path: the unfinished result; shards go to `PATH/rows/NAME.parquet`.
        progress: told now and then how far it is.

    Raises:
        SwapRefused: the checkpoint is not served.
        PoolUnavailable: replicas died under a shard again and again.
    """
    if not shards:
        return 0
    handle = pool.handle
    waiting = {shard.name: ray.put(shard) for shard in shards}

    def answer(row: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = ray.get(waiting[row["name"]])
        attempts = shard.attempts(handle.ask(checkpoint, shard.requests, shard.sampling))
        tables.write(attempts, f"{path}/rows/{shard.name}.parquet", Attempt)
        return {"attempts": len(attempts), "tokens": sum(attempt.num_tokens for attempt in attempts)}

    ray.data.DataContext.get_current().enable_progress_bars = False
    names = ray.data.from_items([{"name": name} for name in waiting], override_num_blocks=len(waiting))
    written = names.map(answer, num_cpus=SLOT_CPUS, compute=ray.data.TaskPoolStrategy(size=min(pool.num_slots, len(waiting))))
    num_attempts = num_tokens = 0
    told = start = time.monotonic()
    for number, row in enumerate(written.iter_rows(), start=1):
        num_attempts += row["attempts"]
        num_tokens += row["tokens"]
        if time.monotonic() - told > PROGRESS_SECONDS or number == len(waiting):
            told = time.monotonic()
            progress(f"{number} of {len(waiting)} shards, {num_attempts} attempts, {num_tokens / (told - start):.0f} tokens/s")
    return num_attempts
