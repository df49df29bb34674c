from __future__ import annotations

import pytest

from ray_study.problems import decontaminate, load
from ray_study.problems.formats import Request, with_request
from ray_study.rows import Problem

LONG_TEXT = "A farmer sells seven dozen eggs on Monday and twice as many on Tuesday; how many eggs did the farmer sell in all"


def problem(name: str, prompt: str, source: str = "mine", request: Request = "long") -> Problem:
    return Problem(id=name, source=source, kind="math", prompt=with_request(prompt, "math", request), answer="1", cluster=name, solution="")


def test_a_training_problem_that_stands_in_a_benchmark_is_removed_and_named() -> None:
    training = [problem("t1", f"Puzzle: {LONG_TEXT.upper()}, roughly?"), problem("t2", "What is the square of the third odd prime?")]
    kept, removed = decontaminate(training, [problem("b1", LONG_TEXT, "test")])
    assert [one.id for one in kept] == ["t2"]
    assert removed == [("t1", "b1")]


def test_the_request_for_a_format_is_not_an_overlap() -> None:
    training = [problem("t1", "Tom has three coins and finds two more of them; how many does he have in dollars?")]
    kept, removed = decontaminate(training, [problem("b1", "Ann buys a kite for nine; what does it cost in dollars?", "test")])
    assert kept == training
    assert not removed


@pytest.mark.parametrize(("prompt", "overlaps"), [("what is 2+2", True), ("What is 2 + 3?", False), ("What is 2", False)])
def test_short_prompts_overlap_only_where_they_are_equal(prompt: str, overlaps: bool) -> None:
    _, removed = decontaminate([problem("t1", prompt, request="short")], [problem("b1", "What is 2 + 2?", "test")])
    assert bool(removed) == overlaps


def test_a_run_of_exactly_n_words_is_enough_and_one_fewer_is_not() -> None:
    benchmark = [problem("b1", "one two three four five six", "test", request="none")]
    assert decontaminate([problem("t1", "zero two three four five nine", request="none")], benchmark, n=4)[1] == [("t1", "b1")]
    assert decontaminate([problem("t1", "zero two three four eight nine", request="none")], benchmark, n=4)[1] == []


def test_the_wording_that_a_whole_benchmark_shares_is_not_an_overlap() -> None:
    shared = "Read the following short statement with care and say whether it is true or false in one word:"
    benchmark = [problem(f"b{number}", f"{shared} statement {number}", "test") for number in range(20)]
    training = [problem("t1", f"{shared} another statement"), problem("t2", f"{shared} statement 7")]
    kept, removed = decontaminate(training, benchmark)
    assert [one.id for one in kept] == ["t1"]
    assert removed == [("t2", "b7")]
    assert decontaminate(training[:1], benchmark[:2])[1] == [("t1", "b0")]


def test_made_training_problems_do_not_overlap_with_held_out_ones() -> None:
    training = load("countdown", num_problems=200, seed=0, options={})
    held = load("countdown", num_problems=50, seed=0, options={"split": "heldout"})
    assert decontaminate([*training, held[3]], held) == (training, [(held[3].id, held[3].id)])
