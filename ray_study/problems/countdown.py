"""Countdown: reach a target from three or four numbers, always solvable, with a written search that ends in a solution."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated

from pydantic import Field, model_validator

from ray_study.problems.draws import Split, between, pick
from ray_study.problems.formats import Request
from ray_study.problems.made import Draft, collect, to_problem
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem


class CountdownOptions(Options):
    """Which numbers and targets, and how much of the search is written down."""

    numbers: list[Annotated[int, Field(ge=2, le=6)]] = Field(default=[3, 4], min_length=1)
    """How many numbers are given, each count as likely."""
    largest_number: int = Field(default=99, ge=5, le=999)
    smallest_target: int = Field(default=10, ge=1)
    largest_target: int = Field(default=99, le=9999)
    most_failed_tries: int = Field(default=3, ge=0, le=50)
    """The written search holds from none to this many ways that miss the target, then one that hits it."""
    request: Request = "long"
    split: Split = "train"

    @model_validator(mode="after")
    def a_range(self) -> CountdownOptions:
        """The options, if some target is allowed and can be reached."""
        if self.smallest_target > min(self.largest_target, self.largest_number):
            raise ValueError(
                f"smallest_target {self.smallest_target} must be at most largest_target {self.largest_target} and "
                f"largest_number {self.largest_number}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Way:
    """One way to combine all the numbers: the steps, the whole expression, and what it comes to."""

    steps: tuple[str, ...]
    expression: str
    value: int


def load(spec: SourceSpec[CountdownOptions]) -> list[Problem]:
    """Countdown problems; gold is a JSON object with `numbers` and `target`. Each is a cluster of its own."""
    options = spec.options

    def make(rng: Random) -> Draft:
        return draft(rng, options)

    drafts = collect(make, spec.source, num=spec.num_problems, seed=spec.seed, split=options.split)
    return [to_problem(one, spec.source, options.request) for one in drafts]


def draft(rng: Random, options: CountdownOptions) -> Draft:
    """One countdown problem: numbers are combined at random until an allowed target comes out."""
    while True:
        numbers = [between(rng, 1, options.largest_number) for _ in range(pick(rng, options.numbers))]
        way = combine(rng, numbers)
        if options.smallest_target <= way.value <= options.largest_target:
            break
    return Draft(
        prompt=question(numbers, way.value),
        kind="countdown",
        answer=gold(numbers, way.value),
        solution=f"<think>{_search(rng, numbers, way, options)}</think>\nThis makes {way.value}: \\boxed{{{way.expression}}}",
        key=key(numbers, way.value),
    )


def question(numbers: Sequence[int], target: int) -> str:
    """The task in words."""
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    return f"Use each of the numbers {listed} exactly once, with +, -, * and /, to make {target}."


def gold(numbers: Sequence[int], target: int) -> str:
    """What the verifier judges against."""
    return json.dumps({"numbers": list(numbers), "target": target}, sort_keys=True)


def key(numbers: Sequence[int], target: int) -> str:
    """One key for all orders of the numbers: it decides the split."""
    return f"countdown {sorted(numbers)} {target}"


def combine(rng: Random, numbers: Sequence[int]) -> Way:
    """One random way to combine the numbers, each once; every result on the way is a whole number above 0."""
    held = [(value, str(value)) for value in numbers]
    steps = []
    while len(held) > 1:
        left = held.pop(int(rng.random() * len(held)))
        right = held.pop(int(rng.random() * len(held)))
        if left[0] < right[0]:
            left, right = right, left
        sign, value = pick(rng, _results(left[0], right[0]))
        steps.append(f"{left[0]} {sign} {right[0]} = {value}")
        held.append((value, f"{_grouped(left[1])} {sign} {_grouped(right[1])}"))
    return Way(tuple(steps), held[0][1], held[0][0])


def _results(larger: int, smaller: int) -> list[tuple[str, int]]:
    results = [("+", larger + smaller), ("*", larger * smaller)]
    if larger > smaller:
        results.append(("-", larger - smaller))
    if larger % smaller == 0:
        results.append(("/", larger // smaller))
    return results


def _grouped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


def _search(rng: Random, numbers: Sequence[int], way: Way, options: CountdownOptions) -> str:
    """Some ways that miss and then the one that hits: a trace of a search, not an exhaustive one."""
    tries = [combine(rng, numbers) for _ in range(between(rng, 0, options.most_failed_tries))]
    lines = [f"{', '.join(one.steps)}, not {way.value}." for one in tries if one.value != way.value]
    return "\n".join([*lines, f"{', '.join(way.steps)}, yes."])
