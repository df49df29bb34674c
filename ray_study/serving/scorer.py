"""One replica of a reward model: an engine, which is started again where it died, and the scores of a shard of conversations."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ray_study.serving.words import EngineLost, EngineSettings, Scored

if TYPE_CHECKING:
    from ray_study.serving.reward_engine import RewardEngine

log = logging.getLogger(__name__)


class Scorer:
    """Scores conversations; Serve runs one for each engine of a reward model."""

    async def __init__(self, settings: EngineSettings) -> None:  # type: ignore[misc]  # Serve awaits it, so health checks go on
        """Starts the engine.

        Raises:
            ValueError: its model is no reward model.
        """
        labels = num_labels(Path(settings.directory))
        if labels != 1:
            raise ValueError(f"{settings.directory} has {labels} labels; expected a reward model, whose head has one")
        self._settings = settings
        self._is_starting = False
        self._one_at_a_time = asyncio.Lock()
        self._engine = await _start(settings)

    async def score(self, conversations: Sequence[tuple[int, ...]]) -> list[Scored]:
        """The score of each conversation's ids, before any activation; one that is too long fails alone, with its reason.

        Raises:
            EngineLost: the engine died; ask again.
        """
        engine = await self._living()
        fitting = [number for number, ids in enumerate(conversations) if 0 < len(ids) <= engine.max_model_len]
        values = await asyncio.gather(*(engine.score(conversations[number]) for number in fitting))
        found = dict(zip(fitting, values, strict=True))
        return [_scored(engine, ids, found.get(number)) for number, ids in enumerate(conversations)]

    async def processes(self) -> tuple[int, ...]:
        """Process ids: the replica's own, then those of the engine's ranks."""
        return (os.getpid(), *await self._engine.process_ids())

    async def check_health(self) -> None:
        """Returns while the engine lives or is being started; Serve replaces the replica where this goes on raising."""
        if self._engine.is_dead and not self._is_starting:
            raise EngineLost("the engine's process is gone")

    def __del__(self) -> None:
        """Ends the engine with the replica."""
        if hasattr(self, "_engine"):
            self._engine.close()

    async def _living(self) -> RewardEngine:
        """The engine, or a new one where it died; several shards may find it dead, and the first starts the new one."""
        async with self._one_at_a_time:
            if self._engine.is_dead:
                log.warning("starting the engine again: it had died")
                self._is_starting = True
                try:
                    await asyncio.to_thread(self._engine.close)
                    self._engine = await _start(self._settings)
                finally:
                    self._is_starting = False
            return self._engine


def num_labels(directory: Path) -> int:
    """How many labels a model's head has, by its config; 2 where it does not say, as transformers has it."""
    config = json.loads((directory / "config.json").read_text())
    return int(config.get("num_labels") or len(config.get("id2label") or (0, 1)))


async def _start(settings: EngineSettings) -> RewardEngine:
    # The driver deploys this class and never runs an engine: it need not wait for vLLM and torch to be imported.
    from ray_study.serving.reward_engine import start  # noqa: PLC0415

    return await start(settings)


def _scored(engine: RewardEngine, ids: tuple[int, ...], value: float | None) -> Scored:
    why = "" if value is not None else f"the conversation has {len(ids)} tokens, the reward model {engine.max_model_len} positions"
    return Scored(value=value, num_tokens=len(ids), conditions=engine.conditions, explanation=why)
