"""One vLLM engine of a reward model: its pooling runner over whole conversations, whose one label is the score."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any

import vllm
from vllm import PoolingParams

from ray_study.serving.engine import Processes
from ray_study.serving.options import pooling_options
from ray_study.serving.words import EngineSettings

TASK = "classify"
"""vLLM's word for a head with labels; a reward model's head has one."""


class RewardEngine(Processes):
    """An engine that scores conversations with one set of weights, which never change."""

    def __init__(self, settings: EngineSettings) -> None:
        """Starts the engine's processes and loads the reward model of `settings.directory`."""
        super().__init__(pooling_options(settings))
        self.conditions = _conditions(settings)

    async def score(self, ids: Sequence[int]) -> float:
        """The score of a conversation that fits into the model's positions, before any activation.

        Raises:
            EngineLost: the engine died meanwhile.
        """
        params = PoolingParams(use_activation=False, task=TASK)
        output: Any = await self.final(self._llm.encode({"prompt_token_ids": list(ids)}, params, request_id=uuid.uuid4().hex))
        return float(output.outputs.data.reshape(-1)[0])


async def start(settings: EngineSettings) -> RewardEngine:
    """A new engine, started beside the event loop, which goes on answering Serve's health checks."""
    return await asyncio.to_thread(RewardEngine, settings)


def _conditions(settings: EngineSettings) -> str:
    found = {"engine": f"vllm {vllm.__version__}", "runner": "pooling", "dtype": settings.dtype, "tensor_parallel": max(1, settings.gpus)}
    return json.dumps(found, sort_keys=True)
