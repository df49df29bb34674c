from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from ray_study.analyze.lengths import greenwood, median_interval, median_tokens, survival
from ray_study.analyze.thinking import lengths_by_step, parts_of
from ray_study.rows import GradedAttempt

MakeAttempt = Callable[..., GradedAttempt]


def censored(num: int = 80) -> tuple[list[int], list[bool]]:
    rng = np.random.default_rng(5)
    lengths, caps = rng.integers(1, 60, num), rng.choice([20, 50], num)
    return np.minimum(lengths, caps).tolist(), (lengths <= caps).tolist()


def test_the_survival_curve_its_error_and_its_median_are_those_of_statsmodels() -> None:
    tokens, finished = censored()
    expected = SurvfuncRight(np.array(tokens), np.array(finished, dtype=int))
    curve = survival(tokens, finished)
    assert curve.times.tolist() == expected.surv_times.tolist()
    assert curve.share_going == pytest.approx(expected.surv_prob)
    assert greenwood(curve) == pytest.approx(expected.surv_prob_se)
    assert median_tokens(tokens, finished) == expected.quantile(0.5)
    low, high = median_interval(tokens, finished)
    wanted = expected.quantile_ci(0.5, method="cloglog")
    assert low == wanted[0]
    # Theirs ends at the last length that is not rejected; S keeps that height up to the next stop.
    assert high in (wanted[1], next((time for time in curve.times if time > wanted[1]), None))


def test_the_interval_of_a_median_covers_it() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(400):
        lengths = rng.exponential(100, 60)
        tokens = [int(min(length, 200)) for length in lengths]
        low, high = median_interval(tokens, (lengths < 200).tolist())
        covered += (low or 0) <= 100 * np.log(2) <= (high or 1e9)
    assert 0.92 <= covered / 400 <= 0.99


def test_a_median_that_is_not_reached_has_an_open_end() -> None:
    assert median_interval([5, 6, 7, 10, 10, 10, 10, 10], [True, True, True, *[False] * 5])[1] is None
    assert median_interval([5, 5, 5], [True] * 3) == (5.0, 5.0)


def test_thinking_and_answer_divide_the_tokens_as_the_characters(make_attempt: MakeAttempt) -> None:
    found = parts_of(make_attempt(text="<think>" + "a" * 85 + "</think>" + "b" * 100, num_tokens=50))
    assert (found.thinking, found.answer, found.thinking_ended, found.answer_ended) == (25, 25, True, True)
    never_closed = parts_of(make_attempt(verdict="unfinished", text="<think>on and on", num_tokens=90))
    assert (never_closed.thinking, never_closed.answer, never_closed.thinking_ended) == (90, None, False)
    by_the_prompt = parts_of(make_attempt(verdict="unfinished", text="on and on", num_tokens=90, thinking_opened=True))
    assert by_the_prompt.answer is None
    plain = parts_of(make_attempt(text="7", num_tokens=2))
    assert (plain.thinking, plain.answer) == (0, 2)


def test_cut_thinking_is_longer_than_it_looks_and_is_in_no_answer(make_attempt: MakeAttempt) -> None:
    """Trap E9, for the two parts apart."""
    closed = [
        make_attempt(item, text="<think>" + "a" * 85 + "</think>" + "b" * 100, num_tokens=200 * (item + 1), cap=1000) for item in range(3)
    ]
    cut = [make_attempt(item, verdict="unfinished", text="<think>…", num_tokens=1000, cap=1000) for item in range(3, 6)]
    (found,) = lengths_by_step({40: [*closed, *cut]})
    assert (found.step, found.num_attempts, found.share_cut) == (40, 6, 0.5)
    assert found.mean.value == pytest.approx((200 + 400 + 600 + 3000) / 6)
    assert found.mean_of_cap == pytest.approx(0.7)
    assert found.median.value == 600
    assert found.thinking.value == pytest.approx((100 + 200 + 300 + 3000) / 6)
    assert found.answer.value == pytest.approx(200)
    assert found.answer.num_items == 3


def test_attempts_that_were_never_asked_have_no_length(make_attempt: MakeAttempt) -> None:
    never = make_attempt(0, verdict="error", finish_reason="refused", num_tokens=0)
    assert lengths_by_step({0: [never]}) == []
    (found,) = lengths_by_step({0: [never, make_attempt(1, num_tokens=30)]})
    assert found.mean.value == 30
