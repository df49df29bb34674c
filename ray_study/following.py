"""The checkpoints of a study that another driver trains, or has trained: found in the store, as their manifests appear."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ray_study.claims import DEAD_AFTER_SECONDS, is_held
from ray_study.grid import PlannedRun, planned
from ray_study.materials import Lab
from ray_study.owed import last_known_steps
from ray_study.recall import stored_run
from ray_study.rows import Checkpoint, Run
from ray_study.runs import stored_checkpoints, stored_start

NOBODY_TRAINS = "nobody trains this study any more, and {names} {are} owed: train on with `ray-study run --train-only`, or with `run`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How the store is watched."""

    poll_seconds: float = 5.0
    without_trainer_seconds: float = DEAD_AFTER_SECONDS
    """How long to wait for a driver that trains: one that was killed may be started again, and one may not have begun."""


def made(lab: Lab, *, follow: bool, patience: Patience | None = None) -> Iterator[Checkpoint | Run]:
    """Each whole checkpoint of the SFT runs, step 0 of a run first, and in the end each run as it is then.

    Args:
        lab: the study at work; the last step of each run is noted in it before the run's first checkpoint comes.
        follow: goes on until every run has finished, or nobody has trained for a while.
        patience: how long is waited; only where it follows.
    """
    patience = patience or Patience()
    told: set[tuple[str, int, str]] = set()
    last_seen = time.monotonic()
    while True:
        # Looked at before the store is, so that whatever a trainer has left when it ended is found.
        is_trained = is_held(lab.store, "train")
        lab.store.check()
        rows = [stored_run(lab, run) for run in planned(lab.study)]
        for checkpoint in _checkpoints(lab):
            key = (checkpoint.run, checkpoint.step, checkpoint.fingerprint)
            if key not in told:
                told.add(key)
                yield checkpoint
        last_seen = time.monotonic() if is_trained else last_seen
        is_left = time.monotonic() - last_seen > patience.without_trainer_seconds
        # A run that failed may be tried again by the driver that trains, or by its next one.
        if not follow or is_left or all(row.status == "finished" for row in rows):
            break
        time.sleep(patience.poll_seconds)
    yield from rows


def _checkpoints(lab: Lab) -> Iterator[Checkpoint]:
    for run in planned(lab.study):
        if run.stage != "sft":
            continue
        found = _found(lab, run)
        if found:
            steps = last_known_steps(lab.study, lab.store, run) or tuple(each.step for each in found)
            lab.last_steps[run.id] = max(steps)
        yield from found


def _found(lab: Lab, run: PlannedRun) -> list[Checkpoint]:
    """The whole checkpoints of a run, its step 0 among them; a half-written one has no manifest and does not exist."""
    start = stored_start(lab.store, run.id)
    return [*([start] if start is not None else []), *stored_checkpoints(lab.store, run.id)]


def left_behind(runs: list[Run]) -> str:
    """What is said where nobody trains any more and runs are owed; empty where none is."""
    names = [repr(run.name) for run in runs if run.status == "owed"]
    return NOBODY_TRAINS.format(names=", ".join(names), are="are" if len(names) > 1 else "is") if names else ""
