"""What a step takes of the machine: the share of its peak that is used, and memory."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ray_study.config import Training
from ray_study.models import ModelFacts, facts_of
from ray_study.train.accelerators import peak_flops
from ray_study.train.tokenizing import Row


class Usage:
    """What the first worker's device does in each step; the workers of a run are alike."""

    def __init__(self, base: Path, training: Training, device: torch.device, peak_teraflops: float | None) -> None:
        """Of a run from the model in `base`.

        Args:
            base: a directory in Hugging Face layout.
            training: the run's settings.
            device: of this worker.
            peak_teraflops: what one worker's device does at most in the run's precision, 1e12 FLOP/s. Empty: what `accelerators` says of
                an accelerator in bf16; of others, and of a CPU, it is not known unless it was measured.
        """
        self._facts = facts_of(json.loads((base / "config.json").read_text()))
        self._device = device
        self._peak: float | None = None
        if peak_teraflops is not None:
            self._peak = peak_teraflops * 1e12
        elif device.type == "cuda" and training.precision == "bf16":
            self._peak = peak_flops(torch.cuda.get_device_name(device))

    def of_step(self, batch: Sequence[Row], seconds: float, num_workers: int) -> dict[str, float]:
        """`memory_bytes`, and `model_flops_utilisation` where peak and model are known, of a step over `batch` by all workers."""
        found = {"memory_bytes": float(memory_bytes(self._device))}
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if self._peak is not None and self._facts is not None:
            found["model_flops_utilisation"] = step_flops(self._facts, batch) / (seconds * num_workers * self._peak)
        return found


def step_flops(facts: ModelFacts, batch: Sequence[Row]) -> float:
    """Floating-point operations that a step over these rows needs: nothing that is computed again, and no padding.

    Chowdhery et al., "PaLM" (2022), appendix B: 6 for each weight that multiplies a token, and 12 L H Q T a token for attention, of L
    layers, H heads of size Q and rows of T tokens. The head multiplies those positions alone that are asked for something.
    """
    lengths = [len(row.ids) for row in batch]
    head = facts.vocab_size * facts.hidden_size
    body = facts.num_parameters - head * (1 if facts.tied else 2)
    attention = 12 * facts.num_layers * facts.num_heads * facts.head_size * sum(length * length for length in lengths)
    return float(6 * body * sum(lengths) + 6 * head * sum(row.num_targets for row in batch) + attention)


def memory_bytes(device: torch.device) -> int:
    """Bytes that torch had allocated at most since they were last reset, on an accelerator; on a CPU those that this process holds now."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    pages = Path("/proc/self/statm")
    if pages.is_file():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    # Where there is no such file, the most that it ever held.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
