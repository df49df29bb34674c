"""The names of what a run leaves in its directory. Light: the driver watches for them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from ray_study.manifests import MANIFEST

METRICS = "metrics.jsonl"
RESUME = "resume"
FAILURE = "failure.json"
"""Why the run cannot go on, where going on from its resume state would only fail again."""
ATTEMPT = "attempt"
"""Names the newest attempt at the run: the workers of an older one, whose driver was killed, write nothing more."""
ENDED = "ended.json"
"""Written by a run as its very last file, with what it counted and the seconds that it took."""
_STEP = "step-"
LENGTHS = "lengths.json"
"""Not in a run's directory but in the store: how many rows each run of the study learns from, and the steps that this gives it."""


def begin_attempt(directory: Path, token: str) -> None:
    """Makes `token` the run's newest attempt."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{ATTEMPT}.{token}"
    temporary.write_text(token)
    temporary.replace(directory / ATTEMPT)


def is_newest(directory: Path, token: str) -> bool:
    """Whether no attempt at the run began after this one; also where nobody said which is the newest."""
    try:
        return (directory / ATTEMPT).read_text() == token
    except FileNotFoundError:
        return True


def write_failure(directory: Path, error: str) -> None:
    """Notes why a run cannot go on; its resume state stays, for whoever finds out why. The note appears whole."""
    temporary = directory / f".{FAILURE}.{uuid.uuid4().hex}"
    temporary.write_text(json.dumps({"error": error}))
    temporary.replace(directory / FAILURE)


def step_directory(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return directory / f"{_STEP}{step:06d}"


def saved_directories(directory: Path) -> dict[int, Path]:
    """The directories of a run that have a manifest, by their steps; a half-written checkpoint has none and does not exist."""
    found = {path.parent.name.removeprefix(_STEP): path.parent for path in directory.glob(f"{_STEP}*/{MANIFEST}")}
    return {int(step): path for step, path in sorted(found.items()) if step.isdecimal()}


def seconds_spent(directory: Path) -> float:
    """Seconds that a run has trained for, by its last step that was written down; 0 where there is none."""
    path = directory / METRICS
    lines = path.read_text().splitlines() if path.is_file() else []
    return float(json.loads(lines[-1]).get("seconds", 0.0)) if lines else 0.0
