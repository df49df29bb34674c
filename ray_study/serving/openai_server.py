"""An OpenAI-compatible server of one checkpoint for clients of others, with what our evaluator asks it with. vLLM's own, thinly dressed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_study.config import Sampling, ServeResources
from ray_study.manifests import Manifest
from ray_study.serving.options import engine_environment, engine_options, flags
from ray_study.serving.words import EngineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How the server is started: as a process of its own, or in place of this one."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    model: str
    """What clients call the checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How a checkpoint is served, beside what it says itself."""

    max_model_len: int | None = None
    """Positions that the engine keeps; the model's own where it is None."""
    trust_remote_code: bool = False
    """Whether code that comes with the checkpoint may run."""


def generation_config(stop_ids: Sequence[int], sampling: Sampling) -> dict[str, object]:
    """What a request that says nothing is answered with: the checkpoint's own ends, and our evaluator's sampling.

    Penalties are not among it: vLLM's server has no defaults for them, and a client sends its own.
    """
    found: dict[str, object] = {
        "eos_token_id": list(stop_ids),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_tokens,
    }
    if sampling.top_k:
        found["top_k"] = sampling.top_k
    if sampling.min_p:
        found["min_p"] = sampling.min_p
    return found


def server_command(
    directory: Path,
    manifest: Manifest,
    resources: ServeResources,
    *,
    address: tuple[str, int],
    defaults: Path,
    how: Served,
) -> ServerCommand:
    """How vLLM's server is started for a checkpoint.

    Args:
        directory: the checkpoint.
        manifest: its own; the server computes in the precision that the study serves.
        resources: what the one engine may take.
        address: host and port.
        defaults: a directory with the `generation_config.json` that takes the checkpoint's place.
        how: how many positions are kept, the model's own where that is not said, and whether code that comes with it may run.
    """
    settings = EngineSettings(
        directory=str(directory),
        dtype=manifest.dtype,
        max_model_len=how.max_model_len,
        max_num_seqs=resources.max_num_seqs,
        gpus=resources.gpus_per_replica,
        kv_cache_megabytes=resources.kv_cache_megabytes,
        gpu_memory_utilization=resources.gpu_memory_utilization,
        trust_remote_code=how.trust_remote_code,
        prefix_caching=resources.prefix_caching,
    )
    host, port = address
    engine = {name: value for name, value in engine_options(settings).items() if name != "model"}
    model = directory.name
    arguments = [
        # What `vllm serve` runs; the command itself asks for the version of a package `vllm`, which the build for CPUs is not called.
        *(sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", "--model", str(directory)),
        *("--host", host, "--port", str(port), "--served-model-name", model, "--generation-config", str(defaults)),
        # The template writes text; where it wants parts, vLLM would guess so.
        *("--chat-template-content-format", "string"),
        *flags(engine),
    ]
    environment = {**os.environ, **engine_environment(gpus=resources.gpus_per_replica, cpus=resources.cpus_per_replica)}
    # Whoever starts it wants to hear that it stands, and why it does not.
    audible = {"VLLM_CONFIGURE_LOGGING": "1", "VLLM_LOGGING_LEVEL": "INFO"}
    return ServerCommand(arguments=tuple(arguments), environment={**environment, **audible}, model=model)


def write_defaults(directory: Path, stop_ids: Sequence[int], sampling: Sampling) -> Path:
    """The directory, with a `generation_config.json` in it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "generation_config.json").write_text(json.dumps(generation_config(stop_ids, sampling), sort_keys=True))
    return directory
