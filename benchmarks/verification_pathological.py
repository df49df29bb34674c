"""What answers that hang cost the others: 1,000 attempts of which 1 % are pathological, against 1,000 ordinary ones.

    python benchmarks/verification_pathological.py [--rounds 3] [--timeout 4]

Allowed is the time of 1,000 ordinary attempts plus the wall clock of the ten pathological ones divided by the workers, each
timed in the same round; that wall clock is theirs when they are judged alone by one worker. `ratio` is the median over
rounds of allowed / measured; `ratio_by_the_limit` counts the time limit alone for each of them, with nothing for its kill and
the replacement of its process. The last line is JSON.
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

from ray_study.rows import Problem

GOAL = 1.0
NUM_WORKERS = 2
NUM_ATTEMPTS = 1000
PATHOLOGICAL = [
    *("((((10!)!)!)!)!", "((((11!)!)!)!)!", "(((12!)!)!)! + x", r"(9^{9^9})!", r"(8^{8^8})!", r"(7^{7^8})! + 1"),
    *("(" * 2000 + "x" + ")" * 2000, r"\sqrt{" * 900 + "x" + "}" * 900, r"\frac{1}{1+" * 700 + "x" + "}" * 700, r"10^{10^{10^{10}}}!"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=4.0)
    options = parser.parse_args()
    pairs = hard_pairs(NUM_ATTEMPTS)
    gold = Problem(id="half", source="made", kind="math", prompt="?", answer=r"\frac{1}{2}", cluster="", solution="")
    hanging = [(gold, rf"\boxed{{{answer}}}") for answer in PATHOLOGICAL]
    spread = NUM_ATTEMPTS // len(hanging)
    mixed = [hanging[place // spread] if place % spread == spread // 2 else pair for place, pair in enumerate(pairs)]
    timings: dict[str, list[float]] = {"ordinary": [], "pathological_alone": [], "mixed": []}
    verdicts: dict[str, Counter[str]] = {}
    for number in range(options.rounds):
        for name, some, num_workers in (
            ("ordinary", pairs, NUM_WORKERS),
            ("pathological_alone", hanging, 1),
            ("mixed", mixed, NUM_WORKERS),
        ):
            fresh_workers(num_workers)
            start = time.perf_counter()
            verdicts[name] = Counter(graded_verdicts(some, num_workers, options.timeout))
            timings[name].append(time.perf_counter() - start)
        print(f"round {number + 1}: " + ", ".join(f"{name} {found[-1]:.2f} s" for name, found in timings.items()), flush=True)
    unjudged = verdicts["mixed"]["timeout"] + verdicts["mixed"]["error"]
    assert unjudged == verdicts["pathological_alone"]["timeout"] + verdicts["pathological_alone"]["error"] + verdicts["ordinary"]["error"]
    limit = options.timeout * verdicts["pathological_alone"]["timeout"]
    rounds = list(zip(timings["ordinary"], timings["pathological_alone"], timings["mixed"], strict=True))
    ratios = [(ordinary + alone / NUM_WORKERS) / found for ordinary, alone, found in rounds]
    found = {
        "name": "verification_pathological",
        "ratio": round(statistics.median(ratios), 3),
        "goal": GOAL,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_by_the_limit": round(statistics.median((ordinary + limit / NUM_WORKERS) / taken for ordinary, _, taken in rounds), 3),
        "timeout_seconds": options.timeout,
        "num_workers": NUM_WORKERS,
        "num_attempts": NUM_ATTEMPTS,
        "seconds": {name: [round(one, 2) for one in found] for name, found in timings.items()},
        "verdicts": {name: dict(counts) for name, counts in verdicts.items()},
        "load_before": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
