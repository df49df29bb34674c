"""A judged share corrected for the judge's errors: right on average, covered by its interval, and refused where a judge only guesses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ray_study.analyze.rogan_gladen import ErrorRates, corrected_scores, corrected_share, error_rates
from ray_study.rows import Score


def rates(sensitivity: float, specificity: float, num: int = 100) -> ErrorRates:
    return ErrorRates(sensitivity=sensitivity, specificity=specificity, num_positive=num, num_negative=num)


def test_the_formula_by_hand() -> None:
    found = corrected_share(0.40, 0.05, 100, rates(0.9, 0.8, 50)).estimate
    assert found.value == pytest.approx((0.40 + 0.8 - 1) / 0.7)
    theta = 0.2 / 0.7
    variance = (0.05**2 + (1 - theta) ** 2 * 0.8 * 0.2 / 50 + theta**2 * 0.9 * 0.1 / 50) / 0.7**2
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found.low is not None
    assert found.high is not None
    assert found.low < theta < found.high


def test_a_judge_without_error_changes_nothing_and_few_labels_widen_the_interval() -> None:
    many, few = (corrected_share(0.3, math.sqrt(0.21 / 200), 200, rates(1.0, 1.0, num)).estimate for num in (10**9, 20))
    assert many.value == few.value == pytest.approx(0.3)
    assert many.low == pytest.approx(0.2408, abs=0.004)
    assert many.high == pytest.approx(0.3668, abs=0.004)
    assert few.high - few.low > 1.2 * (many.high - many.low)  # type: ignore[operator]


@pytest.mark.parametrize("pair", [(0.5, 0.5), (0.3, 0.6), (0.0, 1.0)])
def test_a_judge_that_guesses_gives_no_corrected_share_and_says_why(pair: tuple[float, float]) -> None:
    found = corrected_share(0.4, 0.05, 100, rates(*pair))
    assert found.estimate.value is None
    assert found.estimate.num_items == 100
    assert "add up to 1 or less" in found.note


@pytest.mark.parametrize(("share", "value"), [(0.02, 0.0), (0.99, 1.0)])
def test_a_correction_beyond_a_share_is_clipped_and_flagged(share: float, value: float) -> None:
    found = corrected_share(share, 0.01, 200, rates(0.9, 0.9))
    assert found.estimate.value == value
    assert "before it was clipped" in found.note
    assert 0 <= found.estimate.low <= value <= found.estimate.high <= 1  # type: ignore[operator]


def test_error_rates_leave_out_what_the_judge_could_not_judge_and_count_it() -> None:
    found = error_rates([True, True, True, False, False], [True, False, None, False, False])
    assert (found.sensitivity, found.specificity, found.num_positive, found.num_negative, found.num_failed) == (0.5, 1.0, 2, 2, 1)
    with pytest.raises(ValueError, match="0 negative labels were judged, 1 were not"):
        error_rates([True, False], [True, None])


@pytest.mark.parametrize(("theta", "sensitivity", "specificity"), [(0.3, 0.85, 0.9), (0.05, 0.95, 0.97), (0.6, 0.7, 0.8)])
def test_the_interval_covers_the_true_share_about_as_often_as_it_says(theta: float, sensitivity: float, specificity: float) -> None:
    random = np.random.default_rng(5)
    num, labels, covered, values = 300, 100, 0, []
    for _ in range(1500):
        seen = random.binomial(num, theta * sensitivity + (1 - theta) * (1 - specificity)) / num
        measured = rates(random.binomial(labels, sensitivity) / labels, random.binomial(labels, specificity) / labels, labels)
        found = corrected_share(seen, math.sqrt(seen * (1 - seen) / (num - 1)), num, measured).estimate
        assert found.value is not None
        covered += found.low <= theta <= found.high  # type: ignore[operator]
        values.append(found.value)
    assert 0.93 <= covered / 1500 <= 0.99
    assert np.mean(values) == pytest.approx(theta, abs=0.015)


def test_a_score_whose_judge_was_validated_gets_a_corrected_one_beside_it() -> None:
    score = Score(
        run="r",
        step=2,
        benchmark="harm",
        group="safety",
        metric="share_level_5",
        value=0.4,
        standard_error=0.05,
        low=0.3,
        high=0.5,
        num_items=100,
        num_unjudged=3,
    )
    (made,) = corrected_scores([score], {"share_level_5": rates(0.9, 0.8)})
    assert (made.metric, made.num_unjudged, made.benchmark) == ("share_level_5_corrected", 3, "harm")
    assert made.value == pytest.approx(0.2 / 0.7)
    assert corrected_scores([score], {"share_refused": rates(0.9, 0.8)}) == []
