"""Tokens per second of a teacher's stage against vLLM's offline `LLM.generate`, in one run, one after the other.

The same model, engine settings, prompts, caps and seeds. The stage's side is all that a study does once an engine stands: prompts are
rendered in Ray Data's tasks, sent to the pool in shards, and each shard is written and judged. Rounds go to both by turns:

    python benchmarks/generation.py [--tiny] [--problems 64] [--rounds 3]

The last line is JSON. `ratio` is the median over rounds of (the stage's tokens/s) / (offline tokens/s); larger is better.
What seeding costs is a figure of its own: `seeded_over_unseeded`, offline tokens/s with a seed a request over those without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _offline import RESOURCES, Asked, Offline, add_arguments, speed, what_is_asked, work_of

from ray_study import tables, verify
from ray_study.chat import Chat
from ray_study.generate import Asking, Rule, cuts
from ray_study.generate.driving import Job, drive
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, Problem
from ray_study.serving.pool import Pool

GOAL = 0.95
SHARD = 32


def stage(rows: list[Problem], pool: Pool, directory: Path, asking: Asking, root: Path) -> dict[str, Any]:
    """Seconds and tokens of the stage for these problems, from their table to attempts that are written and judged."""
    tables.write(rows, root / "problems" / "all.parquet", Problem)
    job = Job(problems=f"{root}/problems", path=str(root), asking=asking, judge=verify.grade, shard_size=SHARD)
    ids = [row.id for row in rows]
    round_ = Rule(num_attempts=1).next(0, ids, {}, frozenset())
    assert round_ is not None
    start = time.perf_counter()
    drive(list(cuts(round_, ids, shard_size=SHARD)), pool, str(directory), job, told=lambda _: None)
    seconds = time.perf_counter() - start
    attempts = tables.read(root / "rows", Attempt)
    assert len(attempts) == len(rows)
    return {"seconds": seconds, "num_tokens": sum(attempt.num_tokens for attempt in attempts)}


def measure(asked: Asked, rounds: int) -> list[dict[str, float]]:
    """Tokens per second of each round, by turns; new seeds in each, so that nothing is answered from a cache of answers."""
    rows, directory, asking = asked.rows, asked.directory, asked.asking
    chat = Chat(directory)
    offline = Offline(directory, asked.model, asking.sampling)
    found = []
    with (
        tempfile.TemporaryDirectory() as root,
        connect(num_cpus=4, num_gpus=0),
        Pool(str(directory), RESOURCES, max_model_len=asked.model.max_model_len, application="bench", shard_size=SHARD) as pool,
    ):
        for number in range(-1, rounds):
            now = replace(asking, seed_parts=(number, "bench"))
            # A short first round: tasks load their libraries, engines their kernels.
            now_asked = rows if number >= 0 else rows[:SHARD]
            there = stage(now_asked, pool, directory, now, Path(root) / str(number))
            here = offline.run(work_of(now_asked, chat, now))
            bare = offline.run(work_of(now_asked, chat, now, seeded=False))
            row = {"stage": speed(there), "offline": speed(here), "unseeded": speed(bare), "ratio": speed(there) / speed(here)}
            label = "warm-up" if number < 0 else f"round {number + 1}"
            print(label, {key: round(value, 3) for key, value in row.items()}, flush=True)
            if number >= 0:
                found.append(row)
    offline.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    options = parser.parse_args()
    asked = what_is_asked(options)
    found = measure(asked, options.rounds)

    def median(key: str) -> float:
        return statistics.median(row[key] for row in found)

    print(
        json.dumps(
            {
                "name": "generation",
                "ratio": round(median("ratio"), 3),
                "goal": GOAL,
                "model": asked.name,
                "dtype": asked.model.dtype,
                "num_problems": options.problems,
                "shard_size": SHARD,
                "stage_tokens_per_second": [round(row["stage"], 1) for row in found],
                "offline_tokens_per_second": [round(row["offline"], 1) for row in found],
                "unseeded_tokens_per_second": [round(row["unseeded"], 1) for row in found],
                "ratios": [round(row["ratio"], 3) for row in found],
                "seeded_over_unseeded": round(median("offline") / median("unseeded"), 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
