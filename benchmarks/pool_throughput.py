"""Tokens per second through the evaluators' pool against vLLM's offline `LLM.generate` on the same prompts, in one run.

The same model, engine settings, prompts, caps and seeds. The pool's side is a sitting's: shards are submitted at once, and each is turned
into attempts as it comes; nothing is judged. Rounds go to both by turns:

    python benchmarks/pool_throughput.py [--tiny] [--problems 64] [--rounds 3]

The last line is JSON. `ratio` is the median over rounds of (tokens/s through the pool) / (offline tokens/s); larger is better. Every answer
of the pool comes with its log-probability; `logprobs_over_none` is what that leaves of the pool's tokens/s without them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _offline import RESOURCES, Asked, Offline, add_arguments, speed, what_is_asked, work_of

from ray_study.chat import Chat
from ray_study.generate import Asking, shards
from ray_study.ray_cluster import connect
from ray_study.rows import Problem
from ray_study.serving.pool import Pool

GOAL = 0.9
SHARD = 32


def through_pool(rows: Sequence[Problem], pool: Pool, directory: Path, chat: Chat, asking: Asking) -> dict[str, Any]:
    """Seconds and tokens of a sitting, from problems to attempts."""
    start = time.perf_counter()
    made = shards(rows, chat, asking=asking, shard_size=SHARD)
    futures = {pool.submit(str(directory), shard.requests, shard.sampling): shard for shard in made}
    attempts = [attempt for future in as_completed(futures) for attempt in futures[future].attempts(future.result())]
    seconds = time.perf_counter() - start
    assert len(attempts) == len(rows)
    assert all((attempt.logprob is not None) == asking.logprobs for attempt in attempts)
    return {"seconds": seconds, "num_tokens": sum(attempt.num_tokens for attempt in attempts)}


def measure(asked: Asked, rounds: int) -> list[dict[str, float]]:
    """Tokens per second of each round, by turns; new seeds in each."""
    rows, directory, asking = asked.rows, asked.directory, asked.asking
    chat = Chat(directory)
    offline = Offline(directory, asked.model, asking.sampling)
    found = []
    with (
        connect(num_cpus=4, num_gpus=0),
        Pool(str(directory), RESOURCES, max_model_len=asked.model.max_model_len, application="bench", shard_size=SHARD) as pool,
    ):
        for number in range(-1, rounds):
            now = replace(asking, seed_parts=(number, "bench"))
            # A short first round: engines load their kernels.
            now_asked = rows if number >= 0 else rows[:SHARD]
            here = speed(offline.run(work_of(now_asked, chat, now)))
            there = speed(through_pool(now_asked, pool, directory, chat, now))
            bare = speed(through_pool(now_asked, pool, directory, chat, replace(now, logprobs=False)))
            row = {"pool": there, "offline": here, "bare": bare, "ratio": there / here, "logprobs_over_none": there / bare}
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

    def each(key: str, digits: int = 3) -> list[float]:
        return [round(row[key], digits) for row in found]

    print(
        json.dumps(
            {
                "name": "pool_throughput",
                "ratio": round(statistics.median(row["ratio"] for row in found), 3),
                "goal": GOAL,
                "model": asked.name,
                "dtype": asked.model.dtype,
                "num_problems": options.problems,
                "shard_size": SHARD,
                "pool_tokens_per_second": each("pool", 1),
                "offline_tokens_per_second": each("offline", 1),
                "ratios": each("ratio"),
                "logprobs_over_none": round(statistics.median(row["logprobs_over_none"] for row in found), 3),
                "logprobs_over_none_each": each("logprobs_over_none"),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
