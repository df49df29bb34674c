"""The checkpoints of a run as its directory has them: whole, or lost although the run saved them. Pure, light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ray_study.manifests import MANIFEST, Manifest, read_manifest
from ray_study.store import Result, Store
from ray_study.train.layout import saved_directories, step_directory

STEPS = "steps"
"""In the record of a finished run: the steps that it has saved. Records of before do not say it."""

GONE = "{directory} has no {manifest}, though its run has saved it; `ray-study run` trains that run again, and what else it saved stays"

OF_BEFORE = "its run was finished by an older version, whose record does not say that it saved this step"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSteps:
    """What is there of a run's checkpoints, by step."""

    whole: Mapping[int, Manifest] = field(default_factory=dict)
    lost: Mapping[int, str] = field(default_factory=dict)
    """Why a checkpoint that was saved cannot be used, and what to do."""


def stored_steps(store: Store, run: str) -> StoredSteps:
    """The checkpoints of a run, without step 0. One whose weights were deleted on purpose has its manifest still, and is whole."""
    if not store.is_local:
        return StoredSteps()
    directory = Path(store.path(f"train-{run}"))
    whole: dict[int, Manifest] = {}
    lost: dict[int, str] = {}
    for step, path in saved_directories(directory).items():
        try:
            whole[step] = read_manifest(path)
        except ValueError as error:
            # It costs this checkpoint, and no other.
            lost[step] = str(error)
    finished = store.recall("train", run)
    if finished is not None and lost and STEPS not in finished.record:
        lost = {step: f"{why} (but {directory} is what to delete: {OF_BEFORE})" for step, why in lost.items()}
    for step in missing_steps(finished) if finished is not None else ():
        lost[step] = GONE.format(directory=step_directory(directory, step), manifest=MANIFEST)
    return StoredSteps(whole=whole, lost=dict(sorted(lost.items())))


def saved(finished: Result) -> tuple[int, ...]:
    """The steps that a finished run has saved: those that its record names, and those that are there."""
    return tuple(sorted({*finished.record.get(STEPS, ()), *saved_directories(Path(finished.path))}))


def missing_steps(finished: Result) -> tuple[int, ...]:
    """The steps that a finished run has saved and whose manifests are not there any more."""
    there = saved_directories(Path(finished.path))
    return tuple(step for step in saved(finished) if step not in there)
