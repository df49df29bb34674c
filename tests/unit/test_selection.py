from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ray_study.config import Select
from ray_study.selection import POLICIES, Candidate, Choice, Choosing, order_of

NAMES = [f"p{number}" for number in range(40)]


def attempt(name: str, sample: int = 0, text: str | None = None, **changes: Any) -> Candidate:
    shown = f"{name} answered in way {sample}" if text is None else text
    row = Candidate(
        problem_id=name,
        sample=sample,
        asked_of="teacher",
        verdict="correct",
        finish_reason="stop",
        num_tokens=10 + sample,
        num_characters=len(shown.strip()),
        mark=hashlib.sha256(shown.encode()).digest(),
        shard="a",
    )
    return replace(row, **changes)


ATTEMPTS = [attempt(name, sample) for name in NAMES for sample in range(4)]
# Every verdict, ending and length, so that arms and limits differ.
MIXED = [
    attempt(
        name,
        sample,
        verdict=("correct", "wrong", "no_answer", "timeout", "correct")[(number + sample) % 5],
        finish_reason="length" if (number * 7 + sample) % 6 == 0 else "stop",
        num_tokens=5 + (number * 13 + sample * 5) % 40,
    )
    for number, name in enumerate(f"m{number}" for number in range(200))
    for sample in range(6)
]


def choose(rows: Iterable[Candidate], seed: int = 0, problems: Iterable[str] = NAMES, **select: Any) -> list[Choice]:
    names = set(problems)
    choosing = Choosing(names, len(names), Select(**select), seed)
    for row in rows:
        choosing.offer(row)
    choices = choosing.chosen()
    return choices[: select.get("num_examples") or len(choices)]


def taken(rows: Iterable[Candidate], **settings: Any) -> list[tuple[str, int]]:
    return [(choice.candidate.problem_id, choice.candidate.sample) for choice in choose(rows, **settings)]


def mixed(**settings: Any) -> list[tuple[str, int]]:
    return taken(MIXED, problems={row.problem_id for row in MIXED}, **settings)


def test_a_truncated_attempt_is_never_an_example() -> None:
    rows = [attempt("p0", finish_reason="length"), attempt("p1")]
    for arm in ("verified", "unverified"):
        assert taken(rows, arm=arm) == [("p1", 0)]


@pytest.mark.parametrize("verdict", ["wrong", "no_answer", "unfinished", "timeout", "error"])
def test_only_correct_attempts_are_verified(verdict: Any) -> None:
    assert taken([attempt("p0", verdict=verdict), attempt("p1")], policy="random") == [("p1", 0)]


@pytest.mark.parametrize("verdict", ["correct", "no_answer", "unfinished", "timeout", "error"])
def test_only_attempts_judged_wrong_are_wrong_and_an_unjudged_one_is_not(verdict: Any) -> None:
    assert taken([attempt("p0", verdict=verdict), attempt("p1", verdict="wrong")], arm="wrong") == [("p1", 0)]


@pytest.mark.parametrize("verdict", ["correct", "wrong", "no_answer", "timeout"])
def test_whatever_stopped_with_a_text_is_unverified(verdict: Any) -> None:
    rows = [attempt("p0", verdict=verdict), attempt("p1", text=" \n", verdict=verdict), attempt("p2", finish_reason="refused", text="")]
    assert taken(rows, arm="unverified") == [("p0", 0)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("per_problem", [1, 2])
def test_rows_returned_in_another_order_give_the_same_examples(policy: str, per_problem: int) -> None:
    rows = list(ATTEMPTS)
    Random(1).shuffle(rows)
    settings: dict[str, Any] = {"policy": policy, "num_examples": 20, "per_problem": per_problem, "seed": 3}
    assert choose(rows, **settings) == choose(ATTEMPTS, **settings)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("per_problem", [1, 3])
@pytest.mark.parametrize("arm", ["verified", "unverified", "wrong"])
@pytest.mark.parametrize("limits", [{}, {"min_tokens": 12, "max_tokens": 36}])
def test_smaller_sets_are_the_beginning_of_larger_ones_whatever_the_arm_and_the_limits(
    policy: str, per_problem: int, arm: str, limits: dict[str, int]
) -> None:
    settings: dict[str, Any] = {"policy": policy, "per_problem": per_problem, "arm": arm, **limits}
    every = mixed(**settings)
    assert len(every) > 50
    for num in (8, 32, 50):
        assert mixed(num_examples=num, **settings) == every[:num]


def test_the_studys_2560_are_in_its_20480() -> None:
    names = [f"q{number}" for number in range(21000)]
    rows = [attempt(name, sample) for name in names for sample in range(2)]
    small, large = (taken(rows, problems=names, num_examples=num, seed=1234) for num in (2560, 20480))
    assert (len(small), len(large)) == (2560, 20480)
    assert large[:2560] == small


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("per_problem", [1, 3])
@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"arm": "verified"}, {"arm": "unverified"}),
        ({"arm": "wrong"}, {"arm": "unverified"}),
        ({"max_tokens": 20}, {"max_tokens": 30}),
        ({"arm": "wrong", "min_tokens": 20, "max_tokens": 30}, {"arm": "unverified", "min_tokens": 10}),
    ],
)
def test_what_a_wider_choice_takes_and_a_narrower_one_may_take_it_takes(
    policy: str, per_problem: int, narrow: dict[str, Any], wide: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"policy": policy, "per_problem": per_problem}
    may_take = set(mixed(**narrow, policy="first", per_problem=99))
    for size in ({"num_examples": 30}, {}):
        assert set(mixed(**wide, **settings, **size)) & may_take <= set(mixed(**narrow, **settings, **size))


def test_another_seed_chooses_other_problems_and_other_attempts() -> None:
    first, second = (taken(ATTEMPTS, policy="random", seed=seed) for seed in (0, 1))
    assert [name for name, _ in first] != [name for name, _ in second]
    assert set(first) != set(second)


def test_a_random_choice_takes_every_attempt_sometimes() -> None:
    assert {sample for _, sample in taken(ATTEMPTS, policy="random")} == {0, 1, 2, 3}


@pytest.mark.parametrize(("policy", "way"), [("first", 1), ("shortest", 3), ("longest", 2)])
def test_a_policy_decides_among_a_problems_correct_attempts(policy: str, way: int) -> None:
    lengths = {0: 1, 1: 20, 2: 30, 3: 10}
    rows = [attempt("p0", sample, num_tokens=length) for sample, length in lengths.items()]
    rows[0] = replace(rows[0], verdict="wrong")
    assert taken(rows, policy=policy, num_examples=1) == [("p0", way)]


def test_several_a_problem_are_different_texts_in_the_policys_order() -> None:
    texts = ["bbb", "a", "bbb", "cccc", "dd"]
    rows = [attempt("p0", sample, text, num_tokens=len(text)) for sample, text in enumerate(texts)]
    assert [sample for _, sample in taken(rows, policy="shortest", per_problem=3)] == [1, 4, 0]
    assert [sample for _, sample in taken(reversed(rows), policy="longest", per_problem=9)] == [3, 0, 4, 1]


def test_a_choice_says_from_how_many_attempts_it_was_made() -> None:
    rows = [attempt("p0", sample, verdict="wrong" if sample == 1 else "correct") for sample in range(4)]
    (choice,) = choose(rows, policy="random")
    assert choice.num_eligible == 3


def test_an_offered_attempt_is_forgotten_when_better_ones_came() -> None:
    choosing = Choosing({"p0"}, 1, Select(policy="first"), 0)
    for sample in range(100, 0, -1):
        choosing.offer(attempt("p0", sample))
    assert sum(len(kept) for kept in choosing._best.values()) == 1
    assert (choosing.num_attempts, choosing.num_eligible, choosing.num_eligible_problems) == (100, 100, 1)


def test_an_empty_selection_is_an_error_that_counts_problems_attempts_and_verdicts() -> None:
    with pytest.raises(ValueError, match=r"0 of 40 problems have a correct attempt.*\(2 attempts, \{'wrong': 2\}\)"):
        choose([attempt("p0", verdict="wrong"), attempt("p1", verdict="wrong")], num_examples=1)
    with pytest.raises(ValueError, match=r"0 of 40 problems have a wrong attempt"):
        choose(ATTEMPTS, arm="wrong")
    with pytest.raises(ValueError, match=r"0 of 40 .* 50 tokens or more \(160 of that arm have fewer or more\)"):
        choose(ATTEMPTS, min_tokens=50)


def test_too_few_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"found 40 of 50 examples asked for: 40 of 40 problems have .* each gives at most 1"):
        choose(ATTEMPTS, num_examples=50)


def test_an_attempt_at_an_unknown_problem_is_an_error() -> None:
    with pytest.raises(ValueError, match="'p99', which is not among the 40 problems"):
        choose([attempt("p99")])


def test_rows_that_are_read_keep_their_order_or_take_a_seeded_one() -> None:
    assert order_of(NAMES, Select(policy="first"), 0) == NAMES
    shuffled = order_of(NAMES, Select(policy="random"), 0)
    assert shuffled != NAMES
    assert sorted(shuffled) == sorted(NAMES)
    assert order_of(NAMES[::-1], Select(policy="random"), 0) == shuffled
