"""The names of what a run leaves in its directory. Light: the driver watches for them."""

from __future__ import annotations

from pathlib import Path

METRICS = "metrics.jsonl"
RESUME = "resume"
FAILURE = "failure.json"
"""Why the run cannot go on, where going on from its resume state would only fail again."""
ENDED = "ended.json"
"""Written by a run as its very last file, with what it counted."""


def step_directory(directory: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return directory / f"step-{step:06d}"
