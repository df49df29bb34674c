"""What a run's directory shows while others train it: its checkpoints, its metrics, and how it ended. Light: no torch, no Ray."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ray_study.manifests import MANIFEST, read_manifest
from ray_study.rows import Checkpoint, Run
from ray_study.train.layout import ENDED, FAILURE, METRICS, step_directory

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0

OnMetrics = Callable[[str, Mapping[str, float]], None]
"""Given a run's id and a new step's metrics."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """What a run's directory has shown so far."""

    run: Run
    steps: tuple[int, ...]
    directory: Path
    progress: Callable[[str], None]
    on_metrics: OnMetrics | None
    ended: bool = False
    num_yielded: int = 0
    offset: int = 0
    last_step: int = -1
    told_at: float = 0.0

    def forget_failure(self) -> None:
        """Takes an older attempt's last words away: this one may go better."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / FAILURE).unlink(missing_ok=True)

    def new(self, *, at_rest: bool) -> Iterator[Checkpoint | Run]:
        """The checkpoints since the last look, and the run where it has ended; `at_rest` where no trial of it is running."""
        if self.ended:
            return
        # Asked first: whatever a run leaves is there before it says that it ended.
        over = at_rest or (self.directory / ENDED).is_file()
        failure = self.directory / FAILURE
        error = str(json.loads(failure.read_text())["error"]) if failure.is_file() else ""
        self._tell()
        while self.num_yielded < len(self.steps):
            step = step_directory(self.directory, self.steps[self.num_yielded])
            if not (step / MANIFEST).is_file():
                break
            self.num_yielded += 1
            yield from _checkpoint(step, self.run)
        if error or (over and self.num_yielded == len(self.steps)):
            yield self._end(error)

    def last(self, error: str | None) -> Iterator[Checkpoint | Run]:
        """What is there once the trials are over, and the run with what became of it."""
        # The error comes first: a failed trial has checkpoints and metrics too.
        yield from self.new(at_rest=error is None)
        if not self.ended:
            owed = list(self.steps[self.num_yielded :])
            yield self._end(error or f"its trial ended without an error, but the checkpoints of steps {owed} are not there")

    def _end(self, error: str) -> Run:
        self.ended = True
        return replace(self.run, status="failed" if error else "finished", error=error)

    def _tell(self) -> None:
        """Passes on the metrics of new steps, and one line every few seconds."""
        path = self.directory / METRICS
        if not path.is_file():
            return
        size = path.stat().st_size
        # A run that goes on from an earlier state has cut its file; steps that were passed on are not passed on again.
        self.offset = 0 if size < self.offset else self.offset
        with path.open("rb") as file:
            file.seek(self.offset)
            whole = file.read().rpartition(b"\n")[0]
        self.offset += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            values = _parsed(line)
            if values is None or values["step"] <= self.last_step:
                continue
            self.last_step = int(values["step"])
            if self.on_metrics is not None:
                self.on_metrics(self.run.id, values)
            # What is measured before the first step has no loss of training.
            if "loss" in values and (time.monotonic() - self.told_at >= PROGRESS_SECONDS or self.last_step == self.steps[-1]):
                self.told_at = time.monotonic()
                self.progress(
                    f"{self.run.name}: step {self.last_step} of {self.steps[-1]}, loss {values.get('loss', math.nan):.3f}, "
                    f"{values['tokens_per_second']:,.0f} tokens/s"
                )


def _parsed(line: bytes) -> dict[str, float] | None:
    try:
        values = json.loads(line)
    except ValueError:  # The middle of a line, where the file was cut and has grown again.
        return None
    return values if isinstance(values, dict) else None


def _checkpoint(directory: Path, run: Run) -> list[Checkpoint]:
    """The checkpoint of a directory; none where its manifest is damaged, which costs the run no other."""
    try:
        manifest = read_manifest(directory)
    except ValueError as error:
        # Whoever says what is owed finds it too.
        log.error("a checkpoint of %s is left out: %s", run.name, error)
        return []
    canary = json.dumps({"ids": manifest.canary.ids, "logprobs": manifest.canary.logprobs})
    return [
        Checkpoint(
            run=run.id,
            step=manifest.step,
            path=str(directory),
            num_tokens=manifest.num_tokens,
            fingerprint=manifest.fingerprint,
            canary=canary,
        )
    ]
