"""What a replica does about an engine that holds something else, shown with an engine that can be made to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from ray_study.manifests import Manifest, read_manifest
from ray_study.serving.held import Held
from ray_study.serving.words import EngineSettings, SwapRefused

if TYPE_CHECKING:
    from ray_study.serving.engine import Engine


class Faithless:
    """An engine that holds what it was told to load, but for the checkpoints that it never takes in."""

    def __init__(self, directory: str, never: set[str]) -> None:
        self.is_dead = False
        self._never = never
        self.loaded = read_manifest(Path(directory))
        self.num_swaps = 0
        if directory in never:
            self.loaded = read_manifest(Path(sorted(never)[0]).parent / "base")

    async def swap(self, directory: str) -> None:
        self.num_swaps += 1
        if directory not in self._never:
            self.loaded = read_manifest(Path(directory))

    async def logprobs(self, ids: Sequence[int]) -> tuple[float, ...]:
        return self.loaded.canary.logprobs

    async def bit_sum(self) -> tuple[int, int]:
        return self.loaded.bit_sum, 0

    def close(self) -> None:
        """Nothing is left of it."""


class Bench:
    """What holds an engine, and every engine that it has started."""

    def __init__(self, base: Path, never: set[str]) -> None:
        self.started: list[Faithless] = []
        self._never = never
        settings = EngineSettings(
            directory=str(base),
            dtype="float32",
            max_model_len=None,
            max_num_seqs=1,
            gpus=0,
            kv_cache_megabytes=16,
            gpu_memory_utilization=0.5,
            trust_remote_code=False,
        )
        self.held = Held(settings, read_manifest(base), self._start)
        asyncio.run(self.held.begin())

    async def _start(self, settings: EngineSettings) -> Engine:
        self.started.append(Faithless(settings.directory, self._never))
        return cast("Engine", self.started[-1])

    def load(self, path: Path) -> Manifest:
        asyncio.run(self.held.load(path, read_manifest(path)))
        return self.started[-1].loaded


def test_a_checkpoint_that_cannot_be_attested_restarts_the_engine_once_and_is_then_refused_at_once(
    base: Path, stranger: Path, neighbour: Path
) -> None:
    bench = Bench(base, never={str(stranger)})
    assert bench.load(base) == read_manifest(base)
    reasons = []
    for _ in range(3):
        with pytest.raises(SwapRefused, match="nothing was scored with it") as refused:
            bench.load(stranger)
        reasons.append(str(refused.value))
    assert len(set(reasons)) == 1
    assert len(bench.started) == 2, "the engine of the pool, and one more to be sure"
    assert sum(engine.num_swaps for engine in bench.started) == 1
    assert bench.load(neighbour) == read_manifest(neighbour), "the pool goes on"
    assert len(bench.started) == 2


def test_a_dead_engine_is_no_news_from_the_moment_that_another_is_on_its_way(base: Path, stranger: Path) -> None:
    bench = Bench(base, never=set())
    bench.started[0].is_dead = True

    async def mend() -> None:
        loading = asyncio.create_task(bench.held.load(stranger, read_manifest(stranger)))
        # As far as the checkpoint's files, which are read in a thread.
        await asyncio.sleep(0)
        assert not loading.done()
        assert bench.held.is_starting, "Serve would replace the replica while the files of its checkpoint are read"
        turn = await loading
        assert turn.num_starts == 1

    asyncio.run(mend())
    assert not bench.held.is_starting
    assert [engine.loaded.fingerprint for engine in bench.started] == [read_manifest(path).fingerprint for path in (base, stranger)]


def test_a_checkpoint_that_was_made_again_under_a_refused_ones_path_is_asked_again(base: Path, stranger: Path, tmp_path: Path) -> None:
    never = {str(stranger)}
    bench = Bench(base, never)
    with pytest.raises(SwapRefused):
        bench.load(stranger)
    never.clear()
    with pytest.raises(SwapRefused):
        bench.load(stranger)
    again = tmp_path / "again"
    again.mkdir()
    for file in stranger.iterdir():
        (again / file.name).write_bytes(file.read_bytes())
    (again / "manifest.json").write_text((again / "manifest.json").read_text().replace('"run": "stranger"', '"run": "mended"'))
    assert bench.load(again).run == "mended"
