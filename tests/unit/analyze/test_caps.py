"""Accuracy under a smaller cap, from attempts that were made under a larger one."""

from __future__ import annotations

import pytest

from ray_study.analyze.caps import COLUMNS, Measured, accuracy_at_caps, measured
from ray_study.analyze.statistics import score
from ray_study.rows import Verdict


def attempt(item: str, num_tokens: int, verdict: Verdict = "correct", *, cap: int = 100, cluster: str = "") -> Measured:
    return Measured(problem_id=item, sample=0, cluster=cluster or item, verdict=verdict, num_tokens=num_tokens, cap=cap)


def test_an_attempt_longer_than_the_cap_counts_as_unfinished_and_one_as_long_keeps_its_verdict() -> None:
    attempts = [attempt("a", 10), attempt("b", 50), attempt("c", 90), attempt("d", 5, "wrong")]
    found = accuracy_at_caps(attempts, [4, 9, 10, 49, 50, 100], {})
    values = {cap: estimate.value for cap, estimate in found.items() if estimate is not None}
    assert values == {4: 0.0, 9: 0.0, 10: 0.25, 49: 0.25, 50: 0.5, 100: 0.75}


def test_the_cap_that_was_asked_with_gives_the_score_itself_with_its_interval() -> None:
    attempts = [attempt(f"p{number}", number, "correct" if number % 3 else "wrong", cluster=f"c{number % 7}") for number in range(1, 60)]
    found = accuracy_at_caps(attempts, [100], {})[100]
    means = {each.problem_id: float(each.verdict == "correct") for each in sorted(attempts, key=lambda each: each.problem_id)}
    clusters = {each.problem_id: each.cluster for each in attempts}
    assert found == score(list(means.values()), [clusters[item] for item in means], num_samples=1)


def test_an_attempt_longer_than_the_cap_has_the_verdict_on_what_fits() -> None:
    attempts = [attempt("a", 90, "wrong"), attempt("b", 90), attempt("c", 90), attempt("d", 10)]
    when_cut: dict[tuple[str, int, int], Verdict] = {("a", 0, 50): "correct", ("b", 0, 50): "timeout", ("c", 0, 20): "correct"}
    found = accuracy_at_caps(attempts, [20, 50, 100], when_cut)
    assert [(each.value, each.num_items) for each in found.values() if each is not None] == [(0.5, 4), (2 / 3, 3), (0.75, 4)]


def test_samples_of_an_item_are_averaged_first() -> None:
    attempts = [attempt("a", 10), attempt("a", 90), attempt("b", 10, "wrong"), attempt("b", 10)]
    found = accuracy_at_caps(attempts, [50], {})[50]
    assert found is not None
    assert found.value == 0.5
    assert found.num_items == 2


def test_what_could_not_be_judged_is_left_out_where_it_fits_and_is_unfinished_where_it_does_not() -> None:
    attempts = [attempt("a", 10), attempt("b", 50, "timeout")]
    found = accuracy_at_caps(attempts, [20, 60], {})
    assert [(each.value, each.num_items) for each in found.values() if each is not None] == [(0.5, 2), (1.0, 1)]


def test_a_cap_above_every_attempts_own_is_not_known() -> None:
    assert accuracy_at_caps([attempt("a", 10, cap=32)], [32, 33], {}) == {
        32: accuracy_at_caps([attempt("a", 10, cap=32)], [32], {})[32],
        33: None,
    }
    assert accuracy_at_caps([], [8], {}) == {8: None}


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_cap_never_gives_a_lower_accuracy_where_all_are_judged(seed: int) -> None:
    attempts = [attempt(f"p{number}", (number * 37 + seed * 11) % 100, "correct" if number % 2 else "wrong") for number in range(50)]
    values = [
        each.value for each in accuracy_at_caps(attempts, range(1, 101, 7), {}).values() if each is not None and each.value is not None
    ]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_attempts_are_read_from_columns_alone() -> None:
    assert COLUMNS == ("problem_id", "sample", "cluster", "verdict", "num_tokens", "cap")
    assert measured([("a", 0, "c", "wrong", 3, 8)]) == [attempt("a", 3, "wrong", cap=8, cluster="c")]
