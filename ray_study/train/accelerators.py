"""What accelerators can do at most and hold, by the names that they tell. Light: no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One kind of accelerator."""

    name: str
    """As its driver tells it, within a longer text."""
    ray_type: str
    """As Ray tells it (`accelerator_type`)."""
    peak_teraflops: float
    """Dense products in bf16, 1e12 FLOP/s; where a data sheet states them with sparsity, half of that."""
    gigabytes: float
    source: str


ACCELERATORS = (
    Accelerator("B200", "B200", 2250.0, 180, "NVIDIA DGX B200 data sheet: of eight, 72 PFLOPS in sparse FP8, 1,440 GB"),
    Accelerator("H200", "H200", 989.4, 141, "NVIDIA H200 data sheet: 1,979 TFLOPS with sparsity, 141 GB"),
    Accelerator("H100 80GB HBM3", "H100", 989.4, 80, "NVIDIA H100 data sheet, SXM: 1,979 TFLOPS with sparsity, 80 GB"),
    Accelerator("H100 PCIe", "H100", 756.0, 80, "NVIDIA H100 data sheet, PCIe: 1,513 TFLOPS with sparsity, 80 GB"),
    Accelerator("A100-SXM4-80GB", "A100", 312.0, 80, "NVIDIA A100 80GB data sheet: 312 TFLOPS, 80 GB"),
    Accelerator("A100", "A100", 312.0, 40, "NVIDIA A100 data sheet: 312 TFLOPS, 40 GB"),
    Accelerator("L40S", "L40S", 362.0, 48, "NVIDIA L40S data sheet: 362 TFLOPS, 48 GB"),
    Accelerator("L4", "L4", 121.0, 24, "NVIDIA L4 data sheet: 242 TFLOPS with sparsity, 24 GB"),
    Accelerator("A10", "A10", 125.0, 24, "NVIDIA A10 data sheet: 125 TFLOPS, 24 GB"),
    Accelerator("MI300X", "AMD-Instinct-MI300X-OAM", 1307.4, 192, "AMD Instinct MI300X data sheet: 1,307.4 TFLOPS, 192 GB"),
)


def peak_flops(name: str) -> float | None:
    """The dense bf16 FLOP/s of an accelerator, by the name that its driver tells, or None where it isn't in the table."""
    for known in ACCELERATORS:
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(known.name)}(?![A-Za-z0-9])", name):
            return known.peak_teraflops * 1e12
    return None


def by_ray_type(accelerator_type: str | None) -> Accelerator | None:
    """The accelerator that Ray names so, the first of several builds, or None where it isn't in the table."""
    return next((known for known in ACCELERATORS if known.ray_type == accelerator_type), None)
