from __future__ import annotations

import random

import pytest

from ray_study.rows import Example
from ray_study.train.holding_out import split


def _example(problem: str, prompt: str = "", response: str = "4") -> Example:
    return Example(problem_id=problem, prompt=prompt or f"What is {problem}?", response=response, num_tokens=0)


EXAMPLES = [_example(f"p{index}") for index in range(100)]


def test_nothing_is_held_out_unless_it_is_asked_for() -> None:
    assert split(EXAMPLES, 0) == (EXAMPLES, [])


def test_what_is_held_out_is_fixed_by_the_problems_alone_and_nested_in_more() -> None:
    learned, held = split(EXAMPLES, 10)
    assert len(held) == 10
    assert sorted([*learned, *held], key=lambda row: row.problem_id) == sorted(EXAMPLES, key=lambda row: row.problem_id)
    mixed = random.Random(0).sample(EXAMPLES, len(EXAMPLES))
    assert {row.problem_id for row in split(mixed, 10)[1]} == {row.problem_id for row in held}
    assert {row.problem_id for row in held} < {row.problem_id for row in split(EXAMPLES, 20)[1]}
    assert [row for row in EXAMPLES if row in learned] == learned, "the order of the others is theirs"
    # By a hash, not by their order.
    assert {row.problem_id for row in held} != {f"p{index}" for index in range(10)}


def test_a_problem_with_several_responses_is_on_one_side() -> None:
    rows = [_example(f"p{index % 20}", response=str(index)) for index in range(60)]
    learned, held = split(rows, 4)
    assert len(held) == 6, "two problems of three rows each"
    assert not {row.problem_id for row in learned} & {row.problem_id for row in held}


def test_problems_that_share_a_prompt_are_on_one_side_also_through_a_third() -> None:
    # Each problem has a prompt of its own and one that the next problem has too: five chains of four problems.
    rows = [_example(f"p{index}", f"own {index}") for index in range(20)]
    rows += [_example(f"p{index}", f"link {index // 4}.{index % 4}") for index in range(20) if index % 4 < 3]
    rows += [_example(f"p{index}", f"link {index // 4}.{index % 4 - 1}") for index in range(20) if index % 4 > 0]
    learned, held = split(rows, 1)
    assert {int(row.problem_id[1:]) // 4 for row in held} & {int(row.problem_id[1:]) // 4 for row in learned} == set()
    assert not {row.prompt for row in learned} & {row.prompt for row in held}
    assert len({row.problem_id for row in held}) == 4


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="held_out 100 takes all 100 examples"):
        split(EXAMPLES, 100)
