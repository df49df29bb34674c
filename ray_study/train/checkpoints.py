"""What a run leaves on disk: checkpoints to be scored, metrics by step, and the state from which it goes on after an interruption."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoModelForCausalLM

from ray_study.manifests import MANIFEST, read_manifest
from ray_study.model_files import DTYPES, Stamp, save_step
from ray_study.train.layout import ENDED, METRICS, RESUME, is_newest, step_directory, write_failure
from ray_study.train.parallel import Engine, Place, Weights, tensors_of

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
    """Writes the checkpoints of one run in the background, one at a time.

    Its copy of the model, on the CPU and in the dtype that is served, is the only one that it makes: the training step waits while the
    weights are copied there, and for the checkpoint before where that is not written yet. Files, hashes and the canary come from the
    copy, by a thread, while training goes on.
    """

    def __init__(self, base: Path, directory: Path, *, trust_remote_code: bool) -> None:
        self._base = base
        self._directory = directory
        self._trust_remote_code = trust_remote_code
        self._served: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was copied is written to its end, whatever ended the run."""
        self._thread.shutdown()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def is_there(self, step: int) -> bool:
        """Whether the step's checkpoint is whole. It may have been scored already, so it is never written again."""
        return (step_directory(self._directory, step) / MANIFEST).is_file()

    def clear(self) -> None:
        """Deletes what a worker that was killed has left of checkpoints that it was writing."""
        check_attempt(self._directory)
        for left in self._directory.glob(".step-*"):
            shutil.rmtree(left, ignore_errors=True)

    def write(self, weights: Weights, stamp: Stamp) -> None:
        """Takes a copy of the weights, rounded to the dtype that is served; it is a checkpoint some time after this returned.

        Raises:
            Exception: whatever went wrong with the checkpoint before.
        """
        self.wait()
        check_attempt(self._directory)
        if self._served is None:
            dtype = DTYPES[read_manifest(self._base).dtype]
            self._served = AutoModelForCausalLM.from_pretrained(
                self._base, dtype=dtype, local_files_only=True, trust_remote_code=self._trust_remote_code
            )
        copy_weights(weights, self._served)
        self._writing = self._thread.submit(self._write, stamp)

    def check(self) -> None:
        """Returns at once; raises what went wrong with a checkpoint in the background."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Returns when nothing is being written; raises what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, stamp: Stamp) -> None:
        # Asked again before it appears: writing a large model takes long enough for another attempt to begin and to write it too.
        may_appear = partial(check_attempt, self._directory)
        save_step(self._served, self._base, step_directory(self._directory, stamp.step), stamp, may_appear)


@torch.no_grad()
def copy_weights(weights: Weights, model: torch.nn.Module) -> None:
    """Copies weights into a model of the same names, tensor by tensor, rounding to its dtype.

    Raises:
        ValueError: the names differ.
    """
    targets = dict(tensors_of(model))
    for name, tensor in weights:
        if name not in targets:
            raise ValueError(f"the trained model has a tensor {name!r} that the model it began from has not; save the model anew as `path`")
        targets.pop(name).copy_(tensor)
    if targets:
        raise ValueError(f"the trained model has no {sorted(targets)}, which the model it began from has; save the model anew as `path`")


def write_state(
    directory: Path, engine: Engine, place: Place, progress: Mapping[str, float], *, settled: Callable[[], None] = lambda: None
) -> None:
    """Keeps what the run needs to go on from here: two slots in turn, and a pointer to the good one, written last.

    Args:
        directory: the run's.
        engine: whose state it is; each worker writes its part.
        place: this worker's.
        progress: where the run is, as numbers.
        settled: returns when every checkpoint up to here is whole: who goes on from here will not write them again.
    """
    check_attempt(directory)
    resume = directory / RESUME
    latest = _latest(directory)
    slot = _SLOTS[1] if latest is not None and latest["slot"] == _SLOTS[0] else _SLOTS[0]
    place.wait()  # No worker may still be reading the pointer when it moves.
    (resume / slot).mkdir(parents=True, exist_ok=True)
    state = engine.state()
    if state:
        _save(state, directory, resume / slot / _part(place.rank))
    # Also a barrier: every part is there when the sum is.
    num_parts = int(place.sum(torch.tensor([float(bool(state))], device=place.device))[0])
    check_attempt(directory)
    if place.is_first:
        settled()
        _write_json(resume / _POINTER, {"slot": slot, "num_parts": num_parts, "progress": dict(progress)})


def _part(rank: int) -> str:
    return f"worker-{rank}.pt"


def _save(state: Mapping[str, Any], directory: Path, path: Path) -> None:
    """Writes a part of a state; it appears whole, and only while no newer attempt may write the same slot."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        torch.save(state, temporary)
        _sync(temporary)
        check_attempt(directory)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_state(directory: Path, engine: Engine, owed: Iterable[int] = ()) -> dict[str, float]:
    """The progress that the run goes on from, with the engine as it was then; step 0 where nothing was kept.

    The state may have been kept by any number of workers. Nothing but tensors and plain values is read back: torch refuses a file that
    would run code.

    Args:
        directory: the run's.
        engine: takes the state up.
        owed: the steps whose checkpoints are missing; a state after one of them is left aside, since it would never be made.

    Raises:
        ValueError: a part of the state is missing.
    """
    start: dict[str, float] = {"step": 0, "num_tokens": 0}
    latest = _latest(directory)
    if latest is None:
        return start
    progress = {str(key): float(value) for key, value in latest["progress"].items()}
    missing = [step for step in owed if step <= progress["step"]]
    if missing:
        log.warning(
            "the checkpoints of steps %s are gone, so the run begins again instead of going on from step %d", missing, progress["step"]
        )
        return start
    engine.load_state(_parts(directory / RESUME / str(latest["slot"]), int(latest.get("num_parts", 1))))
    log.info("going on from step %d", progress["step"])
    return progress


def _parts(slot: Path, num_parts: int) -> Sequence[Mapping[str, Any]]:
    paths = [slot / _part(rank) for rank in range(num_parts)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{slot} has no {missing}, parts of the run's resume state; put them back, or delete {slot.parent} to start again")
    # Of many parts a worker needs a piece each, so they are not read whole.
    return [torch.load(path, map_location="cpu", weights_only=True, mmap=num_parts > 1) for path in paths]


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


def _sync(path: Path) -> None:
    """Flushes a file to disk before a pointer says that it is good."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
