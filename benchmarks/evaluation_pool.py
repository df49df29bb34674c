"""A suite over eight checkpoints through the pool, against the loop that one writes without it: a fresh vLLM for each checkpoint.

The loop starts vLLM in a fresh process for a checkpoint, generates one benchmark after the other, and ends it. The pool's side opens the
pool, swaps each checkpoint in with all checks and attestation, asks all benchmarks of it at once, and closes the pool. The same prompts,
caps, seeds and engine settings; nothing is judged on either side. vLLM's engine lives where it does by default, in a process of its
own. Two checkpoints take eight turns, which keeps the disk small: each turn needs a swap.

    python benchmarks/evaluation_pool.py [--models tiny smollm2-135m] [--checkpoints 8] [--items 50] [--rounds 1]

The last line is JSON. `ratio` is the median over rounds of (seconds of the loop) / (seconds through the pool) by the wall clock; larger is
better. It is that of the first model, a million parameters as in the laptop study; `ratios` has each. What the pool saves is the starts of
engines: where a core or two compute what a larger model writes, that is most of what either side takes, and nothing saves it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _offline import RESOURCES, SMALL, TINY, Offline, work_of
from _steps import step_away

from ray_study import model_files, problems
from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Model, Sampling
from ray_study.generate import Asking, shards
from ray_study.ray_cluster import connect
from ray_study.rows import Problem
from ray_study.serving.pool import Pool

GOAL = 3.0
SHARD = 32
MODELS = {"tiny": TINY, "smollm2-135m": SMALL}
TASKS = ("add", "sort", "reverse", "copy")
"""Short items: what is answered in a few tokens, as a choice is."""

Suite = Mapping[str, Sequence[Problem]]


def suite_of(num_items: int) -> Suite:
    """Four benchmarks of so many items each."""
    return {
        task: problems.load("procedural", num_problems=num_items, seed=place, options={"tasks": {task: 1}, "digits": 2})
        for place, task in enumerate(TASKS)
    }


def asking_of(model: Model, tokens: int, name: str) -> Asking:
    return Asking(
        num_samples=1,
        sampling=Sampling(temperature=0.6, max_tokens=tokens),
        positions=model.max_model_len or 512,
        seed_parts=("bench", name),
        worked_examples=(),
        thinking=None,
    )


def by_loop(turns: Sequence[Path], suite: Suite, model: Model, tokens: int) -> dict[str, float]:
    """Seconds of the loop in all, and of its parts."""
    begun, generating = time.perf_counter(), 0.0
    for directory in turns:
        offline = Offline(directory, model, asking_of(model, tokens, "").sampling, in_process=False)
        chat = Chat(directory)
        for name, rows in suite.items():
            start = time.perf_counter()
            found = offline.run(work_of(rows, chat, asking_of(model, tokens, name)))
            assert found["num_tokens"] >= len(rows)
            generating += time.perf_counter() - start
        offline.close()
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "generating": generating, "starting_and_ending": seconds - generating}


def by_pool(turns: Sequence[Path], suite: Suite, model: Model, tokens: int, application: str) -> dict[str, float]:
    """Seconds through the pool in all, and of its parts."""
    begun = time.perf_counter()
    drained = loaded = attested = answering = 0.0
    with Pool(str(turns[0]), RESOURCES, max_model_len=model.max_model_len, application=application, shard_size=SHARD) as pool:
        opened = time.perf_counter()
        for directory in turns:
            chat, start = Chat(directory), time.perf_counter()
            asked = [
                shard
                for name, rows in suite.items()
                for shard in shards(rows, chat, asking=asking_of(model, tokens, name), shard_size=SHARD)
            ]
            for future in [pool.submit(str(directory), shard.requests, shard.sampling) for shard in asked]:
                turn = future.result()[0].turn
                if turn is not None:
                    drained += turn.drained_seconds
                    loaded += turn.loaded_seconds
                    attested += turn.attested_seconds
            answering += time.perf_counter() - start
        answered = time.perf_counter()
    ended = time.perf_counter()
    return {
        "seconds": ended - begun,
        "opening": opened - begun,
        "draining": drained,
        "loading": loaded,
        "attesting": attested,
        "generating": answering - drained - loaded - attested,
        "closing": ended - answered,
    }


def measure(base: Path, model: Model, options: argparse.Namespace, root: Path) -> list[tuple[dict[str, float], dict[str, float]]]:
    """The parts of the loop and of the pool, in each round."""
    pair = (base, step_away(base, root / "step-1"))
    turns = [pair[number % 2] for number in range(options.checkpoints)]
    suite = suite_of(options.items)
    found = []
    with connect(num_cpus=4, num_gpus=0):
        for number in range(options.rounds):
            # The second round begins with the other side.
            sides = ("loop", "pool") if number % 2 == 0 else ("pool", "loop")
            row = {
                side: by_loop(turns, suite, model, options.tokens)
                if side == "loop"
                else by_pool(turns, suite, model, options.tokens, f"bench-{number}")
                for side in sides
            }
            loop, pool = row["loop"]["seconds"], row["pool"]["seconds"]
            print(f"round {number + 1}: loop {loop:.1f} s, pool {pool:.1f} s, ratio {loop / pool:.2f}", flush=True)
            found.append((row["loop"], row["pool"]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), default=["tiny", "smollm2-135m"])
    parser.add_argument("--checkpoints", type=int, default=8)
    parser.add_argument("--items", type=int, default=50, help="of each of four benchmarks")
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    found = {}
    for name in options.models:
        base = Path(model_files.prepare(MODELS[name], name, cache_directory()))
        with tempfile.TemporaryDirectory() as root:
            found[name] = measure(base, MODELS[name], options, Path(root))
    ratios = {name: statistics.median(loop["seconds"] / pool["seconds"] for loop, pool in rounds) for name, rounds in found.items()}

    def seconds(side: int) -> dict[str, dict[str, float]]:
        """Of the last round of each model."""
        return {name: {part: round(value, 1) for part, value in rounds[-1][side].items()} for name, rounds in found.items()}

    print(
        json.dumps(
            {
                "name": "evaluation_pool",
                "ratio": round(ratios[options.models[0]], 2),
                "goal": GOAL,
                "model": options.models[0],
                "dtype": MODELS[options.models[0]].dtype,
                "num_checkpoints": options.checkpoints,
                "num_items": options.items * len(TASKS),
                "tokens": options.tokens,
                "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
                "loop_seconds": seconds(0),
                "pool_seconds": seconds(1),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
