"""What verbs share: exit codes, the study and the store of a sweep file, progress for people."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ray_study import sweep_file
from ray_study.config import Study
from ray_study.store import Store
from ray_study.tracking_uri import refuse_password

DONE, OWED, BAD_INPUT = 0, 1, 2


def read_study(path: str) -> Study:
    """The study of a file. Where it names no tracking store, MLflow's own variable does, as for any program that uses MLflow."""
    study = sweep_file.read(path)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    refuse_password(study.tracking or uri or "")
    return study if study.tracking or not uri else study.model_copy(update={"tracking": uri})


def open_store(study: Study) -> Store:
    """The store of a study, where the environment or the file says.

    Raises:
        ValueError: it lies where a study's results cannot be, or where a Ray job would lose them.
    """
    # Here, and not at import, since it decides where a Ray job may write.
    storage = storage_of(study.storage)
    in_a_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    database = (study.tracking or "").removeprefix("sqlite:///")
    if in_a_job and database != (study.tracking or "") and not Path(database).is_absolute():
        raise ValueError(
            f"tracking {study.tracking!r} is relative, and a Ray job runs in a copy of the working directory that Ray deletes; "
            "leave it out, or write sqlite:////an/absolute/path"
        )
    return Store(storage, study.name)


def storage_of(said: str) -> str:
    """The directory of stores: the environment's, or what a file says.

    Raises:
        ValueError: it is an object store, or relative inside a Ray job.
    """
    storage = os.path.expanduser(os.environ.get("RAY_STUDY_STORAGE") or said)
    if "://" in storage:
        raise ValueError(f"storage {storage} is an object store, and checkpoints need a file system that all nodes mount; name a directory")
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ and not Path(storage).is_absolute():
        raise ValueError(
            f"storage {storage!r} is relative, and a Ray job runs in a copy of the working directory that Ray deletes: results would be "
            'lost; submit with --runtime-env-json \'{"env_vars": {"RAY_STUDY_STORAGE": "/a/shared/directory"}}\', or set an '
            "absolute `storage`"
        )
    return storage


def progress_for_people(*, quiet: bool) -> Callable[[str], None]:
    """Tells a line with the minutes that have gone by, or nothing where it is to be quiet."""
    console = Console(stderr=True, highlight=False)
    start = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            minutes, seconds = divmod(int(time.monotonic() - start), 60)
            console.print(f"[dim]{minutes:3d}:{seconds:02d}[/dim] ", end="")
            console.print(text, markup=False, soft_wrap=True)

    return say
