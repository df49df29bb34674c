"""What is said of a run that had too little memory: what was estimated beside what was used. Light: whoever sees a worker end says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ray_study.train.layout import FAILURE, METRICS, write_failure


def in_words(estimate: Mapping[str, int], used: int | None, said: str) -> str:
    """That memory ran out, with the plan's estimate by part beside what was used, and what to do.

    Args:
        estimate: bytes of a worker by part as in `cost.Memory`; empty where the model is not known without its files.
        used: bytes that the worker is known to have held; None where nobody knows.
        said: how it ended, as a clause.
    """
    parts = ", ".join(f"{name.replace('_', ' ')} {size / 1e9:,.2f}" for name, size in estimate.items())
    planned = f"the plan estimates {sum(estimate.values()) / 1e9:,.2f} GB a worker ({parts})" if estimate else "the plan has no estimate"
    held = f"it had used {used / 1e9:,.2f} GB at most" if used is not None else "what it had used is not known"
    return (
        f"out of memory: {planned}, {held}; set a smaller micro_batch_size or gradient_checkpointing, or split more over more workers "
        f"(engine: deepspeed, zero_stage); {said}"
    )


def note(directory: Path, estimate: Mapping[str, int]) -> None:
    """Writes into a run's directory that Ray ended a worker of it for memory; a worker's own reason, where there is one, stays."""
    if not (directory / FAILURE).is_file():
        said = "Ray ended it because the machine ran low on memory, which others may have taken: let fewer things run at once"
        write_failure(directory, in_words(estimate, memory_seen(directory), said))


def memory_seen(directory: Path) -> int | None:
    """Most bytes that the first worker of a run was seen to hold at the end of a step; None before the first step's end."""
    path = directory / METRICS
    seen = [int(found["memory_bytes"]) for line in (path.read_text().splitlines() if path.is_file() else []) if (found := _read(line))]
    return max(seen, default=None)


def _read(line: str) -> dict[str, float]:
    """A step's metrics, where memory is among them."""
    try:
        values = json.loads(line)
    except ValueError:  # The last line of a worker that was killed while writing it.
        return {}
    return values if "memory_bytes" in values else {}
