r"""How many verdicts a second `verify.grade` gives on one core, against a bare `math_verify.verify(parse(gold), parse(text))` loop.

    python benchmarks/verification.py [--rounds 3]

Both judge the same texts in turns in one run, on one core, worker process included (the process is pinned): the 500 worked
solutions of MATH-500, and 500 chains of thought of 30,000 characters that end in one of those solutions. The loop has the
defaults of math-verify and gets each gold in `$ $`, as its own documentation asks.

The last line is JSON. `ratio` is the median over rounds of our rate divided by the loop's on the mix of both; larger is better.
Both parts are mostly decided by the exact path, so `ratio_where_nothing_is_exact` says what is left where no answer is equal as
written and every pair is a new one: 1,000 golds, each against another problem's answer.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

from _attempts_to_verify import chains, fresh_workers, graded_verdicts, hard_pairs, math_500
from math_verify import parse, verify

from ray_study.rows import Problem

GOAL = 1.5
Pairs = Sequence[tuple[Problem, str]]


def loop(pairs: Pairs) -> list[str]:
    return ["correct" if verify(parse(f"${problem.answer}$"), parse(text)) else "wrong" for problem, text in pairs]


def ours(pairs: Pairs) -> list[str]:
    return graded_verdicts(pairs, num_workers=1)


def seconds(judge: object, pairs: Pairs) -> tuple[float, Counter[str]]:
    assert callable(judge)
    start = time.perf_counter()
    found = Counter(judge(pairs))
    return time.perf_counter() - start, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # children inherit it
    problems = math_500()
    parts: dict[str, Pairs] = {
        "worked_solutions": [(problem, problem.solution) for problem in problems],
        "long_chains": list(zip(problems, chains(problems), strict=True)),
        "nothing_exact": hard_pairs(1000),
    }
    for pairs in parts.values():
        loop(pairs[:200])  # its grammar has then learnt its tables, as that of our workers has
    rates: dict[str, dict[str, list[float]]] = {part: {"ours": [], "loop": []} for part in parts}
    verdicts: dict[str, dict[str, Counter[str]]] = {part: {} for part in parts}
    for number in range(options.rounds):
        for part, pairs in parts.items():
            fresh_workers(1)
            for name, judge in (("ours", ours), ("loop", loop)):
                taken, verdicts[part][name] = seconds(judge, pairs)
                rates[part][name].append(len(pairs) / taken)
            ours_rate, loop_rate = rates[part]["ours"][-1], rates[part]["loop"][-1]
            print(f"round {number + 1}, {part}: {ours_rate:.0f} a second, the loop {loop_rate:.0f}", flush=True)

    def mixed(name: str, number: int) -> float:
        """Verdicts a second on the two parts of the mix together; both have 500 texts."""
        return 2 / sum(1 / rates[part][name][number] for part in ("worked_solutions", "long_chains"))

    ratios = [mixed("ours", number) / mixed("loop", number) for number in range(options.rounds)]
    hard = [ours / bare for ours, bare in zip(rates["nothing_exact"]["ours"], rates["nothing_exact"]["loop"], strict=True)]
    found = {
        "name": "verification",
        "ratio": round(statistics.median(ratios), 2),
        "goal": GOAL,
        "ratios": [round(ratio, 2) for ratio in ratios],
        "ratio_where_nothing_is_exact": round(statistics.median(hard), 2),
        "verdicts_per_second_per_core": {
            part: {name: round(statistics.median(found), 1) for name, found in both.items()} for part, both in rates.items()
        },
        "verdicts": {part: {name: dict(counts) for name, counts in both.items()} for part, both in verdicts.items()},
        "characters_per_chain": round(statistics.mean(len(text) for _, text in parts["long_chains"])),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
