from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from ray_study.analyze.intervals import clopper_pearson, wilson_interval
from ray_study.analyze.shares import (
    at_k,
    beta_binomial_interval,
    majority_share,
    pass_all_k,
    pass_at_k,
    rule_of_three,
    share_interval,
)
from ray_study.analyze.statistics import score
from ray_study.rows import GradedAttempt


@pytest.mark.parametrize(("num", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 6, 2), (6, 0, 4), (4, 3, 4)])
def test_pass_at_k_and_pass_all_k_are_the_shares_of_all_choices_of_k_samples(num: int, right: int, k: int) -> None:
    samples = [True] * right + [False] * (num - right)
    chosen = list(itertools.combinations(samples, k))
    assert pass_at_k(num, right, k) == pytest.approx(sum(any(each) for each in chosen) / len(chosen))
    assert pass_all_k(num, right, k) == pytest.approx(sum(all(each) for each in chosen) / len(chosen))


def test_fewer_than_k_samples_give_no_number_and_never_a_zero() -> None:
    assert math.isnan(pass_at_k(3, 3, 4))
    assert math.isnan(pass_all_k(3, 0, 4))
    with pytest.raises(ValueError, match="0 <= right <= samples"):
        pass_at_k(3, 4, 1)


def test_pass_at_k_is_unbiased() -> None:
    rng = np.random.default_rng(1)
    found = [pass_at_k(6, int(c), 3) for c in rng.binomial(6, 0.3, 20000)]
    assert np.mean(found) == pytest.approx(1 - 0.7**3, abs=0.006)


def test_a_tie_of_the_majority_is_split() -> None:
    assert majority_share(["7", "7", "8"], [True, True, False]) == 1.0
    assert majority_share(["8", "8", "7"], [False, False, True]) == 0.0
    assert majority_share(["7", "8"], [True, False]) == 0.5
    assert majority_share(["7", "8", "9"], [True, False, False]) == pytest.approx(1 / 3)
    # Spelt in two ways, and both right: they are one answer.
    assert majority_share(["1/2", "0.5", "3", "4"], [True, True, False, False]) == 1.0
    # No answer is no vote.
    assert majority_share([None, None, "7"], [False, False, True]) == 1.0
    assert majority_share([None, None], [False, False]) == 0.0
    # A refusal, an essay: right without an extracted answer.
    assert majority_share([None, None], [True, True]) == 1.0


def test_the_metrics_of_k_samples_leave_unjudged_ones_out_and_count_items(make_attempt: Callable[..., GradedAttempt]) -> None:
    graded = [
        *(make_attempt(0, sample, "correct" if sample < 2 else "wrong", answer="7" if sample < 2 else "8") for sample in range(4)),
        *(make_attempt(1, sample, "wrong" if sample < 2 else "timeout", answer="3") for sample in range(4)),
        *(make_attempt(2, sample, "error") for sample in range(4)),
    ]
    found = at_k(graded, 2)
    # 2 right of 4: 1 - C(2,2)/C(4,2) = 5/6 and C(2,2)/C(4,2) = 1/6; item 1 none; item 2 has no judged sample.
    assert found["pass@2"].value == pytest.approx((5 / 6 + 0) / 2)
    assert found["pass^2"].value == pytest.approx((1 / 6 + 0) / 2)
    assert found["maj@2"].value == pytest.approx(0.5)
    assert {each.num_items for each in found.values()} == {2}
    assert at_k(graded, 3)["pass@3"].num_items == 1
    with pytest.raises(ValueError, match="at most 4 judged samples"):
        at_k(graded, 5)


@pytest.mark.parametrize(("right", "num"), [(0, 10), (3, 29), (198, 198), (81, 263)])
def test_intervals_of_shares_are_those_of_statsmodels(right: int, num: int) -> None:
    assert clopper_pearson(right, num) == pytest.approx(proportion_confint(right, num, method="beta"), abs=1e-9)
    assert wilson_interval(right / num, num) == pytest.approx(proportion_confint(right, num, method="wilson"), abs=1e-9)


def test_no_event_in_n_draws_has_the_bound_of_the_rule_of_three() -> None:
    assert (1 - rule_of_three(300)) ** 300 == pytest.approx(0.05)
    assert rule_of_three(300) == pytest.approx(3 / 300, rel=0.01)


def test_samples_of_one_item_count_for_less_than_as_many_items() -> None:
    alike = [(4, 4)] * 5 + [(0, 4)] * 5
    mixed = [(2, 4)] * 10
    low, high = beta_binomial_interval(alike)
    narrow = beta_binomial_interval(mixed)
    assert high - low > 1.5 * (narrow[1] - narrow[0])
    # All samples of an item agree: ten draws, five right.
    from_ten = beta_binomial_interval([(1, 1)] * 5 + [(0, 1)] * 5)
    assert (low, high) == pytest.approx(from_ten)
    # Nothing shows that samples are not copies of each other where all are right.
    assert beta_binomial_interval([(4, 4)] * 10) == pytest.approx(beta_binomial_interval([(1, 1)] * 10))


def test_the_beta_binomial_interval_of_few_items_covers() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(1000):
        ability = rng.beta(2, 4, 15)
        low, high = beta_binomial_interval([(int(c), 8) for c in rng.binomial(8, ability)])
        covered += low <= 1 / 3 <= high
    assert covered / 1000 >= 0.93


def test_the_interval_is_chosen_by_the_number_of_items_and_samples() -> None:
    few_once = {f"p{item}": (int(item < 3), 1) for item in range(12)}
    few_often = {f"p{item}": (item % 4, 4) for item in range(12)}
    many_once = {f"p{item}": (int(item < 80), 1) for item in range(200)}
    many_often = {f"p{item}": (item % 4, 4) for item in range(200)}
    assert share_interval(few_once) == clopper_pearson(3, 12)
    assert share_interval(few_often) == beta_binomial_interval(list(few_often.values()))
    assert share_interval(many_once) == wilson_interval(0.4, 200)
    low, high = share_interval(many_often)
    x = np.array([item % 4 / 4 for item in range(200)])
    assert (high - low) / 2 == pytest.approx(1.972 * x.std(ddof=1) / np.sqrt(200), rel=1e-3)
    with pytest.raises(ValueError, match="at least one"):
        share_interval({})


@pytest.mark.parametrize("num_samples", [1, 4, 10])
def test_the_interval_of_a_score_of_few_items_is_the_one_by_counts(num_samples: int) -> None:
    """A score knows the item means and their error only; from counts the same interval follows by analysis of variance."""
    rng = np.random.default_rng(num_samples)
    for _ in range(50):
        num_items = int(rng.integers(2, 30))
        counts = rng.binomial(num_samples, rng.beta(1, 2, num_items))
        found = score((counts / num_samples).tolist(), num_samples=num_samples)
        expected = share_interval({f"p{item}": (int(count), num_samples) for item, count in enumerate(counts)})
        low, high = expected
        assert (found.low, found.high) == pytest.approx((min(low, found.value or 0), max(high, found.value or 0)), abs=1e-9)


def test_the_interval_of_a_hard_benchmark_of_few_items_covers_better_than_students() -> None:
    """Twenty-nine items of which most are hardly ever solved, as of a small model at AIME: t ends below the truth too often."""
    rng = np.random.default_rng(4)
    truth, above, above_t, missed = 0.1, 0, 0, 0
    for _ in range(1000):
        x = rng.binomial(4, rng.beta(0.5, 4.5, 29)) / 4
        found = score(x.tolist(), num_samples=4)
        above += (found.high or 0) < truth
        missed += (found.high or 0) < truth or (found.low or 0) > truth
        above_t += x.mean() + 2.048 * x.std(ddof=1) / np.sqrt(29) < truth
    assert missed / 1000 <= 0.065
    assert above / 1000 <= 0.04
    # Twice the 2.5 % that it says, and more.
    assert above_t / 1000 > 0.05
