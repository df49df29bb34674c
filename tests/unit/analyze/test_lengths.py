from __future__ import annotations

import math

import numpy as np
import pytest

from ray_study.analyze.lengths import median_interval, median_tokens, restricted_mean, survival


def test_the_survival_curve_equals_the_one_worked_out_by_hand() -> None:
    # Stops at 2, 4 and 6, cut at 3 and 4: S = 4/5, then 4/5 * 2/3, then 0.
    curve = survival([2, 3, 4, 4, 6], [True, False, True, False, True])
    assert curve.times.tolist() == [2, 4, 6]
    assert curve.share_going == pytest.approx([4 / 5, 8 / 15, 0])
    assert curve.num_at_risk.tolist() == [5, 3, 1]


def test_the_median_counts_a_cut_response_as_longer_than_its_cap() -> None:
    """Trap E9: with three of five cut at 10 the plain median of lengths would be 10."""
    assert median_tokens([4, 6, 10, 10, 10], [True, True, False, False, False]) is None
    assert median_tokens([4, 6, 8, 10, 10], [True, True, True, False, False]) == 8
    assert median_tokens([1, 2, 3, 4], [True] * 4) == 2
    assert median_tokens([], []) is None


def test_the_median_is_found_where_rounding_hides_one_half() -> None:
    assert median_tokens([1, 2, 3, 3, 4, 6], [True, True, True, False, False, False]) == 3


def test_with_one_cap_the_restricted_mean_is_the_mean_up_to_the_cap_with_its_usual_variance() -> None:
    tokens = [2, 5, 9, 10, 10, 10, 7]
    finished = [True, True, True, True, False, False, True]
    found = restricted_mean(tokens, finished, 10)
    assert found.value == pytest.approx(np.mean(tokens))
    assert found.variance == pytest.approx(np.var(tokens, ddof=1) / len(tokens))


def test_a_censored_response_raises_the_mean_above_that_of_cut_lengths() -> None:
    # Stops at 2 and 6, one cut at 3: S is 1 to 2, 2/3 to 6, 0 after, so the area is 2 + 4 * 2/3, not (2 + 3 + 6) / 3.
    found = restricted_mean([2, 3, 6], [True, False, True], 10)
    assert found.value == pytest.approx(2 + 8 / 3)


def test_without_units_the_variance_is_greenwoods() -> None:
    # Stops at 2 (5 at risk) and 4 (3 at risk), cut at 3, 6 and 6, up to 6. S = 4/5, then 8/15.
    tokens, finished = [2, 3, 4, 6, 6], [True, False, True, False, False]
    after_2, after_4 = 2 * 4 / 5 + 2 * 8 / 15, 2 * 8 / 15
    greenwood = after_2**2 / (5 * 4) + after_4**2 / (3 * 2)
    found = restricted_mean(tokens, finished, 6)
    assert found.value == pytest.approx(2 + after_2)
    assert found.variance == pytest.approx(greenwood * 5 / 4)


def test_samples_of_one_item_are_not_independent() -> None:
    tokens = [10, 10, 10, 20, 20, 20, 30, 30, 30]
    units = list("aaabbbccc")
    alone = restricted_mean(tokens, [True] * 9, 100)
    by_item = restricted_mean(tokens, [True] * 9, 100, units)
    assert by_item.variance == pytest.approx(np.var([10, 20, 30], ddof=1) / 3)
    assert (by_item.variance or 0) > 2 * (alone.variance or 1)
    assert by_item.num_units == 3


def test_the_interval_of_the_restricted_mean_covers_the_truth_under_censoring() -> None:
    """Exponential lengths with mean 300, caps of 200 or 1000: the mean up to 1000 is 300 (1 - exp(-10/3))."""
    rng = np.random.default_rng(3)
    truth = 300 * (1 - math.exp(-1000 / 300))
    covered = 0
    for _ in range(300):
        lengths, caps = rng.exponential(300, 200), rng.choice([200, 1000], 200)
        tokens = np.minimum(lengths, caps)
        found = restricted_mean([int(token) + 1 for token in tokens], [bool(x) for x in lengths < caps], 1000)
        covered += abs(found.value - truth) < 1.96 * math.sqrt(found.variance or 0)
    assert 0.90 <= covered / 300 <= 0.99


def test_one_attempt_has_no_variance_and_none_at_all_raises() -> None:
    assert restricted_mean([5], [True], 10).variance is None
    assert restricted_mean([10, 10], [False, False], 10).value == 10
    with pytest.raises(ValueError, match="at least one attempt"):
        restricted_mean([], [], 10)


FREIREICH = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [True, True, True, False, True, False, True, False, False, True, True, *[False] * 3, True, True, *[False] * 5]
"""Weeks in remission under 6-MP: the example of survival analysis (Freireich et al. 1963)."""


def test_the_curve_median_and_restricted_mean_of_a_published_example_are_those_of_lifelines() -> None:
    """Literals of lifelines 0.30.3: KaplanMeierFitter, median_survival_times of its log-log interval, restricted_mean_survival_time."""
    curve = survival(FREIREICH, RELAPSED)
    assert dict(zip(curve.times.tolist(), curve.share_going.tolist(), strict=True)) == pytest.approx(
        {
            6: 0.857142857142857,
            7: 0.8067226890756299,
            10: 0.7529411764705878,
            13: 0.6901960784313722,
            16: 0.6274509803921566,
            22: 0.5378151260504199,
            23: 0.44817927170868327,
        }
    )
    assert median_tokens(FREIREICH, RELAPSED) == 23
    assert median_interval(FREIREICH, RELAPSED) == (13, None)
    # Theirs is integrated numerically, over steps.
    assert restricted_mean(FREIREICH, RELAPSED, 35).value == pytest.approx(23.287394957983185, rel=1e-6)
    assert restricted_mean(FREIREICH, RELAPSED, 20).value == pytest.approx(16.116526610644254, rel=1e-6)
