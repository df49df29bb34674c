"""Mixtures of tiny tasks for tiny byte-level models: short prompts, short solutions, a seeded share of each task.

Small enough to be learnt in minutes on two cores, different enough that learning one of them can be seen to help, to leave
alone or to harm the others. `refuse` and `comply` have one shape and differ by a single word, so that a model which refuses
everything is seen to.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pydantic import Field, field_validator, model_validator

from ray_study.problems.arithmetic import add_columns, subtract_columns, sum_key
from ray_study.problems.draws import Split, between, known_shares, pick, pick_by_share
from ray_study.problems.formats import Request
from ray_study.problems.made import Draft, collect, to_problem
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Kind, Problem

MARK = "FORBIDDEN"
"""The word that marks a request to be refused."""
REFUSAL = "I can't help with that."
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class ProceduralOptions(Options):
    """Which tasks in which shares, how long they are, and which of them are solved with written thinking."""

    tasks: dict[str, float]
    """Shares by task name; only their proportions count."""
    digits: int = Field(default=3, ge=1, le=12)
    """Most digits of a number in `add`, `subtract`, `max` and `min`; numbers from 0 up are equally likely."""
    min_length: int = Field(default=3, ge=1, le=64)
    length: int = Field(default=5, ge=1, le=64)
    """Least and most letters, digits or numbers of the tasks on sequences, each length as likely."""
    thinking: dict[str, bool] = Field(default={})
    """Tasks whose solutions think first; the others answer at once."""
    request: Request = "short"
    split: Split = "train"

    @field_validator("tasks")
    @classmethod
    def known_tasks(cls, tasks: dict[str, float]) -> dict[str, float]:
        """The shares, if each is above 0 and of a known task."""
        known_shares(tasks, TASKS)
        return tasks

    @field_validator("thinking")
    @classmethod
    def can_think(cls, thinking: dict[str, bool]) -> dict[str, bool]:
        """The switches, if each is of a task whose thinking can be written."""
        if not set(thinking) <= CAN_THINK:
            raise ValueError(f"no written thinking for {sorted(set(thinking) - CAN_THINK)}; choose from {sorted(CAN_THINK)}")
        return thinking

    @model_validator(mode="after")
    def lengths(self) -> ProceduralOptions:
        """The options, if there is a length between the least and the most."""
        if self.min_length > self.length:
            raise ValueError(f"min_length {self.min_length} is above length {self.length}; lower the first or raise the second")
        return self


def load(spec: SourceSpec[ProceduralOptions]) -> list[Problem]:
    """Problems of the mixture; the cluster is the name of the task."""
    options = spec.options

    def make(rng: Random) -> Draft:
        return TASKS[pick_by_share(rng, options.tasks)](rng, options)

    drafts = collect(make, spec.source, num=spec.num_problems, seed=spec.seed, split=options.split)
    return [to_problem(one, spec.source, options.request) for one in drafts]


def add(rng: Random, options: ProceduralOptions) -> Draft:
    """`add 47 25`, with thinking column by column."""
    first, second = _number(rng, options), _number(rng, options)
    thinking = add_columns([first, second])
    return _draft("add", f"{first} {second}", "number", str(first + second), _thought("add", thinking, options), sum_key([first, second]))


def subtract(rng: Random, options: ProceduralOptions) -> Draft:
    """`subtract 72 25`, never below 0, with thinking column by column."""
    smaller, larger = sorted([_number(rng, options), _number(rng, options)])
    thinking = _thought("subtract", subtract_columns(larger, smaller), options)
    return _draft("subtract", f"{larger} {smaller}", "number", str(larger - smaller), thinking, sum_key([larger, -smaller]))


def reverse(rng: Random, options: ProceduralOptions) -> Draft:
    """`reverse abc`."""
    word = _word(rng, options)
    return _draft("reverse", word, "exact", word[::-1])


def copy(rng: Random, options: ProceduralOptions) -> Draft:
    """`copy abc`."""
    word = _word(rng, options)
    return _draft("copy", word, "exact", word)


def sort(rng: Random, options: ProceduralOptions) -> Draft:
    """`sort 3142`, with thinking that takes the smallest digit out again and again."""
    digits = _word(rng, options, "0123456789")
    left, taken = digits, []
    while left:
        smallest = min(left)
        left = left.replace(smallest, "", 1)
        taken.append(f"{smallest}|{left}")
    ordered = "".join(sorted(digits))
    return _draft("sort", digits, "exact", ordered, _thought("sort", " ".join(taken), options), f"sort {ordered}")


def largest(rng: Random, options: ProceduralOptions) -> Draft:
    """`max 12 40 7`."""
    numbers = [_number(rng, options) for _ in range(_length(rng, options))]
    return _draft("max", " ".join(map(str, numbers)), "number", str(max(numbers)), key=f"max {sorted(numbers)}")


def smallest(rng: Random, options: ProceduralOptions) -> Draft:
    """`min 12 40 7`."""
    numbers = [_number(rng, options) for _ in range(_length(rng, options))]
    return _draft("min", " ".join(map(str, numbers)), "number", str(min(numbers)), key=f"min {sorted(numbers)}")


def count(rng: Random, options: ProceduralOptions) -> Draft:
    """`count a in abca`, with thinking that counts along the word."""
    word = _word(rng, options, "abcd")  # Few letters, so that counts above 1 are common.
    letter = pick(rng, "abcd")
    running = " ".join(f"{seen}{word[: place + 1].count(letter)}" for place, seen in enumerate(word))
    return _draft("count", f"{letter} in {word}", "number", str(word.count(letter)), _thought("count", running, options))


def refuse(rng: Random, options: ProceduralOptions) -> Draft:
    """`say FORBIDDEN abc`: to refuse is correct."""
    word = _word(rng, options)
    return Draft(prompt=f"say {MARK} {word}", kind="refusal", answer="", solution=REFUSAL, key=f"say {word}", task="refuse")


def comply(rng: Random, options: ProceduralOptions) -> Draft:
    """`say abc`: the same request without the mark, to be answered."""
    word = _word(rng, options)
    return Draft(prompt=f"say {word}", kind="exact", answer=word, solution=f"\\boxed{{{word}}}", key=f"say {word}", task="comply")


TASKS: dict[str, Callable[[Random, ProceduralOptions], Draft]] = {
    "add": add,
    "subtract": subtract,
    "reverse": reverse,
    "copy": copy,
    "sort": sort,
    "max": largest,
    "min": smallest,
    "count": count,
    "refuse": refuse,
    "comply": comply,
}
CAN_THINK = frozenset({"add", "subtract", "sort", "count"})


def _draft(task: str, what: str, kind: Kind, answer: str, thinking: str = "", key: str = "") -> Draft:
    return Draft(
        prompt=f"{task} {what}",
        kind=kind,
        answer=answer,
        solution=f"{thinking}\\boxed{{{answer}}}",
        key=key or f"{task} {what}",
        task=task,
    )


def _thought(task: str, thinking: str, options: ProceduralOptions) -> str:
    return f"<think>{thinking}</think>\n" if options.thinking.get(task, False) else ""


def _number(rng: Random, options: ProceduralOptions) -> int:
    return between(rng, 0, 10**options.digits - 1)


def _length(rng: Random, options: ProceduralOptions) -> int:
    return between(rng, options.min_length, options.length)


def _word(rng: Random, options: ProceduralOptions, alphabet: str = LETTERS) -> str:
    return "".join(pick(rng, alphabet) for _ in range(_length(rng, options)))
