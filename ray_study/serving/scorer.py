"""One replica of a reward model: vLLM's pooling runner over whole conversations, whose one label is the score."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_study.serving.words import EngineSettings, Scored

if TYPE_CHECKING:
    import vllm

TASK = "classify"
"""vLLM's word for a head with labels; a reward model's head has one."""


class Scorer:
    """Scores conversations with one set of weights, which never change; Serve runs one for each engine."""

    async def __init__(self, settings: EngineSettings) -> None:  # type: ignore[misc]  # Serve awaits it, so health checks go on
        """Starts the engine."""
        self._llm, self.conditions = await asyncio.to_thread(_start, settings)
        self._max_len = int(self._llm.model_config.max_model_len)
        # The engine batches within a call; two calls at once would not be safe.
        self._one_at_a_time = asyncio.Lock()

    async def score(self, conversations: Sequence[tuple[int, ...]]) -> list[Scored]:
        """The score of each conversation's ids, before any activation; one that is too long fails alone, with its reason."""
        fitting = [number for number, ids in enumerate(conversations) if 0 < len(ids) <= self._max_len]
        async with self._one_at_a_time:
            values = await asyncio.to_thread(_scores, self._llm, [conversations[number] for number in fitting])
        found = dict(zip(fitting, values, strict=True))
        return [self._scored(ids, found.get(number)) for number, ids in enumerate(conversations)]

    def _scored(self, ids: tuple[int, ...], value: float | None) -> Scored:
        why = "" if value is not None else f"the conversation has {len(ids)} tokens, the reward model {self._max_len} positions"
        return Scored(value=value, num_tokens=len(ids), conditions=self.conditions, explanation=why)


def _start(settings: EngineSettings) -> tuple[vllm.LLM, str]:
    # The driver deploys this class and never runs an engine: it need not wait for vLLM and torch to be imported.
    import vllm  # noqa: PLC0415

    labels = num_labels(Path(settings.directory))
    if labels != 1:
        raise ValueError(f"{settings.directory} has {labels} labels; expected a reward model, whose head has one")
    place: dict[str, Any] = {"gpu_memory_utilization": settings.gpu_memory_utilization}
    if settings.gpus == 0:
        place = {"kv_cache_memory_bytes": settings.kv_cache_megabytes << 20, "gpu_memory_utilization": 0.2, "enforce_eager": True}
    llm = vllm.LLM(
        model=settings.directory,
        runner="pooling",
        dtype=settings.dtype,
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        tensor_parallel_size=max(1, settings.gpus),
        trust_remote_code=settings.trust_remote_code,
        disable_log_stats=True,
        **place,
    )
    found = {"engine": f"vllm {vllm.__version__}", "runner": "pooling", "dtype": settings.dtype, "tensor_parallel": max(1, settings.gpus)}
    return llm, json.dumps(found, sort_keys=True)


def num_labels(directory: Path) -> int:
    """How many labels a model's head has, by its config; 2 where it does not say, as transformers has it."""
    config = json.loads((directory / "config.json").read_text())
    return int(config.get("num_labels") or len(config.get("id2label") or (0, 1)))


def _scores(llm: vllm.LLM, conversations: Sequence[tuple[int, ...]]) -> list[float]:
    # As above.
    from vllm import PoolingParams  # noqa: PLC0415

    if not conversations:
        return []
    params = PoolingParams(use_activation=False)
    prompts: Any = [{"prompt_token_ids": list(ids)} for ids in conversations]
    outputs = llm.encode(prompts, pooling_params=params, pooling_task=TASK, use_tqdm=False)
    return [float(output.outputs.data.reshape(-1)[0]) for output in outputs]
