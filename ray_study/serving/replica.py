"""One replica of a pool: an engine, the lock on its weights, and the proof that they are those that were asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ray import serve

from ray_study.config import Sampling
from ray_study.manifests import Manifest, read_manifest
from ray_study.rows import FinishReason
from ray_study.serving.held import Held
from ray_study.serving.lock import CheckpointLock
from ray_study.serving.words import EngineLost, EngineSettings, Reply, Request, SwapRefused, Turn

if TYPE_CHECKING:
    from ray_study.serving.engine import Engine

log = logging.getLogger(__name__)


class Replica:
    """Answers shards of one checkpoint at a time; Serve runs one for each engine of a pool."""

    async def __init__(self, settings: EngineSettings) -> None:  # type: ignore[misc]  # Serve awaits it, so health checks go on
        """Starts the engine; what it holds is attested before the first shard, as after a swap."""
        self._lock = CheckpointLock()
        self._held = Held(settings, read_manifest(Path(settings.directory)), _start)
        await self._held.begin()

    async def answer(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """The replies of one shard, all by the same weights.

        Raises:
            SwapRefused: the checkpoint could not be shown to be what the engine holds.
            EngineLost: the engine died; ask again.
        """
        manifest = await asyncio.to_thread(_manifest, checkpoint)
        await self._route(manifest.fingerprint)
        if self._held.engine.is_dead:
            self._lock.forget()
        asked, turns = time.monotonic(), list[Turn]()

        async def load() -> None:
            turns.append(await self._held.load(Path(checkpoint), manifest, drained_seconds=time.monotonic() - asked))

        async with self._lock.hold(manifest.fingerprint, load):
            replies = await asyncio.gather(*(self._reply(request, sampling, manifest.fingerprint) for request in requests))
        return [replace(reply, turn=turns[0]) for reply in replies] if turns else list(replies)

    async def processes(self) -> tuple[int, ...]:
        """Process ids: the replica's own, then those of the engine's ranks."""
        return (os.getpid(), *await self._held.engine.process_ids())

    async def check_health(self) -> None:
        """Returns while the engine lives or is being started; Serve replaces the replica where this goes on raising."""
        if self._held.engine.is_dead and not self._held.is_starting:
            raise EngineLost("the engine's process is gone")

    def __del__(self) -> None:
        """Ends the engine with the replica."""
        if hasattr(self, "_held") and hasattr(self._held, "engine"):
            self._held.engine.close()

    @serve.multiplexed(max_num_models_per_replica=1)  # type: ignore[untyped-decorator]  # Ray carries no types here
    async def _route(self, fingerprint: str) -> str:
        """The fingerprint. Only tells Serve's router who holds what: a hint, since Serve evicts without waiting for what runs."""
        return fingerprint

    async def _reply(self, request: Request, sampling: Sampling, served: str) -> Reply:
        text, num_tokens, seconds, logprob, explanation = "", 0, 0.0, None, ""
        reason: FinishReason = "refused"
        try:
            output = await self._held.engine.generate(request, sampling)
        except ValueError as error:
            # One prompt that the engine cannot take fails alone, not its shard.
            explanation = str(error)
        else:
            text, num_tokens, seconds, logprob = output.text, output.num_tokens, output.seconds, output.logprob
            reason = "stop" if output.stopped else "length"
        return Reply(
            problem_id=request.problem_id,
            sample=request.sample,
            text=text,
            num_tokens=num_tokens,
            finish_reason=reason,
            served=served,
            conditions=self._held.engine.conditions,
            seconds=seconds,
            logprob=logprob,
            explanation=explanation,
        )


async def _start(settings: EngineSettings) -> Engine:
    # The driver deploys this class and never runs an engine: it need not wait for vLLM and torch to be imported.
    from ray_study.serving.engine import start  # noqa: PLC0415

    return await start(settings)


def _manifest(checkpoint: str) -> Manifest:
    try:
        return read_manifest(Path(checkpoint))
    except ValueError as error:
        raise SwapRefused(str(error)) from error
