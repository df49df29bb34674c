"""What a run leaves on disk: checkpoints to be scored, metrics by step, and the state from which it goes on after an interruption."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ray_study.manifests import MANIFEST, read_manifest
from ray_study.model_files import DTYPES, Stamp, save_step
from ray_study.train.layout import ENDED, METRICS, RESUME, is_newest, step_directory, write_failure
from ray_study.train.parallel import Engine, Place, Weights

log = logging.getLogger(__name__)

_POINTER = "latest.json"
_SLOTS = ("a", "b")

_attempts: dict[Path, str] = {}
"""The attempt that this process works for, by the run's directory. A worker is a process, and it trains one run."""


class SupersededError(RuntimeError):
    """A newer attempt at the run has begun, so this one may write nothing more."""


def join_attempt(directory: Path, token: str) -> None:
    """From now on this process writes into a run's directory only while no newer attempt than `token` has begun."""
    _attempts[directory] = token


def check_attempt(directory: Path) -> None:
    """Returns while this process may write into a run's directory.

    Raises:
        SupersededError: a newer attempt at the run has begun, as when the driver of this one was killed and the study run again.
    """
    token = _attempts.get(directory)
    if token is not None and not is_newest(directory, token):
        raise SupersededError(f"a newer attempt at the run in {directory} has begun; this worker stops")


class Writer:
    """Writes the checkpoints of one run; its copy of the model, in the dtype that is served, is made once."""

    def __init__(self, base: Path, directory: Path, *, trust_remote_code: bool) -> None:
        self._base = base
        self._directory = directory
        self._trust_remote_code = trust_remote_code
        self._served: Any = None

    def is_there(self, step: int) -> bool:
        """Whether the step's checkpoint is whole. It may have been scored already, so it is never written again."""
        return (step_directory(self._directory, step) / MANIFEST).is_file()

    def write(self, weights: Weights, stamp: Stamp) -> None:
        """Rounds the weights to the dtype that is served, and writes them with their manifest."""
        check_attempt(self._directory)
        if self._served is None:
            dtype = DTYPES[read_manifest(self._base).dtype]
            self._served = AutoModelForCausalLM.from_pretrained(
                self._base, dtype=dtype, local_files_only=True, trust_remote_code=self._trust_remote_code
            )
        self._served.load_state_dict(weights)
        # Asked again before it appears: writing a large model takes long enough for another attempt to begin and to write it too.
        may_appear = partial(check_attempt, self._directory)
        save_step(self._served, self._base, step_directory(self._directory, stamp.step), stamp, may_appear)


def write_state(directory: Path, engine: Engine, place: Place, progress: Mapping[str, int]) -> None:
    """Keeps what the run needs to go on from here: two slots in turn, and a pointer to the good one, written last."""
    check_attempt(directory)
    resume = directory / RESUME
    latest = _latest(directory)
    slot = _SLOTS[1] if latest is not None and latest["slot"] == _SLOTS[0] else _SLOTS[0]
    place.wait()  # No worker may still be reading the pointer when it moves.
    (resume / slot).mkdir(parents=True, exist_ok=True)
    state = engine.state()
    if state:
        _save(state, directory, resume / slot / f"worker-{place.rank}.pt")
    place.wait()
    check_attempt(directory)
    if place.is_first:
        _write_json(resume / _POINTER, {"slot": slot, "num_workers": place.num_workers, "progress": dict(progress)})


def _save(state: Mapping[str, Any], directory: Path, path: Path) -> None:
    """Writes a part of a state; it appears whole, and only while no newer attempt may write the same slot."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        torch.save(state, temporary)
        check_attempt(directory)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_state(directory: Path, engine: Engine, place: Place) -> dict[str, int]:
    """The progress that the run goes on from, with the engine as it was then; step 0 where nothing was kept.

    Raises:
        ValueError: the state was kept by another number of workers, and each holds a part of it.
    """
    latest = _latest(directory)
    if latest is None:
        return {"step": 0, "num_tokens": 0}
    slot = directory / RESUME / str(latest["slot"])
    mine = slot / f"worker-{place.rank}.pt"
    if (slot / "worker-1.pt").is_file() and latest["num_workers"] != place.num_workers:
        raise ValueError(
            f"{slot} was written by {latest['num_workers']} workers, found {place.num_workers}; give the run as many, or delete "
            f"{slot.parent} to start it again"
        )
    # Nothing but tensors and plain values is read back; a file that would run code is refused by torch.
    engine.load_state(torch.load(mine if mine.is_file() else slot / "worker-0.pt", map_location="cpu", weights_only=True))
    progress = {str(key): int(value) for key, value in latest["progress"].items()}
    log.info("going on from step %d", progress["step"])
    return progress


def end(directory: Path, counts: Mapping[str, float]) -> None:
    """Marks a run as ended, with what it counted, and deletes its resume state."""
    check_attempt(directory)
    shutil.rmtree(directory / RESUME, ignore_errors=True)
    _write_json(directory / ENDED, counts)


def fail(directory: Path, error: str) -> None:
    """Notes why a run cannot go on; its resume state stays, for whoever finds out why."""
    check_attempt(directory)
    write_failure(directory, error)


def _latest(directory: Path) -> dict[str, Any] | None:
    path = directory / RESUME / _POINTER
    return dict(json.loads(path.read_text())) if path.is_file() else None


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Metrics:
    """The metrics of a run by step, one JSON object a line."""

    def __init__(self, directory: Path | None, *, after: int) -> None:
        """Keeps the lines of steps up to `after`, which the run goes on from, and appends from there; no directory, no lines.

        A run that begins anew, after step 0, measures again what was measured before its first step.
        """
        self._file = None
        if directory is None:
            return
        self._directory = directory
        check_attempt(directory)
        path = directory / METRICS
        kept = [line for line in path.read_text().splitlines() if _step(line) in range(after + 1)] if path.is_file() and after else []
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        temporary.write_text("".join(f"{line}\n" for line in kept))
        temporary.replace(path)
        self._file = path.open("a")

    def write(self, values: Mapping[str, float | int]) -> None:
        """Appends one step's metrics, without those that are no numbers; readers see whole lines."""
        if self._file is not None:
            check_attempt(self._directory)
            self._file.write(json.dumps({name: value for name, value in values.items() if math.isfinite(value)}) + "\n")
            self._file.flush()


def _step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except ValueError:  # The last line of a run that was killed while writing it.
        return None
