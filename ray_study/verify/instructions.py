"""Instructions that can be checked by a program, as in IFEval: all must be followed. Strict is the verdict, loose the lenient one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ray_study.rows import Judgement
from ray_study.verify.checkers import Instruction, followed, why_unknown

_FORM = '{"instructions": ["keywords:existence", …], "kwargs": [{"keywords": ["tree"]}, …]}'


def judge_instructions(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """`correct` where every instruction is followed strictly; `details` say of each whether it is, strictly and loosely.

    Raises:
        ValueError: the checkers are not installed.
    """
    try:
        asked = read_instructions(gold)
    except ValueError as error:
        return Judgement(verdict="error", answer=None, explanation=str(error))
    if why := why_unknown(asked):
        return Judgement(verdict="error", answer=None, explanation=why)
    found = followed(answer, asked, timeout_seconds)
    if found is None:
        return Judgement(verdict="timeout", answer=None, explanation=f"the checkers did not end on {len(answer)} characters")
    strict, loose = found
    details = json.dumps({"instructions": [name for name, _ in asked], "loose": loose, "strict": strict}, sort_keys=True)
    return _judgement(strict, details)


def none_followed(judgement: Judgement, gold: str) -> Judgement:
    """The judgement on a text without an answer, which follows none of the instructions: each counts by itself too."""
    try:
        names = [name for name, _ in read_instructions(gold)]
    except ValueError:
        return judgement
    none = [False] * len(names)
    return replace(judgement, details=json.dumps({"instructions": names, "loose": none, "strict": none}, sort_keys=True))


def loosely(judgement: Judgement) -> Judgement:
    """The judgement by the loose checks that the strict one keeps."""
    if not judgement.details or judgement.verdict in ("unfinished", "no_answer"):
        return judgement
    return _judgement(json.loads(judgement.details)["loose"], judgement.details)


def why_gold_instructions_fail(gold: str, timeout_seconds: float) -> str:
    """Why the gold cannot be judged against, or an empty string where each instruction has a checker."""
    try:
        return why_unknown(read_instructions(gold))
    except ValueError as error:
        return str(error)


def read_instructions(gold: str) -> list[Instruction]:
    """The instructions that a gold holds, each with what it is given.

    Raises:
        ValueError: it holds none; the message says what was expected.
    """
    try:
        facts = json.loads(gold)
    except ValueError:
        facts = None
    names, given = (facts.get("instructions"), facts.get("kwargs")) if isinstance(facts, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(given, list) or not names or len(names) != len(given):
        raise ValueError(f"found gold {gold[:80]!r}, expected as many names as kwargs in {_FORM}")
    if not all(isinstance(name, str) and isinstance(each, dict) for name, each in zip(names, given, strict=True)):
        raise ValueError(f"found gold {gold[:80]!r}, expected texts and objects in {_FORM}")
    return list(zip(names, given, strict=True))


def _judgement(checks: list[Any], details: str) -> Judgement:
    names = json.loads(details)["instructions"]
    failed = [name for name, kept in zip(names, checks, strict=True) if not kept]
    explanation = f"does not follow {', '.join(failed)}" if failed else f"follows all of {len(names)} instructions"
    return Judgement(verdict="wrong" if failed else "correct", answer=None, explanation=explanation, details=details)
