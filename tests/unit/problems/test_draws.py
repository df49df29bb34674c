from __future__ import annotations

from collections import Counter

import pytest

from ray_study.problems.draws import between, pick_by_share, shuffled, split_of, stream, subset
from ray_study.rows import Problem


def problem(number: int, cluster: str) -> Problem:
    return Problem(id=f"p{number}", source="mine", kind="exact", prompt=str(number), answer="1", cluster=cluster, solution="")


def test_a_stream_draws_what_it_drew_when_this_test_was_written() -> None:
    rng = stream("arithmetic", 7, "train")
    assert [between(rng, 1, 99) for _ in range(6)] == [42, 15, 60, 64, 66, 18]
    assert shuffled(rng, "abcdef") == ["f", "e", "a", "c", "d", "b"]


def test_each_source_seed_and_split_has_a_stream_of_its_own() -> None:
    streams = [stream(*key) for key in (("a", 0, "train"), ("a", 1, "train"), ("a", 0, "heldout"), ("b", 0, "train"))]
    assert len({rng.random() for rng in streams}) == 4


def test_both_ends_of_a_range_are_drawn() -> None:
    rng = stream("ends", 0, "train")
    assert {between(rng, 2, 4) for _ in range(200)} == {2, 3, 4}


def test_shares_need_not_add_up_to_one() -> None:
    rng = stream("shares", 0, "train")
    drawn = Counter(pick_by_share(rng, {"often": 30, "seldom": 10}) for _ in range(4000))
    assert 0.72 < drawn["often"] / 4000 < 0.78


def test_about_a_tenth_of_all_keys_is_held_out() -> None:
    held = sum(split_of(f"key {number}") == "heldout" for number in range(5000))
    assert 0.08 < held / 5000 < 0.12


def test_a_smaller_subset_is_the_beginning_of_a_larger_one_and_keeps_the_proportions() -> None:
    problems = [problem(number, "large" if number < 300 else "small") for number in range(400)]
    larger, smaller = subset(problems, 80, 3), subset(problems, 20, 3)
    assert larger[:20] == smaller
    assert Counter(one.cluster for one in larger) == pytest.approx({"large": 60, "small": 20}, abs=1)
    assert Counter(one.cluster for one in smaller) == pytest.approx({"large": 15, "small": 5}, abs=1)


def test_a_subset_depends_on_the_seed_and_not_on_the_order_of_the_rows() -> None:
    problems = [problem(number, "one") for number in range(50)]
    assert subset(problems, 10, 0) == subset(problems[::-1], 10, 0)
    assert subset(problems, 10, 0) != subset(problems, 10, 1)


def test_small_subsets_do_not_always_begin_with_the_largest_cluster() -> None:
    problems = [problem(number, "large" if number < 90 else f"small {number}") for number in range(100)]
    first = Counter(subset(problems, 1, seed)[0].cluster == "large" for seed in range(200))
    assert 0.6 < first[True] / 200 < 1.0


def test_more_problems_than_there_are_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="5 problems were asked for, but mine has 3"):
        subset([problem(number, "one") for number in range(3)], 5, 0)
