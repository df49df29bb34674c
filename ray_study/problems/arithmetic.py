"""Sums and differences of whole numbers, with the reasoning of an exact solver."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ray_study.problems.draws import Split, between, pick
from ray_study.problems.formats import Request
from ray_study.problems.made import Draft, collect, to_problem
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem


class ArithmeticOptions(Options):
    """How the sums look and how the solver reasons."""

    terms: list[Annotated[int, Field(ge=2, le=8)]] = Field(default=[2, 3], min_length=1)
    """Numbers of terms, each as likely."""
    digits: int = Field(default=2, ge=1, le=12)
    """Most digits of a number; numbers from 1 up are equally likely."""
    operators: list[Literal["+", "-"]] = Field(default=["+"], min_length=1)
    style: Literal["steps", "columns"] = "steps"
    """`steps`: running results in words' order. `columns`: digit by digit from the right with carries."""
    request: Request = "long"
    split: Split = "train"

    @model_validator(mode="after")
    def columns_add(self) -> ArithmeticOptions:
        """The options, if the style can write them."""
        if self.style == "columns" and "-" in self.operators:
            raise ValueError("style 'columns' writes sums only, found operators with '-'; use style 'steps' or operators ['+']")
        return self


def load(spec: SourceSpec[ArithmeticOptions]) -> list[Problem]:
    """Sums and differences of kind `number`, each a cluster of its own."""
    options = spec.options

    def make(rng: Random) -> Draft:
        return draft(rng, options)

    drafts = collect(make, spec.source, num=spec.num_problems, seed=spec.seed, split=options.split)
    return [to_problem(one, spec.source, options.request) for one in drafts]


def draft(rng: Random, options: ArithmeticOptions) -> Draft:
    """One sum or difference with its solution."""
    values = [between(rng, 1, 10**options.digits - 1) for _ in range(pick(rng, options.terms))]
    signed = [values[0]] + [value if pick(rng, options.operators) == "+" else -value for value in values[1:]]
    text = written(signed)
    total = sum(signed)
    thinking = add_columns(values) if options.style == "columns" else steps(signed)
    return Draft(
        prompt=f"What is {text}?",
        kind="number",
        answer=str(total),
        solution=f"<think>{thinking}</think>\n{text} = {total}, so the answer is \\boxed{{{total}}}.",
        key=sum_key(signed),
    )


def written(signed: Sequence[int]) -> str:
    """The sum as a person writes it: `12 + 7 - 3`."""
    return str(signed[0]) + "".join(f" {'-' if value < 0 else '+'} {abs(value)}" for value in signed[1:])


def sum_key(signed: Sequence[int]) -> str:
    """One key for all orders of the same signed numbers."""
    return "sum " + " ".join(f"{value:+d}" for value in sorted(signed))


def steps(signed: Sequence[int]) -> str:
    """Running results: term by term, or by tens and units where there are only two terms."""
    parts = list(signed)
    if len(parts) == 2 and abs(parts[1]) > 10 and parts[1] % 10:
        units = abs(parts[1]) % 10 * (1 if parts[1] > 0 else -1)
        parts[1:] = [parts[1] - units, units]
    running, lines = parts[0], []
    for value in parts[1:]:
        after = running + value
        lines.append(f"{written([running, value])} = {after}")
        running = after
    return ", ".join(lines)


def add_columns(values: Sequence[int]) -> str:
    """Addition digit by digit from the right: in `7+5=12 w2 c1`, `w` is the digit written and `c` the carry."""
    columns, carry = [], 0
    for place in range(max(len(str(value)) for value in values)):
        digits = [value // 10**place % 10 for value in values]
        total = sum(digits) + carry
        terms = digits + ([carry] if carry else [])
        columns.append(f"{'+'.join(map(str, terms))}={total} w{total % 10} c{total // 10}")
        carry = total // 10
    if carry:
        columns.append(f"w{carry}")
    return " ".join(columns)


def subtract_columns(larger: int, smaller: int) -> str:
    """Subtraction digit by digit from the right: in `2-7-1=-6 w4 b1`, `w` is the digit written and `b` what is borrowed."""
    columns, borrowed = [], 0
    for place in range(len(str(larger))):
        digits = [larger // 10**place % 10, smaller // 10**place % 10]
        left = digits[0] - digits[1] - borrowed
        terms = digits + ([borrowed] if borrowed else [])
        borrowed = 1 if left < 0 else 0
        columns.append(f"{'-'.join(map(str, terms))}={left} w{left % 10} b{borrowed}")
    return " ".join(columns)
