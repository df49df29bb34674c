"""How much faster `verify.grade` is with two workers than with one, on answers that need computer algebra.

    python benchmarks/verification_scaling.py [--rounds 3]

1,500 golds of MATH, each against another problem's answer, so that nothing is equal as written and no pair comes twice. What is
decided exactly is left out: it costs microseconds in the caller and needs no worker. Workers are new in each timing and have
parsed none of it. The last line is JSON. `ratio` is the median over rounds of seconds with one / seconds with two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter

from _attempts_to_verify import fresh_workers, graded_verdicts, hard_pairs

GOAL = 1.7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pairs = hard_pairs(1500)
    taken: dict[int, list[float]] = {1: [], 2: []}
    counts: dict[int, Counter[str]] = {}
    for number in range(options.rounds):
        for num_workers in taken:
            fresh_workers(num_workers)
            start = time.perf_counter()
            counts[num_workers] = Counter(graded_verdicts(pairs, num_workers))
            taken[num_workers].append(time.perf_counter() - start)
        print(f"round {number + 1}: one worker {taken[1][-1]:.2f} s, two {taken[2][-1]:.2f} s", flush=True)
    assert counts[1] == counts[2], counts
    ratios = [one / two for one, two in zip(taken[1], taken[2], strict=True)]
    found = {
        "name": "verification_scaling",
        "ratio": round(statistics.median(ratios), 2),
        "goal": GOAL,
        "ratios": [round(ratio, 2) for ratio in ratios],
        "num_pairs": len(pairs),
        "seconds_with_one": [round(one, 2) for one in taken[1]],
        "seconds_with_two": [round(two, 2) for two in taken[2]],
        "cores": os.cpu_count(),
        "load_before": [round(load, 1) for load in os.getloadavg()],
        "verdicts": dict(counts[2]),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
