"""What is said of a worker that ran out of memory: what was estimated, and what was used. Trying again would end in the same way."""

from __future__ import annotations

import resource
from collections.abc import Mapping

import torch

from ray_study.train import shortage

_CPU_WORDS = "can't allocate memory"
"""Of torch's allocator on the CPU, which has no error of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on an accelerator or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _CPU_WORDS in str(error)


def peak_bytes(device: torch.device) -> int:
    """Most bytes that this process has held: of the accelerator by torch's allocator, or of the CPU's memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_words(error: BaseException, estimate: Mapping[str, int], device: torch.device) -> str:
    """The error with the plan's estimate by part beside what was used, and what to do.

    Args:
        error: that memory could not be had.
        estimate: bytes by part as in `cost.Memory`; empty where the model is not known without its files.
        device: of this worker.
    """
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return shortage.in_words(estimate, peak_bytes(device), f"the worker said: {said[:300]}")
