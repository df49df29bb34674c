"""Tasks made on demand, which no model can have seen: their held-out splits."""

from __future__ import annotations

from ray_study.benchmarks.definition import Definition, Protocol

PUZZLES = Definition(
    name="puzzles_held_out",
    what="280 puzzles of logic, algorithms, ordering and games, of 14 tasks in equal shares",
    source="puzzles",
    group="out_of_domain",
    cluster="the task",
    num_problems=280,
    seed=21,
    num_items=280,
    options={"split": "heldout"},
    suites=("offline",),
    protocols={"standard": Protocol(asks="the puzzle with the form of its answer, then the request to box it")},
)
SUMS = Definition(
    name="sums_held_out",
    what="200 sums of two numbers of up to three digits",
    source="arithmetic",
    group="in_domain",
    cluster="each sum stands alone",
    num_problems=200,
    seed=22,
    num_items=200,
    options={"split": "heldout", "digits": 3},
    protocols={"standard": Protocol(asks="the sum, then the request to box the result")},
)

DEFINITIONS = (PUZZLES, SUMS)
