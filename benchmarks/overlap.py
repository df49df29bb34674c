"""Scoring checkpoints while others train, against training all of them first, on the laptop study cut down to one model.

Two whole runs of the same study by the command line, each into a store of its own, by turns; what differs is `resources.overlap` alone:

    python benchmarks/overlap.py [--tiny] [--rounds 1]

The last line is JSON. `ratio` is the median over rounds of (seconds of training, then scoring) / (seconds of scoring while training), wall
clock of the whole command; above 1, overlapping pays. On a machine whose cores are all busy with either it cannot pay much: what it gains
there is that the first scores are known before the last step is trained. Where evaluators have accelerators of their own it hides scoring.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

GOAL = 1.0
LAPTOP = Path(__file__).resolve().parents[1] / "sweeps" / "laptop.yaml"


def cut_down(*, overlap: bool, steps: int, items: int) -> dict[str, Any]:
    """The laptop study with its smaller model alone, two runs of so many steps, and so many items a benchmark."""
    raw: dict[str, Any] = yaml.safe_load(LAPTOP.read_text())
    raw["problems"]["mixture"]["num_problems"] = 64 * 16
    raw["problems"]["sums"]["num_problems"] = 32 * steps
    for name in ("sums_held_out", "other_tasks", "general_tasks", "marked_requests"):
        raw["problems"][name]["num_problems"] = items
    raw["models"] = {"tiny-0.2m": raw["models"]["tiny-0.2m"]}
    raw["models"]["tiny-0.2m"]["pretrain"]["training"]["steps"] = 16
    raw["sweep"] = {"model": "tiny-0.2m", "dataset": ["long", "short"], "seed": [0]}
    training = raw["training"]
    del training["epochs"]
    training["steps"] = steps
    raw["resources"]["overlap"] = overlap
    return raw


def seconds_of(raw: dict[str, Any], root: Path) -> float:
    """Wall clock of `ray-study run`."""
    root.mkdir()
    sweep = root / "laptop.yaml"
    sweep.write_text(yaml.safe_dump(raw, sort_keys=False))
    start = time.perf_counter()
    command = [sys.executable, "-m", "ray_study", "run", str(sweep), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "RAY_STUDY_STORAGE": str(root / "results")})
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a few steps and items: whether it runs, not what it gives")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    steps, items = (16, 4) if options.tiny else (256, 64)
    found = []
    with tempfile.TemporaryDirectory() as root:
        for number in range(options.rounds):
            # Each side begins every other round.
            order = (False, True) if number % 2 == 0 else (True, False)
            row = {
                overlap: seconds_of(cut_down(overlap=overlap, steps=steps, items=items), Path(root) / f"{number}-{overlap}")
                for overlap in order
            }
            print(f"round {number + 1}: one after the other {row[False]:.1f} s, together {row[True]:.1f} s", flush=True)
            found.append(row)
    ratios = [row[False] / row[True] for row in found]
    print(
        json.dumps(
            {
                "name": "overlap",
                "ratio": round(statistics.median(ratios), 3),
                "goal": GOAL,
                "cores": len(os.sched_getaffinity(0)),
                "steps": steps,
                "items_a_benchmark": items,
                "ratios": [round(ratio, 3) for ratio in ratios],
                "one_after_the_other_seconds": [round(row[False], 1) for row in found],
                "together_seconds": [round(row[True], 1) for row in found],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
