"""What an engine is started with, in vLLM's own words: the same for a replica of a pool and for a server that others ask. Loads nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray_study.serving.words import EngineSettings

CPU_BATCHED_TOKENS = 2048
"""Prompt tokens in one step of an engine on a CPU; a longer prompt still goes in one piece."""


def engine_options(settings: EngineSettings) -> dict[str, Any]:
    """VLLM's engine arguments, by name, that decide how a model is computed."""
    options: dict[str, Any] = {
        "model": settings.directory,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "tensor_parallel_size": max(1, settings.gpus),
        # Ranks are children of the engine's owner, on the accelerators that it was given.
        "distributed_executor_backend": "mp" if settings.gpus > 1 else None,
        "enable_prefix_caching": settings.prefix_caching,
        "trust_remote_code": settings.trust_remote_code,
        "disable_log_stats": True,
    }
    if settings.gpus:
        return {**options, "gpu_memory_utilization": settings.gpu_memory_utilization}
    return {
        **options,
        "kv_cache_memory_bytes": settings.kv_cache_megabytes << 20,
        # On a CPU the utilisation is checked against free memory, and its default refuses to start beside anything else.
        "gpu_memory_utilization": 0.2,
        "enforce_eager": True,
        # A seeded request whose prompt is cut into chunks ends the engine on a CPU: vLLM 0.29 then rewinds the request's
        # random generator, which torch can do on an accelerator only.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(CPU_BATCHED_TOKENS, _positions(settings)),
    }


def pooling_options(settings: EngineSettings) -> dict[str, Any]:
    """VLLM's engine arguments of a reward model.

    Whether conversations may share prefixes or be cut into chunks is vLLM's to know: where a model's pooling needs all tokens at once,
    either gives wrong scores. No request is seeded here, so nothing speaks against chunks on a CPU.
    """
    prefixes = None if settings.prefix_caching else False
    return {**engine_options(settings), "runner": "pooling", "enable_prefix_caching": prefixes, "enable_chunked_prefill": None}


def engine_environment(*, gpus: int, cpus: float) -> dict[str, str]:
    """The environment of an engine's processes."""
    quiet = {
        # It would set up logging anew, which closes the log of Serve's replica: a controller that is restarted then takes that for dead.
        "VLLM_CONFIGURE_LOGGING": "0",
        **{"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"},
    }
    if gpus:
        return quiet
    return quiet | {
        "OMP_NUM_THREADS": str(max(1, int(cpus))),
        # Threads that are bound to cores fight with whatever else computes there.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # The worker lives in the engine's process: one process less to import everything, to wait for and to clean up.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # vLLM compiles one function even where everything else runs eagerly: the rank of a log-probability, of which nobody asks here. With
        # a C++ compiler's help that takes seconds for the first canary, and again when the number of prompts in a step changes.
        "TORCHDYNAMO_DISABLE": "1",
    }


def flags(options: dict[str, Any]) -> list[str]:
    """Engine arguments as vLLM's command line has them; what is None is left to vLLM."""
    found: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            found += [f"--{flag}", str(value)]
    return found


def _positions(settings: EngineSettings) -> int:
    """Most tokens of a prompt and its answer; a reward model's config may call its own otherwise, or not say."""
    config = json.loads((Path(settings.directory) / "config.json").read_text())
    own = next((int(config[key]) for key in ("max_position_embeddings", "n_positions") if isinstance(config.get(key), int)), None)
    if own is None and settings.max_model_len is None:
        raise ValueError(f"{settings.directory}/config.json does not say max_position_embeddings; set the model's max_model_len")
    return min(each for each in (own, settings.max_model_len) if each is not None)
