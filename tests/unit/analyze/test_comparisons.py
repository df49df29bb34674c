from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from ray_study.analyze.comparisons import benjamini_hochberg, compare, holm, mcnemar_p, paired_difference
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


def test_holm_adjusts_for_all_that_was_looked_at() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_adjusted_p_values_and_mcnemar_are_those_of_statsmodels() -> None:
    p_values = [0.001, 0.2, 0.03, 0.03, 0.8, 0.012, 0.0495]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])
    assert benjamini_hochberg([]) == []
    for gained, lost in ((3, 11), (0, 6), (8, 8)):
        assert mcnemar_p(gained, lost) == pytest.approx(mcnemar([[5, gained], [lost, 5]], exact=True).pvalue)


def test_the_paired_difference_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(7)
    before, after = rng.integers(0, 5, 60) / 4, rng.integers(0, 5, 60) / 4
    found = paired_difference(by_item(before), by_item(after))
    expected = stats.ttest_rel(after, before)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((interval.low, interval.high))


def _rewarded(make_attempt: Callable[..., GradedAttempt], rewards: list[float]) -> list[GradedAttempt]:
    details = [json.dumps({"rubrics": ["reward"], "reward": reward}) for reward in rewards]
    return [replace(make_attempt(item, verdict="correct"), kind="judged", details=each) for item, each in enumerate(details)]


def test_a_difference_in_rewards_is_not_kept_within_one(make_attempt: Callable[..., GradedAttempt]) -> None:
    before, after = [-5.0, -4.0, -6.5, -2.0], [1.5, 2.0, -1.0, 3.5]
    found = compare(_rewarded(make_attempt, before), _rewarded(make_attempt, after)).estimate
    differences = [later - earlier for earlier, later in zip(before, after, strict=True)]
    test = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert found.value == pytest.approx(sum(differences) / 4)
    assert (found.low, found.high) == pytest.approx((test.low, test.high))
    assert (found.low or 0) > 1


def test_a_difference_in_shares_stays_within_one() -> None:
    found = paired_difference({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "c": 0.5}).estimate
    assert found.high == 1.0
    assert paired_difference({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 0.5}, are_shares=False).estimate.high > 1
