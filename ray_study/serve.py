"""The verb `serve`: one checkpoint behind an OpenAI-compatible server of its own, so that no client takes an engine from a study."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Evaluation, Sampling, ServeResources
from ray_study.manifests import check_files, gone, has_weights, read_manifest
from ray_study.serving.openai_server import ServerCommand, server_command, write_defaults


def resolve(checkpoint: str, *, address: tuple[str, int], gpus: int, max_model_len: int | None) -> ServerCommand:
    """How the server of a checkpoint is started: its own template and stop ids, and the sampling that evaluation has unless told otherwise.

    Raises:
        ValueError: there is no whole checkpoint in the directory; a file that is damaged is named.
    """
    directory = Path(checkpoint).absolute()
    manifest = read_manifest(directory)
    if not has_weights(directory):
        raise ValueError(gone(directory))
    check_files(directory, manifest)
    sampling = Evaluation.model_fields["sampling"].default
    assert isinstance(sampling, Sampling)
    defaults = write_defaults(cache_directory() / "served" / manifest.fingerprint, Chat(directory).stop_ids, sampling)
    cpus = 1 if gpus else len(os.sched_getaffinity(0))
    resources = ServeResources(gpus_per_replica=gpus, cpus_per_replica=cpus)
    return server_command(directory, manifest, resources, address=address, defaults=defaults, max_model_len=max_model_len)


def serve(command: ServerCommand, address: tuple[str, int], progress: Callable[[str], None]) -> None:
    """Becomes the server; it ends as a program that was started by hand does."""
    host, port = address
    progress(f"{command.model} at http://{host}:{port}/v1, once the engine stands; end it with Ctrl-C")
    os.execve(command.arguments[0], command.arguments, dict(command.environment))
