r"""How long it takes to judge 100,000 stored attempts again, of the kinds `choice` and `exact`, on two cores.

    python benchmarks/rescoring.py [--attempts 100000] [--rounds 3]

Half of the attempts choose a letter, half write a text; each has a thinking of 1,500 characters, an answer that is right, wrong or missing,
and is one of 16 samples of its item. They are written as a study stores them, with their verdicts, in shards of 512. Measured is what
`ray-study rescore` does: every attempt is read, judged by today's verifier and compared with its stored verdict; none may differ. The
process is pinned to two cores.

The last line is JSON. `ratio` is 120 seconds divided by the seconds that 100,000 attempts took, in the median round; larger is better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ray_study import tables
from ray_study.rows import Attempt, GradedAttempt, Problem
from ray_study.verify import grade
from ray_study.verify.again import judge_again

SECONDS = 120.0
ATTEMPTS = 100_000
GOAL = 1.0
SAMPLES, SHARD = 16, 512
THINKING = "First I look at what is asked, then I try each possibility in turn and cross out what cannot be. " * 15


def problems(number: int) -> list[Problem]:
    empty = Problem(id="", source="made", kind="choice", prompt="?", answer="", cluster="", solution="")
    letters = [replace(empty, id=f"c{index}", answer="ABCD"[index % 4]) for index in range(0, number, 2)]
    texts = [replace(empty, id=f"e{index}", kind="exact", answer=f"word {index}") for index in range(1, number, 2)]
    return [*letters, *texts]


def attempts(items: Sequence[Problem]) -> Iterator[Attempt]:
    for item in items:
        for sample in range(SAMPLES):
            answer = (item.answer, "D", "another word")[sample % 3]
            end = f"The answer is \\boxed{{{answer}}}." if sample % 5 else f"I choose {answer}."
            yield Attempt.of_text(item.id, f"<think>{THINKING}{sample}</think>{end}", sample=sample)


def store(directory: Path, rows: Sequence[Attempt], items: dict[str, Problem]) -> list[str]:
    names = [f"{start // SHARD:06d}" for start in range(0, len(rows), SHARD)]
    for number, name in enumerate(names):
        held = rows[number * SHARD : (number + 1) * SHARD]
        tables.write(held, directory / "attempts" / f"{name}.parquet", Attempt)
        tables.write(grade(held, items), directory / "verdicts" / f"{name}.parquet", GradedAttempt)
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=ATTEMPTS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-2:])  # children inherit it
    items = {item.id: item for item in problems(options.attempts // SAMPLES)}
    taken = []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        rows = list(attempts(list(items.values())))
        names = store(directory, rows, items)
        for number in range(options.rounds):
            start = time.perf_counter()
            changes = judge_again(names, str(directory / "attempts"), str(directory / "verdicts"), items, num_workers=2)
            taken.append(time.perf_counter() - start)
            assert not changes, changes[:3]
            print(f"round {number + 1}: {len(rows)} attempts in {taken[-1]:.1f} s", flush=True)
    seconds = statistics.median(taken) * ATTEMPTS / len(rows)
    found = {
        "name": "rescoring",
        "ratio": round(SECONDS / seconds, 2),
        "goal": GOAL,
        "seconds_for_100000": round(seconds, 2),
        "seconds": [round(each, 2) for each in taken],
        "attempts": len(rows),
        "shards": len(names),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
