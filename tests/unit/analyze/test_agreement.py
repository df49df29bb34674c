"""What a difference is called, and that little evidence is never called agreement."""

from __future__ import annotations

import numpy as np
import pytest

from ray_study.analyze.agreement import agreement, detectable_paired, difference_of_shares
from ray_study.analyze.comparisons import paired_difference


@pytest.mark.parametrize(
    ("p_adjusted", "detectable", "is_share", "verdict"),
    [
        (0.01, 0.05, True, "differs"),
        (0.01, 0.5, True, "differs"),
        (0.4, 0.05, True, "agrees"),
        (0.4, 0.3, True, "not comparable"),
        (0.4, 3.0, False, "agrees"),
        (None, None, True, "not comparable"),
    ],
)
def test_a_difference_that_could_have_been_missed_is_no_agreement(
    p_adjusted: float | None, detectable: float | None, is_share: bool, verdict: str
) -> None:
    found = agreement(p_adjusted, detectable, is_share=is_share)
    assert (found.verdict, bool(found.why)) == (verdict, verdict == "not comparable")


def test_the_interval_of_two_shares_is_newcombes() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 and 48 of 80.
    found, p_value, _ = difference_of_shares(56 / 70, 48 / 80, 70, 80)
    assert (found.value, found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert 0.001 < p_value < 0.05


def test_two_perfect_scores_do_not_differ_and_keep_a_width() -> None:
    found, p_value, detectable = difference_of_shares(1.0, 1.0, 30, 30)
    assert p_value == 1.0
    assert (found.low or 0.0) < -0.05 < 0.05 < (found.high or 0.0)
    assert detectable > 0.1


def test_equal_shares_are_called_different_in_about_one_case_in_twenty() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.binomial(600, 0.5, (2000, 2)) / 600
    clear = sum(difference_of_shares(one, other, 600, 600)[1] < 0.05 for one, other in drawn)
    assert 0.03 < clear / 2000 < 0.07


def test_a_difference_of_the_detectable_size_is_found_about_four_times_in_five() -> None:
    rng = np.random.default_rng(4)
    _, _, detectable = difference_of_shares(0.5, 0.5, 600, 600)
    one, other = rng.binomial(600, 0.5 + detectable, 2000) / 600, rng.binomial(600, 0.5, 2000) / 600
    found = sum(difference_of_shares(a, b, 600, 600)[1] < 0.05 for a, b in zip(one, other, strict=True))
    assert 0.75 < found / 2000 < 0.87


def test_a_paired_difference_of_the_detectable_size_is_found_about_four_times_in_five() -> None:
    rng = np.random.default_rng(5)
    size = 0.2
    before = {str(item): float(value) for item, value in enumerate(rng.normal(0, 1, 200))}
    noise = [dict(zip(before, rng.normal(0, 1, 200), strict=True)) for _ in range(400)]
    found = [paired_difference(before, {item: before[item] + size + each[item] for item in before}) for each in noise]
    detectable = np.mean([detectable_paired(each.estimate, 200) for each in found])
    assert detectable == pytest.approx(size, rel=0.02)
    assert 0.74 < np.mean([(each.p_value or 1.0) < 0.05 for each in found]) < 0.86
