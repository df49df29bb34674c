"""How much memory the driver takes for the verdicts on, and the selection from, a million short attempts.

Attempts at procedural sums are written as shards by a process of its own, then verified and selected through the stages' own functions, all
in one process and without a cluster, so that nothing is counted elsewhere:

    python benchmarks/selection_memory.py [--problems 31250] [--attempts 32]

The last line is JSON. `ratio` is 2 GiB / (peak resident memory of the process); 1.0 or more is the goal.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from ray_study import materials
from ray_study.config import Study
from ray_study.engines import Engines
from ray_study.examples import from_verdicts
from ray_study.rows import Attempt, Example, Problem
from ray_study.store import Store, Workspace

GOAL = 1.0
MOST_BYTES = 2 * 1024**3
PROBLEMS_A_SHARD = 250


def problem(number: int) -> Problem:
    """A sum that no other number has."""
    name = f"sum-{number}"
    return Problem(
        id=name,
        source="sums",
        kind="number" if number % 2 else "exact",
        prompt=f"What is {number} + {number % 97}?",
        answer=str(number + number % 97),
        cluster=name,
        solution="",
    )


def attempt(number: int, sample: int) -> Attempt:
    """An attempt at that sum; two in three are right."""
    one, other = number, number % 97
    found = one + other + (sample % 3 == 2)
    text = f"<think>{one} and {other}, the {sample}th time: {one} + {other} = {found}.</think>\nThe sum is \\boxed{{{found}}}."
    return Attempt(
        problem_id=f"sum-{number}",
        sample=sample,
        asked_of="benchmark",
        text=text,
        num_tokens=len(text),
        finish_reason="stop",
        cap=4096,
        seed=sample,
        thinking_opened=False,
        prompt_hash="0" * 16,
        explanation="",
        conditions="{}",
    )


def write_attempts(path: str, num_problems: int, num_attempts: int) -> None:
    workspace = Workspace(path=path)
    for start in range(0, num_problems, PROBLEMS_A_SHARD):
        numbers = range(start, min(num_problems, start + PROBLEMS_A_SHARD))
        rows = (attempt(number, sample) for number in numbers for sample in range(num_attempts))
        workspace.write(f"{start:07d}", rows, Attempt)


def study() -> Study:
    """A study whose only data set is made from these attempts; its sums are made here, so its source is never asked."""
    return Study.model_validate(
        {
            "name": "memory",
            "question": "How much memory does a million attempts take?",
            "problems": {"sums": {"source": "arithmetic", "num_problems": 1}},
            "teachers": {"solver": {"by": "solver"}},
            "datasets": {"sums": {"problems": "sums", "teacher": "solver"}},
            "models": {"tiny": {"scratch": {}}},
            "sweep": {"model": "tiny", "dataset": "sums"},
            "training": {"steps": 1},
            "checkpoints": {"every": 1},
            "evaluation": {"benchmarks": {"sums": {"problems": "sums", "group": "in_domain"}}},
        }
    )


def peak_bytes() -> int:
    """Most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(lab: materials.Lab, num_problems: int, num_attempts: int) -> Iterator[tuple[str, float]]:
    """The seconds of each part, as it ends."""
    store = lab.store
    start = time.perf_counter()
    workspace = store.workspace("attempts", "benchmark")
    # In another process, whose memory is not the driver's.
    writer = multiprocessing.get_context("spawn").Process(target=write_attempts, args=(workspace.path, num_problems, num_attempts))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    attempts = store.finish(workspace, stage="attempts", mark="benchmark", sources=(), facts={})
    yield "written_seconds", time.perf_counter() - start

    start = time.perf_counter()
    rows = [problem(number) for number in range(num_problems)]

    def write_rows(workspace: Workspace) -> dict[str, object]:
        """The record that loading problems leaves."""
        return {"num_rows": workspace.write("all", rows, Problem), "resolved": {"source": "benchmark"}, "dropped": 0}

    verdicts = materials.grade(lab, attempts, rows, [], {"attempts": "benchmark"}, "benchmark")
    assert verdicts.record["num_rows"] == num_problems * num_attempts
    yield "verified_seconds", time.perf_counter() - start

    start = time.perf_counter()
    source = store.make("problems", {"name": "benchmark"}, write_rows)
    # An exam of other sums: every problem is compared with it.
    exam = [problem(number) for number in range(num_problems, num_problems + 500)]
    made = from_verdicts(lab, "sums", (source, rows), verdicts, {"exam": exam})
    assert made.record["num_rows"] == num_problems
    assert sum(1 for _ in made.stream(Example)) == num_problems
    yield "selected_seconds", time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=31250)
    parser.add_argument("--attempts", type=int, default=32)
    options = parser.parse_args()
    before = peak_bytes()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as root:
        lab = materials.Lab(
            study=study(),
            store=Store(root, "memory"),
            engines=Engines(print, shard_size=1, owner="benchmark"),
            cache=Path(root) / "cache",
            progress=print,
        )
        for part, spent in timed(lab, options.problems, options.attempts):
            seconds[part] = round(spent, 1)
            print(f"{part}: {spent:.1f}, peak {peak_bytes() / 2**20:,.0f} MiB", flush=True)
    found = {
        "name": "selection_memory",
        "ratio": round(MOST_BYTES / peak_bytes(), 2),
        "goal": GOAL,
        "num_problems": options.problems,
        "num_attempts": options.problems * options.attempts,
        "peak_megabytes": round(peak_bytes() / 1e6),
        "imports_megabytes": round(before / 1e6),
        **seconds,
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
