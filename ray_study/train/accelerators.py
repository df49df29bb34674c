"""What accelerators can do at most, by the names that they tell. Light: no torch."""

from __future__ import annotations

import re

PEAK_TERAFLOPS = {
    "B200": 2250.0,
    "H200": 989.4,
    "H100 80GB HBM3": 989.4,
    "H100 PCIe": 756.0,
    "A100": 311.8,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
    "MI300X": 1307.4,
}
"""Dense bf16 products, 1e12 FLOP/s, from the makers' data sheets (where those state it with sparsity, half of it)."""


def peak_flops(name: str) -> float | None:
    """The dense bf16 FLOP/s of an accelerator, by the name that its driver tells, or None where it isn't in the table."""
    for known, teraflops in PEAK_TERAFLOPS.items():
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(known)}(?![A-Za-z0-9])", name):
            return teraflops * 1e12
    return None
