"""One vLLM engine: its processes, and one that answers prompts, changes its weights in place, and tells what it has loaded."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import vllm
from vllm import AsyncEngineArgs, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from ray_study.chat import Chat
from ray_study.config import Sampling
from ray_study.serving.ending import REPLICA
from ray_study.serving.options import engine_options
from ray_study.serving.words import EngineLost, EngineSettings, Request

log = logging.getLogger(__name__)

DEAD = (EngineDeadError, EngineGenerateError)
"""What vLLM raises where its processes are gone."""

WORKER = "ray_study.serving.worker.Worker"
"""vLLM imports it in the processes that it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What an engine generated for one request."""

    text: str
    """Without the stop token."""
    num_tokens: int
    """The stop token included."""
    stopped: bool
    seconds: float
    logprob: float | None
    """The sum over the generated tokens, where it was asked for."""


class Processes:
    """The processes of a running engine; made off the event loop, since starting takes half a minute, and used on it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Starts them with vLLM's engine arguments, and loads the weights of the directory that those name."""
        os.environ[REPLICA] = str(os.getpid())
        arguments = AsyncEngineArgs(worker_cls=WORKER, skip_tokenizer_init=True, use_tqdm_on_load=False, **options)
        self._llm: Any = AsyncLLM.from_engine_args(arguments)
        self.max_model_len = int(self._llm.model_config.max_model_len)

    @property
    def is_dead(self) -> bool:
        """Whether they are gone."""
        return bool(self._llm.errored)

    async def process_ids(self) -> tuple[int, ...]:
        """The process ids of the engine's ranks."""
        return tuple(await self._llm.collective_rpc("process_id"))

    def close(self) -> None:
        """Ends them."""
        self._llm.shutdown(timeout=5)

    async def final(self, outputs: AsyncIterator[Any]) -> Any:
        """The last of what the engine gives for one request.

        Raises:
            EngineLost: the engine died meanwhile.
        """
        found = None
        try:
            async for output in outputs:
                found = output
        except DEAD as error:
            raise EngineLost(f"the engine died while it answered: {error}") from error
        if found is None:
            raise EngineLost("the engine ended an answer without any output")
        return found


class Engine(Processes):
    """An engine that answers prompts."""

    def __init__(self, settings: EngineSettings) -> None:
        """Starts the engine's processes and loads the checkpoint of `settings.directory`."""
        # Prompts come as ids, from whoever rendered them.
        self._chat = Chat(settings.directory, trust_remote_code=settings.trust_remote_code, turns=False)
        super().__init__({**engine_options(settings), "generation_config": "vllm"})
        self.conditions = _conditions(settings)

    async def generate(self, request: Request, sampling: Sampling) -> Output:
        """The answer to one request.

        Raises:
            ValueError: the prompt leaves no room in the engine's positions; nothing else is harmed.
            EngineLost: the engine died meanwhile.
        """
        room = self.max_model_len - len(request.prompt_ids)
        if room < 1 or not request.prompt_ids:
            raise ValueError(
                f"the prompt has {len(request.prompt_ids)} tokens, the engine {self.max_model_len} positions: no room for an answer"
            )
        start = time.monotonic()
        final = await self._run(request.prompt_ids, _sampling_params(request, sampling, self._chat.stop_ids, min(request.max_tokens, room)))
        answer = final.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            raise EngineLost(f"an answer ended with {answer.finish_reason!r} instead of a stop token or its cap")
        return Output(
            text=self._chat.decode(answer.token_ids),
            num_tokens=len(answer.token_ids),
            stopped=answer.finish_reason == "stop",
            seconds=time.monotonic() - start,
            logprob=None if answer.cumulative_logprob is None else float(answer.cumulative_logprob),
        )

    async def logprobs(self, ids: Sequence[int]) -> tuple[float, ...]:
        """The log-probability of each token of a text but its first, under the loaded weights."""
        params = SamplingParams(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        final = await self._run(ids, params)
        return tuple(float(found[token].logprob) for found, token in zip(final.prompt_logprobs[1:], ids[1:], strict=True))

    async def swap(self, directory: str) -> None:
        """Loads another checkpoint's weights in place; nothing that was cached of the old ones survives."""
        try:
            await self._llm.pause_generation(mode="wait")
            try:
                await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": directory})
                await self._llm.reset_prefix_cache()
            finally:
                await self._llm.resume_generation()
        except DEAD as error:
            raise EngineLost(f"the engine died while it loaded {directory}: {error}") from error

    async def bit_sum(self) -> tuple[int, int]:
        """The checksum of the loaded weights as in `Manifest.bit_sum`, read from the engine's processes, and its zeros of unknown sign."""
        parts: list[tuple[int, int]] = await self._llm.collective_rpc("loaded_bit_sum")
        return sum(part for part, _ in parts) % 2**64, sum(zeros for _, zeros in parts)

    async def _run(self, ids: Sequence[int], params: SamplingParams) -> Any:
        return await self.final(self._llm.generate({"prompt_token_ids": list(ids)}, params, request_id=uuid.uuid4().hex))


async def start(settings: EngineSettings) -> Engine:
    """A new engine, started beside the event loop, which goes on answering Serve's health checks."""
    return await asyncio.to_thread(Engine, settings)


def _sampling_params(request: Request, sampling: Sampling, stop_ids: Sequence[int], max_tokens: int) -> SamplingParams:
    return SamplingParams(
        n=1,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=1.0,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=request.seed,
        stop=None,
        stop_token_ids=list(stop_ids),
        # The stop ids are all that ends an answer, the same for every engine; vLLM would add its own reading of the model's end.
        ignore_eos=True,
        max_tokens=max_tokens,
        min_tokens=0,
        # Of the sampled token alone, from the model's own distribution: the engine's `raw_logprobs`.
        logprobs=0 if request.logprobs else None,
        prompt_logprobs=None,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _conditions(settings: EngineSettings) -> str:
    found = {
        "engine": f"vllm {vllm.__version__}",
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(0) if settings.gpus else f"cpu {torch.backends.cpu.get_cpu_capability()} {platform.machine()}",
        "tensor_parallel": max(1, settings.gpus),
        "dtype": settings.dtype,
        "max_num_seqs": settings.max_num_seqs,
        "prefix_caching": settings.prefix_caching,
    }
    return json.dumps(found, sort_keys=True)
