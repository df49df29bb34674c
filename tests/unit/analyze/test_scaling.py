from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from ray_study.analyze.procedures import hits, procedures_by_step, share_repeated
from ray_study.analyze.scaling import SizePoint, fit_law
from ray_study.rows import GradedAttempt

SIZES = (0.6e9, 1.7e9, 4e9, 8e9, 14e9, 32e9)


def points_of(values: np.ndarray, error: float = 0.01) -> list[SizePoint]:
    return [SizePoint(size=size, value=float(value), standard_error=error) for size, value in zip(SIZES, values, strict=True)]


def test_a_law_through_noisy_points_is_the_line_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    x = np.log10(SIZES)
    y = 0.1 + 0.2 * x + rng.normal(0, 0.03, 6)
    found = fit_law(points_of(y, 0.001))
    assert found is not None
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    # All errors are equal and small, so the weights are too, and the spread is the line's own.
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params))
    assert (found.slope_low, found.slope_high) == pytest.approx(tuple(fit.conf_int()[1]), rel=1e-3)
    assert found.predict(4e9) == pytest.approx(float(fit.predict([[1, np.log10(4e9)]])[0]))


def test_points_of_unequal_errors_weigh_as_in_statsmodels_where_nothing_else_spreads_them() -> None:
    x, error = np.log10(SIZES), np.array([0.05, 0.02, 0.04, 0.03, 0.08, 0.02])
    # Nearer to the line than the errors would have it: nothing is left for tau^2.
    y = 0.1 + 0.2 * x + 0.3 * error * np.array([1, -1, 1, -1, 1, -1])
    found = fit_law([SizePoint(size=size, value=float(v), standard_error=float(e)) for size, v, e in zip(SIZES, y, error, strict=True)])
    assert found is not None
    fit = sm.WLS(y, sm.add_constant(x), weights=1 / error**2).fit()
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params))
    # The errors are known and not estimated from the spread: the covariance has no scale.
    half = stats.t.ppf(0.975, 4) * np.sqrt(fit.normalized_cov_params[1, 1])
    assert (found.slope_low, found.slope_high) == pytest.approx((found.slope - half, found.slope + half))


def test_the_interval_of_the_slope_covers_it() -> None:
    rng = np.random.default_rng(2)
    x = np.log10(SIZES)
    covered = 0
    for _ in range(400):
        found = fit_law(points_of(0.1 + 0.2 * x + rng.normal(0, 0.02, 6) + rng.normal(0, 0.02, 6), 0.02))
        assert found is not None
        covered += found.slope_low <= 0.2 <= found.slope_high
    assert 0.91 <= covered / 400 <= 0.99


def test_a_law_holds_only_where_it_predicts_sizes_that_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    x = np.log10(SIZES)
    law = fit_law(points_of(0.1 + 0.2 * x + rng.normal(0, 0.01, 6)))
    assert law is not None
    assert law.holds
    assert law.held_out_error < 0.3 * law.constant_error
    assert law.coverage >= 5 / 6
    none = [fit_law(points_of(0.5 + rng.normal(0, 0.01, 6))) for _ in range(100)]
    assert sum(each is not None and each.holds for each in none) <= 8


def test_too_few_sizes_have_no_law_and_no_law_goes_beyond_its_sizes() -> None:
    points = points_of(np.arange(6) / 10)
    assert fit_law(points[:4]) is None
    assert fit_law([*points[:4], *points[:4]]) is None
    law = fit_law(points)
    assert law is not None
    with pytest.raises(ValueError, match="measure there instead"):
        law.predict(70e9)
    with pytest.raises(ValueError, match="positive size"):
        fit_law([*points, SizePoint(size=0, value=0.5, standard_error=0.1)])


def test_phrases_of_the_lexicon_are_found_as_they_stand() -> None:
    found = hits("Step 1: first, we add.\nWait, that isn’t right. Let me double-check: 3 + 4 = 7. This checks out.")
    assert found == {
        "backtracking": ["wait,", "that isn't right"],
        "verification": ["let me double-check", "this checks out"],
        "subgoals": ["step 1", "first, we"],
    }
    assert hits("The waiter is right. A misstep 1.") == {"backtracking": [], "verification": [], "subgoals": []}


def test_what_stood_there_before_is_a_repetition() -> None:
    sentence = "so the sum of the digits is nine again "
    assert share_repeated(sentence * 10) > 0.8
    assert share_repeated("one two three four five six seven eight nine ten") == 0.0
    assert share_repeated("short") == 0.0


def test_procedures_are_shares_of_attempts_with_their_hits_shown(make_attempt: Callable[..., GradedAttempt]) -> None:
    texts = ["Wait, no. Wait, yes.", "Wait, what?", "It is seven.", "so the sum of the digits is nine again " * 10]
    graded = [make_attempt(item, text=text) for item, text in enumerate(texts)]
    never = make_attempt(9, verdict="error", finish_reason="refused", text="")
    found = {each.procedure: each for each in procedures_by_step({20: [*graded, never]})}
    assert found["backtracking"].share.value == 0.5
    assert found["backtracking"].examples == (("wait,", 3),)
    assert found["backtracking"].per_thousand_words == pytest.approx(1000 * 3 / (4 + 2 + 3 + 90))
    assert found["repetition"].share.value == 0.25
    assert found["verification"].share.value == 0.0
    assert (found["verification"].share.high or 0) > 0
