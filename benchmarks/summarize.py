"""How long it takes, and how much memory, to turn ten million graded attempts into scores with clustered standard errors.

Ten runs with nine checkpoints each and nine benchmarks; the attempts are written as Parquet, a file a run, by a process of its own, then
summarised by another, whose memory and time are what is reported:

    python benchmarks/summarize.py [--rows 10000000]

The last line is JSON. `ratio` is the smaller of 30 seconds / measured and 4 GiB / peak resident memory; 1.0 or more is the goal.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ray_study.rows import BenchmarkCard

GOAL = 1.0
MOST_SECONDS = 30.0
MOST_BYTES = 4 * 1024**3
RUNS, STEPS = 10, (0, 10, 20, 40, 80, 160, 320, 480, 640)
SUITE = (
    ("math-500", 500, 3),
    ("aime24", 30, 10),
    ("gpqa-diamond", 198, 8),
    ("livecodebench", 400, 8),
    ("mmlu-pro", 12000, 8),
    ("ifeval", 541, 3),
    ("truthfulqa", 817, 4),
    ("hex-phi", 300, 5),
)
"""Name, items and samples each, in proportion; 110,000 attempts a checkpoint at ten million rows."""


def cards(num_rows: int) -> list[BenchmarkCard]:
    """The benchmarks, with as many items as make `num_rows` in all."""
    share = num_rows / (RUNS * len(STEPS)) / sum(items * samples for _, items, samples in SUITE)
    return [
        BenchmarkCard(
            benchmark=name,
            group="safety" if name == "hex-phi" else "general",
            kind="refusal" if name == "hex-phi" else "choice",
            metric="share_refused" if name == "hex-phi" else "accuracy",
            num_items=max(5, round(items * share)),
            num_samples=samples,
            note="",
        )
        for name, items, samples in SUITE
    ]


def write_run(directory: Path, number: int, num_rows: int) -> None:
    """One run's attempts as a Parquet file."""
    # Only the writer needs it before the clock starts.
    import polars as pl  # noqa: PLC0415

    rng = np.random.default_rng(number)
    frames = []
    for step in STEPS:
        for card in cards(num_rows):
            item = np.repeat(np.arange(card.num_items), card.num_samples)
            right = rng.random(len(item)) < 0.3 + 0.4 * ((item * 7919) % 100) / 100
            tokens = np.minimum(rng.lognormal(7.5, 1.0, len(item)).astype(np.int64) + 1, 16384)
            verdict = np.where(
                tokens == 16384, "unfinished", np.where(right, "correct", np.where(rng.random(len(item)) < 0.01, "error", "wrong"))
            )
            frames.append(
                pl.DataFrame(
                    {
                        "run": f"run-{number:02d}",
                        "step": step,
                        "benchmark": card.benchmark,
                        "problem_id": np.char.add(f"{card.benchmark}-", item.astype(str)),
                        "sample": np.tile(np.arange(card.num_samples), card.num_items),
                        "asked_of": f"{number:02d}{step:04d}" * 4,
                        "text": "So the answer is \\boxed{B}.",
                        "num_tokens": tokens,
                        "finish_reason": np.where(tokens == 16384, "length", "stop"),
                        "cap": 16384,
                        "kind": card.kind,
                        "cluster": np.char.add(f"{card.benchmark}-subject-", (item // 7).astype(str)),
                        "verdict": verdict,
                        "answer": [None if each == "unfinished" else "B" for each in verdict],
                        "lenient_verdict": verdict,
                        "details": "",
                    },
                    schema_overrides={"answer": pl.String},
                )
            )
    pl.concat(frames).write_parquet(directory / f"run-{number:02d}.parquet")


def write(directory: Path, num_rows: int) -> None:
    for number in range(RUNS):
        write_run(directory, number, num_rows)


def summarise(directory: Path, num_rows: int, results: multiprocessing.Queue[tuple[float, int, int]]) -> None:
    """Puts seconds, peak resident memory in bytes and the number of scores into `results`."""
    start = time.perf_counter()
    # Loading the library is part of what one waits for.
    from ray_study.analyze.summaries import summarize_table  # noqa: PLC0415

    scores = summarize_table(sorted(directory.glob("*.parquet")), cards(num_rows))
    seconds = time.perf_counter() - start
    results.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(scores)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--directory", help="where the attempts are written for the time of the run; a directory on a disk")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=options.directory) as root:
        writer = context.Process(target=write, args=(Path(root), options.rows))
        writer.start()
        writer.join()
        assert writer.exitcode == 0
        written = sum(path.stat().st_size for path in Path(root).iterdir())
        results = context.Queue()
        reader = context.Process(target=summarise, args=(Path(root), options.rows, results))
        reader.start()
        reader.join()
        assert reader.exitcode == 0
        seconds, peak, num_scores = results.get()
    num_rows = RUNS * len(STEPS) * sum(card.num_items * card.num_samples for card in cards(options.rows))
    found = {
        "name": "summarize",
        "ratio": round(min(MOST_SECONDS / seconds, MOST_BYTES / peak), 2),
        "goal": GOAL,
        "num_rows": num_rows,
        "num_scores": num_scores,
        "seconds": round(seconds, 2),
        "peak_megabytes": round(peak / 1e6),
        "parquet_megabytes": round(written / 1e6),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
