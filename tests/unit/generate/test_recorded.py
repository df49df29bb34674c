"""Attempts that somebody made before find their problems."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ray_study.generate import Matching
from ray_study.problems.formats import LONG, without_request
from ray_study.rows import Attempt, Problem


@dataclass(frozen=True)
class Row:
    prompt: str
    responses: tuple[str, ...]
    num_tokens: tuple[int, ...] | None = None
    finish_reason: str | None = None
    where: str = "row 1 of made.jsonl"


def problem(name: str, prompt: str) -> Problem:
    return Problem(id=name, source="made", kind="math", prompt=f"{prompt}\n{LONG}", answer="2", cluster=name, solution="")


PROBLEMS = [problem("p1", "What is 1 + 1?"), problem("p2", "What is 2 + 2?")]


def found(*rows: Row) -> tuple[list[Attempt], Matching]:
    matching = Matching()
    return list(matching.attempts(rows, PROBLEMS, without_request)), matching


@pytest.mark.parametrize("prompt", ["What is 1 + 1?", f" What is  1 +\n1?\n{LONG}\n", f"What is 1 + 1? {LONG}"])
def test_a_row_is_matched_whatever_its_white_space_and_request_for_a_format(prompt: str) -> None:
    (attempt,), _ = found(Row(prompt, ("2",)))
    assert (attempt.problem_id, attempt.sample, attempt.text, attempt.asked_of, attempt.finish_reason) == ("p1", 0, "2", "recorded", "stop")


def test_several_responses_and_rows_of_one_problem_are_its_attempts_in_order() -> None:
    attempts, _ = found(Row("What is 1 + 1?", ("a", "b")), Row("What is 2 + 2?", ("c",)), Row("What is 1 + 1?", ("d",)))
    assert [(each.problem_id, each.sample, each.text) for each in attempts] == [
        ("p1", 0, "a"),
        ("p1", 1, "b"),
        ("p2", 0, "c"),
        ("p1", 2, "d"),
    ]


def test_rows_and_problems_without_a_partner_are_counted() -> None:
    _, matching = found(Row("What is 1 + 1?", ("2",)), Row("What is 3 + 3?", ("6",)))
    assert matching.facts() == {
        "num_recorded_rows": 2,
        "num_matched_rows": 1,
        "num_unmatched_rows": 1,
        "num_matched_problems": 1,
        "num_unmatched_problems": 1,
    }


def test_no_match_at_all_is_an_error_that_shows_both_sides() -> None:
    with pytest.raises(ValueError, match=r"none of 1 recorded rows .* Recorded prompts: 'What is 3 \+ 3\?'. Problems: 'What is 1 \+ 1\?"):
        found(Row("What is 3 + 3?", ("6",)))


def test_what_the_file_says_of_tokens_and_the_end_is_kept() -> None:
    attempts, _ = found(Row("What is 1 + 1?", ("a", "b"), (5, 7), "length"))
    assert [(each.num_tokens, each.finish_reason) for each in attempts] == [(5, "length"), (7, "length")]


@pytest.mark.parametrize(("row", "fault"), [
    (Row("What is 1 + 1?", ("a", "b"), (5,)), "2 responses and 1 counts of tokens"),
    (Row("What is 1 + 1?", ("a",), None, "exploded"), "finish_reason 'exploded'; expected one of"),
])  # fmt: skip
def test_a_row_that_cannot_be_understood_is_named(row: Row, fault: str) -> None:
    with pytest.raises(ValueError, match=f"row 1 of made.jsonl: {fault}"):
        found(row)
