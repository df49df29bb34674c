"""Shards sent to a pool and written as they come: a student's answers, or a judge's replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

from ray_study import generate
from ray_study.evaluate.turns import in_words, write_turn
from ray_study.rows import Attempt
from ray_study.serving import Turn
from ray_study.serving.pool import Pool
from ray_study.store import Workspace

Owed = tuple[Workspace, generate.Shard, str]
"""Where the attempts of a shard go, the shard, and what it is of for people: the name of a benchmark."""


def answer_shards(pool: Pool, path: str, work: Sequence[Owed], progress: Callable[[str], None]) -> None:
    """Asks all shards at once and writes each as soon as it is answered.

    The first that fails cancels those that are not begun; those that are come to their end and are written too, so that the pool is
    free when this returns and nothing that was answered is lost. Then its error is raised.
    """
    futures = {pool.submit(path, shard.requests, shard.sampling, label=label): (workspace, shard) for workspace, shard, label in work}
    error: Exception | None = None
    turns: list[Turn] = []
    for future in as_completed(futures):
        if future.cancelled():
            continue
        try:
            workspace, shard = futures[future]
            replies = future.result()
            turns += write_turn(workspace, shard.name, replies)
            workspace.write(shard.name, shard.attempts(replies), Attempt)
        # Whatever it is, the pool is left in order first.
        except Exception as problem:  # noqa: BLE001
            error = error or problem
            for other in futures:
                other.cancel()
    if turns:
        progress(f"{path}: {in_words(turns)}")
    if error is not None:
        raise error
