from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ray_study.analyze.comparisons import compare, dip, holm, mcnemar_p, paired_difference
from ray_study.rows import GradedAttempt


def by_item(values: np.ndarray) -> dict[str, float]:
    return {f"p{number}": float(value) for number, value in enumerate(values)}


def test_mcnemar_is_exact() -> None:
    assert mcnemar_p(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_p(1, 5) == pytest.approx(2 * 7 / 64)
    assert mcnemar_p(3, 3) == 1.0
    assert mcnemar_p(0, 0) == 1.0


def test_the_paired_difference_equals_the_one_worked_out_by_hand() -> None:
    found = paired_difference({"a": 0.0, "b": 0.5, "c": 1.0}, {"a": 1.0, "b": 0.5, "c": 1.0})
    assert found.estimate.value == pytest.approx(1 / 3)
    # Differences 1, 0, 0: variance 1/3 over three items.
    assert found.estimate.standard_error == pytest.approx(1 / 3)


def test_items_judged_at_one_step_only_are_in_no_difference() -> None:
    found = paired_difference({"a": 0.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "d": 1.0})
    assert found.estimate.num_items == 2
    assert paired_difference({"a": 1.0}, {"b": 1.0}).estimate.value is None


def test_pairing_finds_what_overlapping_intervals_hide() -> None:
    rng = np.random.default_rng(2)
    before = (rng.random(200) < 0.5).astype(float)
    after = before.copy()
    after[np.flatnonzero(before == 0)[:12]] = 1.0
    found = paired_difference(by_item(before), by_item(after))
    assert found.estimate.value == pytest.approx(0.06)
    assert found.p_value == pytest.approx(2 / 2**12)


def test_two_checkpoints_that_agree_on_every_item_are_not_certain_to_be_equal() -> None:
    same = {f"p{number}": 0.0 for number in range(20)}
    found = paired_difference(same, same)
    assert found.estimate.value == 0.0
    assert found.p_value == 1.0
    assert (found.estimate.low or 0) < -0.1
    assert (found.estimate.high or 0) > 0.1


def test_comparing_attempts_leaves_unjudged_ones_out(make_attempt: Callable[..., GradedAttempt]) -> None:
    before = [make_attempt(item, verdict="wrong") for item in range(4)]
    after = [make_attempt(item, verdict="correct" if item else "timeout") for item in range(4)]
    found = compare(before, after)
    assert found.estimate.num_items == 3
    assert found.estimate.value == 1.0
    assert found.p_value == pytest.approx(2 / 8)


def test_a_trajectory_that_never_falls_is_called_a_dip_in_at_most_five_percent() -> None:
    """Trap E15, flat being the worst case: the level is 5 %, and 5.93 % is 2.33 standard errors of 3,000 simulations above it."""
    rng = np.random.default_rng(11)
    called = naive = 0
    for _ in range(3000):
        ability = rng.beta(2, 2, 60)
        steps = {step: by_item((rng.random(60) < ability).astype(float)) for step in range(8)}
        found = dip(steps)
        assert found is not None
        called += found.p_value < 0.05
        naive += min(sum(means.values()) for means in steps.values()) < sum(steps[0].values())
    assert called / 3000 <= 0.0593
    # The lowest of the points lies below the first one nearly always: that is the trap.
    assert naive / 3000 > 0.8


def test_a_trajectory_that_rises_is_called_a_dip_less_often_still() -> None:
    rng = np.random.default_rng(12)
    called = 0
    for _ in range(500):
        ability = rng.beta(2, 2, 60)
        found = dip({step: by_item((rng.random(60) < np.minimum(ability + 0.03 * step, 1)).astype(float)) for step in range(8)})
        assert found is not None
        called += found.p_value < 0.05
    assert called / 500 <= 0.03


def test_a_real_dip_is_found_with_its_depth_and_its_step() -> None:
    rng = np.random.default_rng(4)
    depths = {0: 0.0, 10: 0.1, 20: 0.3, 40: 0.1, 80: 0.0}
    steps = {step: by_item((rng.random(400) < 0.6 - depth).astype(float)) for step, depth in depths.items()}
    found = dip(steps)
    assert found is not None
    assert found.steps == (20, 20)
    assert found.depth == pytest.approx(0.3, abs=0.08)
    assert found.p_value < 1e-6


@pytest.mark.parametrize("num_tasks", [1, 2])
def test_a_fall_is_found_where_items_come_from_too_few_tasks_to_be_clusters(num_tasks: int) -> None:
    """Found in a study of two tasks: the one that could always do nothing chose the step at which the other was measured."""
    can = np.array([float(number % 2 == 0) for number in range(96)])
    none = np.zeros(96)
    steps = {step: by_item(values) for step, values in {0: can, 3: can, 42: none, 512: none}.items()}
    found = dip(steps, {f"p{number}": f"task {number % num_tasks}" for number in range(96)})
    assert found is not None
    assert found.depth == pytest.approx(0.5, abs=0.1)
    assert found.p_value < 1e-6


def test_a_dip_needs_two_steps_and_two_halves() -> None:
    assert dip({0: {"a": 1.0, "b": 0.0}}) is None
    assert dip({0: {"a": 1.0}, 5: {"a": 0.0}}) is None
    assert dip({}) is None


def test_holm_adjusts_for_all_that_was_looked_at() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
