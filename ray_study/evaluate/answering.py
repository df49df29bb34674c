"""Shards sent to a pool and written as they come: a student's answers, or a judge's replies."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import as_completed

from ray_study import generate
from ray_study.rows import Attempt
from ray_study.serving import Pool
from ray_study.store import Workspace


def answer_shards(pool: Pool, path: str, work: Sequence[tuple[Workspace, generate.Shard]]) -> None:
    """Asks all shards at once and writes each as soon as it is answered.

    The first that fails cancels those that are not begun; those that are come to their end and are written too, so that the pool is
    free when this returns and nothing that was answered is lost. Then its error is raised.
    """
    futures = {pool.submit(path, shard.requests, shard.sampling): (workspace, shard) for workspace, shard in work}
    error: Exception | None = None
    for future in as_completed(futures):
        if future.cancelled():
            continue
        try:
            workspace, shard = futures[future]
            workspace.write(shard.name, shard.attempts(future.result()), Attempt)
        # Whatever it is, the pool is left in order first.
        except Exception as problem:  # noqa: BLE001
            error = error or problem
            for other in futures:
                other.cancel()
    if error is not None:
        raise error
