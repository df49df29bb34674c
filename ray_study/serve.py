"""The verb `serve`: one checkpoint behind an OpenAI-compatible server of its own, so that no client takes an engine from a study."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Evaluation, Sampling, ServeResources
from ray_study.manifests import check_files, gone, has_weights, read_manifest
from ray_study.serving.openai_server import Served, ServerCommand, server_command, write_defaults


def resolve(checkpoint: str, *, address: tuple[str, int], gpus: int, how: Served) -> ServerCommand:
    """How the server of a checkpoint is started: its own template and stop ids, and the sampling that evaluation has unless told otherwise.

    Raises:
        ValueError: there is no whole checkpoint in the directory; a file that is damaged is named. Or its tokenizer needs code of its own,
            which may not run.
    """
    directory = Path(checkpoint).absolute()
    manifest = read_manifest(directory)
    if not has_weights(directory):
        raise ValueError(gone(directory))
    check_files(directory, manifest)
    sampling = Evaluation.model_fields["sampling"].default
    assert isinstance(sampling, Sampling)
    try:
        chat = Chat(directory, trust_remote_code=how.trust_remote_code)
    except ValueError as error:
        if how.trust_remote_code or "trust_remote_code" not in str(error):
            raise
        raise ValueError(
            f"the tokenizer of {directory} runs by code that comes with it; look at that, and add --trust-remote-code if you trust it"
        ) from error
    defaults = write_defaults(cache_directory() / "served" / manifest.fingerprint, chat.stop_ids, sampling)
    cpus = 1 if gpus else len(os.sched_getaffinity(0))
    resources = ServeResources(gpus_per_replica=gpus, cpus_per_replica=cpus)
    return server_command(directory, manifest, resources, address=address, defaults=defaults, how=how)


def serve(command: ServerCommand, address: tuple[str, int], progress: Callable[[str], None]) -> None:
    """Becomes the server; it ends as a program that was started by hand does."""
    host, port = address
    progress(f"{command.model} at http://{host}:{port}/v1, once the engine stands; end it with Ctrl-C")
    os.execve(command.arguments[0], command.arguments, dict(command.environment))
