"""The engine of a replica and the proof of which checkpoint it holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ray_study.manifests import Manifest, digest
from ray_study.serving import attest
from ray_study.serving.words import EngineSettings, SwapRefused, Turn

if TYPE_CHECKING:
    from ray_study.serving.engine import Engine

log = logging.getLogger(__name__)


class _Clock:
    """What becomes of the seconds of a load; one that needs a new engine counts what came before it as loading."""

    def __init__(self) -> None:
        self._begun = self._loaded = time.monotonic()
        self._num_starts = 0

    def loaded(self) -> None:
        self._loaded = time.monotonic()

    def started(self) -> None:
        self._num_starts += 1
        self.loaded()

    def turn(self, drained_seconds: float) -> Turn:
        return Turn(
            drained_seconds=drained_seconds,
            loaded_seconds=self._loaded - self._begun,
            attested_seconds=time.monotonic() - self._loaded,
            num_starts=self._num_starts,
        )


Start = Callable[[EngineSettings], Awaitable["Engine"]]
"""Starts an engine that holds the checkpoint of its settings."""


class Held:
    """An engine, and what is known of the weights in it. `load` is called by one at a time, with nobody else asking."""

    engine: Engine
    is_starting: bool
    """Whether a new engine is on its way, so that a dead one is no news."""

    def __init__(self, settings: EngineSettings, serving: Manifest, start: Start) -> None:
        """Starts nothing yet; `serving` is the manifest of the checkpoint that the engine begins with."""
        self.is_starting = True
        self._settings = settings
        self._serving = serving
        self._start = start
        # What the engine was started with, until it is attested or swapped.
        self._fresh = serving.fingerprint
        self._before: Manifest | None = None
        self._refused: dict[str, str] = {}

    async def begin(self) -> None:
        """Starts the engine; what it holds is attested before the first shard, as after a swap."""
        await asyncio.to_thread(attest.check_before, Path(self._settings.directory), self._serving, self._serving)
        self.engine = await self._start(self._settings)
        self.is_starting = False

    async def load(self, directory: Path, manifest: Manifest, *, drained_seconds: float = 0.0) -> Turn:
        """Loads and attests a checkpoint, and says what that took beside the wait for the one before.

        A swap that cannot be attested is done again by a new engine, once: if that one differs too, the checkpoint is refused, and
        then at once whenever it comes again.

        Raises:
            SwapRefused: it could not be shown to be what the engine holds.
        """
        mark = digest(asdict(manifest))
        if mark in self._refused:
            raise SwapRefused(self._refused[mark])
        # Said before the files are read: those of a large checkpoint take longer than Serve bears with a replica whose engine is gone, and
        # another replica in its place would cost its shards once more.
        self.is_starting = self.engine.is_dead
        try:
            return await self._load(directory, manifest, mark, drained_seconds)
        finally:
            self.is_starting = False

    async def _load(self, directory: Path, manifest: Manifest, mark: str, drained_seconds: float) -> Turn:
        clock = _Clock()
        await asyncio.to_thread(attest.check_before, directory, manifest, self._serving)
        before, self._before = self._before, None
        problem = "the engine had died"
        if not self.engine.is_dead:
            if self._fresh != manifest.fingerprint:
                self._fresh = ""
                await self.engine.swap(str(directory))
            clock.loaded()
            problem = await self._difference(directory, manifest, before)
        if problem:
            log.warning("starting the engine again: %s", problem)
            await self._restart(directory)
            clock.started()
            problem = await self._difference(directory, manifest, None)
        if problem:
            self._fresh = ""
            self._refused[mark] = problem
            raise SwapRefused(problem)
        self._before = manifest
        return clock.turn(drained_seconds)

    async def _difference(self, directory: Path, manifest: Manifest, before: Manifest | None) -> str:
        """What is loaded instead of the checkpoint, as a sentence; empty where it is the checkpoint."""
        measured = await self.engine.logprobs(manifest.canary.ids)
        fits = attest.canary_fits(measured, manifest)
        if fits and self._settings.gpus == 0 and attest.canary_decides(measured, manifest, before):
            return ""
        # On an accelerator the checksum costs milliseconds, so it is always asked for.
        bit_sum, num_zeros = await self.engine.bit_sum()
        if fits and attest.bit_sum_fits(bit_sum, num_zeros, manifest):
            return ""
        return attest.mismatch(directory, measured, manifest, bit_sum)

    async def _restart(self, directory: Path) -> None:
        self.is_starting = True
        try:
            await asyncio.to_thread(self.engine.close)
            self.engine = await self._start(replace(self._settings, directory=str(directory)))
        finally:
            self.is_starting = False
