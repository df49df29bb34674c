from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ray_study.rows import Example, GradedAttempt, Problem
from ray_study.selection import POLICIES, TRANSFORMS, select, transform


def problem(name: str) -> Problem:
    return Problem(id=name, source="mine", kind="exact", prompt=f"ask {name}", answer="1", cluster=name, solution="")


def attempt(name: str, sample: int = 0, **changes: object) -> GradedAttempt:
    row = GradedAttempt(
        problem_id=name,
        sample=sample,
        asked_of="teacher",
        text=f"{name} answered in way {sample}",
        num_tokens=10 + sample,
        finish_reason="stop",
        cap=100,
        seed=0,
        thinking_opened=False,
        prompt_hash="",
        explanation="",
        conditions="{}",
        kind="exact",
        cluster=name,
        verdict="correct",
        answer="1",
        lenient_verdict="correct",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


PROBLEMS = {name: problem(name) for name in (f"p{number}" for number in range(40))}
GRADED = [attempt(name, sample) for name in PROBLEMS for sample in range(4)]


def example(response: str) -> Example:
    return Example(problem_id="p0", prompt="ask p0", response=response, num_tokens=9)


def test_a_truncated_attempt_is_never_an_example() -> None:
    rows = [attempt("p0", finish_reason="length"), attempt("p1")]
    chosen = select(rows, PROBLEMS, policy="first", num_examples=None, seed=0)
    assert [one.problem_id for one in chosen] == ["p1"]


@pytest.mark.parametrize("verdict", ["wrong", "no_answer", "unfinished", "timeout", "error"])
def test_only_correct_attempts_become_examples(verdict: str) -> None:
    rows = [attempt("p0", verdict=verdict, lenient_verdict="correct"), attempt("p1")]
    assert [one.problem_id for one in select(rows, PROBLEMS, policy="random", num_examples=None, seed=0)] == ["p1"]


def test_an_example_is_the_prompt_and_the_whole_text() -> None:
    (one,) = select([attempt("p3", text="  <think>so</think> 1 ")], PROBLEMS, policy="first", num_examples=1, seed=0)
    assert one == Example(problem_id="p3", prompt="ask p3", response="  <think>so</think> 1 ", num_tokens=10)


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_returned_in_another_order_give_the_same_examples(policy: str) -> None:
    rows = list(GRADED)
    Random(1).shuffle(rows)
    assert select(rows, PROBLEMS, policy=policy, num_examples=20, seed=3) == select(  # type: ignore[arg-type]
        GRADED,
        PROBLEMS,
        policy=policy,  # type: ignore[arg-type]
        num_examples=20,
        seed=3,
    )


@pytest.mark.parametrize("per_problem", [1, 3])
def test_smaller_sets_are_nested_in_larger_ones(per_problem: int) -> None:
    sets = [select(GRADED, PROBLEMS, policy="random", per_problem=per_problem, num_examples=num, seed=0) for num in (6, 12, 39)]
    assert sets[2][:12] == sets[1]
    assert sets[1][:6] == sets[0]


def test_another_seed_chooses_other_problems_and_other_attempts() -> None:
    first, second = (select(GRADED, PROBLEMS, policy="random", num_examples=None, seed=seed) for seed in (0, 1))
    assert [one.problem_id for one in first] != [one.problem_id for one in second]
    assert {one.response for one in first} != {one.response for one in second}


def test_a_random_choice_takes_every_attempt_sometimes() -> None:
    ways = {one.response[-1] for one in select(GRADED, PROBLEMS, policy="random", num_examples=None, seed=0)}
    assert ways == set("0123")


@pytest.mark.parametrize(("policy", "way"), [("first", "1"), ("shortest", "3"), ("longest", "2")])
def test_a_policy_decides_among_a_problems_correct_attempts(policy: str, way: str) -> None:
    lengths = {0: 1, 1: 20, 2: 30, 3: 10}
    rows = [attempt("p0", sample, num_tokens=length) for sample, length in lengths.items()]
    rows[0] = replace(rows[0], verdict="wrong")
    (one,) = select(rows, PROBLEMS, policy=policy, num_examples=1, seed=0)  # type: ignore[arg-type]
    assert one.response.endswith(way)


def test_several_a_problem_are_different_texts_in_the_policys_order() -> None:
    rows = [attempt("p0", sample, text=text, num_tokens=len(text)) for sample, text in enumerate(["bbb", "a", "bbb", "cccc", "dd"])]
    chosen = select(rows, PROBLEMS, policy="shortest", per_problem=3, num_examples=None, seed=0)
    assert [one.response for one in chosen] == ["a", "dd", "bbb"]
    longest = select(rows, PROBLEMS, policy="longest", per_problem=9, num_examples=None, seed=0)
    assert [one.response for one in longest] == ["cccc", "bbb", "dd", "a"]


def test_nothing_correct_is_an_error_that_counts_the_verdicts() -> None:
    with pytest.raises(ValueError, match=r"0 of 40 problems have a correct attempt.*'wrong': 2"):
        select([attempt("p0", verdict="wrong"), attempt("p1", verdict="wrong")], PROBLEMS, policy="first", num_examples=1, seed=0)


def test_too_few_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="found 40 of 50 examples asked for"):
        select(GRADED, PROBLEMS, policy="first", num_examples=50, seed=0)


def test_an_attempt_at_an_unknown_problem_is_an_error() -> None:
    with pytest.raises(ValueError, match="'p99', which is not among the 40 problems"):
        select([attempt("p99")], PROBLEMS, policy="first", num_examples=1, seed=0)


@pytest.mark.parametrize("changes", [{"policy": "best"}, {"per_problem": 0}, {"num_examples": 0}])
def test_a_wrong_setting_is_refused(changes: dict[str, object]) -> None:
    settings: dict[str, object] = {"policy": "first", "num_examples": 1, "seed": 0, **changes}
    with pytest.raises(ValueError, match=r"unknown policy|must be 1 or more"):
        select(GRADED, PROBLEMS, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "response", "left"),
    [
        ("none", "<think>a</think>\nb", "<think>a</think>\nb"),
        ("none", " \n", None),
        ("drop_thinking", "<think>a\nc</think>\n\nSo \\boxed{1}.", "So \\boxed{1}."),
        ("drop_thinking", "opened by the template</think>\nSo \\boxed{1}.", "So \\boxed{1}."),
        ("drop_thinking", "<think>a</think>b<think>c</think>d", "bd"),
        ("drop_thinking", "<think>never closed \\boxed{1}", None),
        ("drop_thinking", "<think>a</think>\n", None),
        ("drop_thinking", "no thinking", "no thinking"),
        ("answer_only", "<think>\\boxed{0}</think>First \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "\\boxed{\\frac{1}{2}}"),
        ("answer_only", "<think>a</think>Well.\nI can't help with that.", "I can't help with that."),
        ("answer_only", "<think>\\boxed{0}</think>", None),
        ("answer_only", "cut \\boxed{1", None),
    ],
)
def test_a_transform_leaves_only_its_part_of_the_response(name: str, response: str, left: str | None) -> None:
    changed = TRANSFORMS[name](example(response))
    assert (changed.response if changed else None) == left


def test_an_empty_response_is_dropped_and_counted() -> None:
    kept, num_dropped = transform([example("<think>a</think>"), example("<think>a</think>b")], "drop_thinking")
    assert [one.response for one in kept] == ["b"]
    assert num_dropped == 1


def test_a_changed_response_no_longer_claims_a_token_count() -> None:
    changed, same = transform([example("<think>a</think>b"), example("b")], "drop_thinking")[0]
    assert (changed.num_tokens, same.num_tokens) == (0, 9)


def test_a_transform_that_leaves_nothing_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="left nothing of any of 1 responses"):
        transform([example("<think>a</think>")], "drop_thinking")
    with pytest.raises(ValueError, match="unknown transform 'shorten'"):
        transform([example("b")], "shorten")
