"""Shards sent to whoever answers; each is written and judged as soon as it is answered, wherever its task runs.

A pool is asked through Ray Data, whose rows only say which attempts a shard holds: the task reads those problems and renders their
prompts, so neither the driver nor the object store ever holds all prompts. A server elsewhere is asked by threads of the driver.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from pyarrow import fs as pafs

from ray_study import tables
from ray_study.generate.asking import Asking, Shard, ask
from ray_study.generate.cutting import Cut
from ray_study.generate.endpoint import Server
from ray_study.generate.tally import Judge, write_facts
from ray_study.rows import Attempt, Problem
from ray_study.serving.errors import faults_as_values, raise_fault
from ray_study.serving.pool import Pool

if TYPE_CHECKING:
    from ray_study.chat import Chat

SLOT_CPUS = 0.01
"""A task only waits for the pool, writes a file and judges it."""

Told = Callable[[str], None]
"""Hears the name of each shard that is whole and judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all shards of a result share; it goes to tasks."""

    problems: str
    """Directory of the table of problems, whose rows a `Cut` counts."""
    path: str
    """The unfinished result: attempts go to `PATH/rows/NAME.parquet`, what is known of them to `PATH/facts/NAME.parquet`."""
    asking: Asking
    judge: Judge
    shard_size: int
    trust_remote_code: bool = False


def done(path: str) -> frozenset[str]:
    """The names of the shards that are whole and judged."""
    return frozenset(tables.names(f"{path}/rows")) & frozenset(tables.names(f"{path}/facts"))


def drive(owed: Iterable[Cut], pool: Pool, checkpoint: str, job: Job, *, told: Told) -> None:
    """Returns when every shard is written and judged.

    Args:
        owed: shards; the caller leaves out what is whole.
        pool: what answers, of the checkpoint's serving identity.
        checkpoint: directory of the checkpoint that is asked.
        job: what the shards share.
        told: hears of each shard.

    Raises:
        SwapRefused: the checkpoint is not served.
        PoolUnavailable: replicas died under a shard again and again.
    """
    items = [{"name": cut.name, "rows": list(cut.rows), "samples": list(cut.samples)} for cut in owed]
    if not items:
        return
    handle = pool.handle

    def answer(row: dict[str, Any]) -> dict[str, Any]:
        cut = Cut(name=row["name"], rows=tuple(map(int, row["rows"])), samples=tuple(map(int, row["samples"])))
        ended: dict[str, Any] = {"name": cut.name}
        with faults_as_values(ended):
            problems = _problems(job.problems, cut.rows)

            def by_pool() -> list[Attempt]:
                shard = render(cut, problems, _chat(checkpoint, job.trust_remote_code), job.asking)
                return shard.attempts(handle.ask(checkpoint, shard.requests, shard.sampling))

            _make(cut, problems, job, by_pool)
        return ended

    ray.data.DataContext.get_current().enable_progress_bars = False
    names = ray.data.from_items(items, override_num_blocks=len(items))
    written = names.map(answer, num_cpus=SLOT_CPUS, compute=ray.data.TaskPoolStrategy(size=min(pool.num_slots, len(items))))
    for row in written.iter_rows():
        raise_fault(row)
        told(row["name"])


def drive_server(owed: Iterable[Cut], server: Server, problems: Sequence[Problem], job: Job, *, told: Told) -> None:
    """As `drive`, by a server elsewhere: threads of the driver wait for it, so that its key goes nowhere else.

    Raises:
        EndpointUnavailable: it failed again and again.
        ValueError: it takes none of our requests.
    """
    # One shard more than keeps the server busy, as a pool has.
    most = math.ceil(server.requests_at_once / job.shard_size) + 1

    def make(cut: Cut) -> str:
        chosen = {row: problems[row] for row in cut.rows}

        def by_server() -> list[Attempt]:
            pairs = zip(cut.rows, cut.samples, strict=True)
            asked = [requests.submit(server.attempt, chosen[row], sample, job.asking) for row, sample in pairs]
            return [each.result() for each in asked]

        _make(cut, chosen, job, by_server)
        return cut.name

    with ThreadPoolExecutor(server.requests_at_once) as requests, ThreadPoolExecutor(most) as shards:
        waiting: set[Future[str]] = set()
        try:
            for cut in owed:
                waiting.add(shards.submit(make, cut))
                if len(waiting) >= most:
                    waiting = _hear(waiting, told)
            while waiting:
                waiting = _hear(waiting, told)
        except BaseException:
            # What waits to try again stops waiting, and nothing more is asked for.
            server.stop()
            shards.shutdown(wait=False, cancel_futures=True)
            requests.shutdown(wait=False, cancel_futures=True)
            raise


def render(cut: Cut, problems: dict[int, Problem], chat: Chat, asking: Asking) -> Shard:
    """A shard with its prompts; a problem's is rendered once."""
    samples: dict[int, list[int]] = {}
    for row, sample in zip(cut.rows, cut.samples, strict=True):
        samples.setdefault(row, []).append(sample)
    asked = tuple(each for row, numbers in samples.items() for each in ask(problems[row], chat, asking, numbers))
    return Shard(name=cut.name, asked=asked, sampling=asking.sampling, logprobs=asking.logprobs)


def _hear(waiting: set[Future[str]], told: Told) -> set[Future[str]]:
    ended, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in ended:
        told(future.result())
    return rest


def _make(cut: Cut, problems: dict[int, Problem], job: Job, answer: Callable[[], list[Attempt]]) -> None:
    path = f"{job.path}/rows/{cut.name}.parquet"
    filesystem, target = tables.locate(path)
    if filesystem.get_file_info(target).type == pafs.FileType.File:
        # The driver was killed between the answers and their verdicts.
        attempts = tables.read(path, Attempt)
    else:
        attempts = answer()
        tables.write(attempts, path, Attempt)
    write_facts(job.path, cut.name, attempts, {problem.id: problem for problem in problems.values()}, job.judge)


def _problems(directory: str, rows: Sequence[int]) -> dict[int, Problem]:
    """The problems at these places of a table."""
    chosen = sorted(set(rows))
    return {row: Problem(**values) for row, values in zip(chosen, _table(directory).take(chosen).to_pylist(), strict=True)}


@functools.lru_cache(maxsize=1)
def _table(directory: str) -> pa.Table:
    # Arrow, not objects: a task's process keeps a million problems in the space of their text.
    filesystem, target = tables.locate(directory)
    return pa.concat_tables(
        pq.read_table(f"{target}/{name}.parquet", filesystem=filesystem, partitioning=None) for name in tables.names(directory)
    )


@functools.lru_cache(maxsize=1)
def _chat(directory: str, trust_remote_code: bool) -> Chat:
    # Only a task that renders prompts waits for a tokenizer's library.
    from ray_study.chat import Chat  # noqa: PLC0415

    return Chat(directory, trust_remote_code=trust_remote_code)
