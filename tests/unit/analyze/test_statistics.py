from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import inspect_ai.scorer
import numpy as np
import pytest
import statsmodels.api as sm
from inspect_ai.scorer import SampleScore, stderr

from ray_study.analyze.intervals import t_interval, wilson_interval
from ray_study.analyze.statistics import avg_at_k, clustered_standard_error, independent_units, score, summarize
from ray_study.rows import GradedAttempt, Score

MakeAttempt = Callable[..., GradedAttempt]


def scores_of(graded: list[GradedAttempt], num_samples: int, expected_items: int) -> dict[str, Score]:
    rows = summarize(graded, run="r", step=3, benchmark="b", group="in_domain", num_samples=num_samples, expected_items=expected_items)
    return {row.metric: row for row in rows}


def test_the_standard_error_over_items_is_the_textbook_one() -> None:
    values = [0.0, 0.5, 1.0, 1.0]
    # Mean 0.625; squared deviations 0.390625 + 0.015625 + 2 * 0.140625 = 0.6875; sqrt(0.6875 / (4 * 3)).
    assert clustered_standard_error(values, list("abcd")) == pytest.approx(math.sqrt(0.6875 / 12))


def test_the_clustered_standard_error_equals_the_one_worked_out_by_hand() -> None:
    # Two clusters with sums of deviations +1 and -1: sqrt(2/1 * (1 + 1)) / 4 = 0.5.
    assert clustered_standard_error([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]) == pytest.approx(0.5)
    assert clustered_standard_error([1.0, 0.0], ["a", "a"]) is None


@pytest.mark.parametrize("num_clusters", [7, 60])
def test_the_standard_errors_are_those_of_inspect_ai(num_clusters: int) -> None:
    rng = np.random.default_rng(10)
    clusters = rng.integers(0, num_clusters, 150).tolist()
    values = (rng.random(150) + 0.3 * rng.random(num_clusters)[clusters]).tolist()
    scored = [
        SampleScore(score=inspect_ai.scorer.Score(value=value, metadata={"source": cluster}), sample_metadata={"source": cluster})
        for value, cluster in zip(values, clusters, strict=True)
    ]
    assert clustered_standard_error(values, [str(number) for number in range(150)]) == pytest.approx(stderr()(scored), rel=1e-9)
    assert clustered_standard_error(values, [str(each) for each in clusters]) == pytest.approx(stderr(cluster="source")(scored), rel=1e-9)


@pytest.mark.parametrize("num_clusters", [7, 60])
def test_the_clustered_standard_error_is_that_of_statsmodels(num_clusters: int) -> None:
    rng = np.random.default_rng(9)
    clusters = rng.integers(0, num_clusters, 200)
    values = rng.random(200) + 0.3 * rng.random(num_clusters)[clusters]
    fit = sm.OLS(values, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
    num = len(set(clusters.tolist()))
    expected = fit.bse[0] * math.sqrt(num / (num - 1))
    assert clustered_standard_error(values.tolist(), [str(cluster) for cluster in clusters]) == pytest.approx(expected, rel=1e-9)


def test_the_standard_error_is_over_items_and_not_over_repeated_runs() -> None:
    """Trap E8, with the numbers of AIME24: 30 items, 10 samples, Var(p) = 0.12, E p(1-p) = 0.10: 6.6 points against 1.8."""
    rng = np.random.default_rng(1)
    # A Beta with mean 0.337 and variance 0.12 has E p(1-p) = 0.337 - 0.337^2 - 0.12 = 0.103.
    mean, variance = 0.337, 0.12
    size = mean * (1 - mean) / variance - 1
    errors, wrong = [], []
    for _ in range(200):
        samples = rng.random((30, 10)) < rng.beta(mean * size, (1 - mean) * size, (30, 1))
        errors.append(score([float(x) for x in samples.mean(axis=1)], num_samples=10).standard_error)
        wrong.append(samples.mean(axis=0).std(ddof=1) / math.sqrt(10))
    assert np.mean(errors) == pytest.approx(0.066, abs=0.004)
    assert np.mean(wrong) == pytest.approx(0.018, abs=0.002)


@pytest.mark.parametrize(
    ("share", "num", "low", "high"),
    # 0 of 10, 5 of 10, 10 of 10 and 81 of 263: the values in Newcombe 1998 and the closed form z^2 / (n + z^2).
    [(0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1.0, 10, 0.7225, 1.0), (81 / 263, 263, 0.2553, 0.3662)],
)
def test_the_wilson_interval_has_its_published_values(share: float, num: int, low: float, high: float) -> None:
    assert wilson_interval(share, num) == pytest.approx((low, high), abs=5e-5)


def test_the_t_interval_has_its_tabled_width() -> None:
    assert t_interval(1.0, 0.1, 5) == pytest.approx((1 - 0.27764, 1 + 0.27764), abs=1e-5)


def test_no_success_at_all_still_has_an_interval_with_a_width() -> None:
    for num_samples in (1, 4):
        found = score([0.0] * 50, num_samples=num_samples)
        assert found.value == 0.0
        assert found.low == 0.0
        assert found.high == pytest.approx(wilson_interval(0.0, 50)[1])


def test_clusters_that_agree_count_as_one_item_each_where_the_interval_is_wilsons() -> None:
    clusters = [f"c{number % 6}" for number in range(60)]
    assert score([1.0] * 60, clusters, num_samples=1).low == pytest.approx(wilson_interval(1.0, 6)[0])


def test_clusters_are_used_only_where_they_are_shared_and_at_least_five() -> None:
    assert independent_units(["a", "b"], ["a", "b"]) == ["a", "b"]
    assert independent_units(list("abcdef"), ["x", "x", "y", "y", "z", "z"]) == list("abcdef")
    shared = [f"c{number // 2}" for number in range(10)]
    assert independent_units([str(number) for number in range(10)], shared) == shared


def test_shared_sources_widen_the_interval() -> None:
    means = [float(number // 4 % 2) for number in range(48)]
    clusters = [f"c{number // 4}" for number in range(48)]
    alone, clustered = score(means, num_samples=1), score(means, clusters, num_samples=1)
    assert (clustered.standard_error or 0) > 1.9 * (alone.standard_error or 1)
    assert (clustered.low or 1) < (alone.low or 0)


def test_the_average_over_samples_divides_by_those_received_and_a_shortfall_raises() -> None:
    """Trap E7."""
    assert avg_at_k({"a": [1.0, None, 0.0], "b": [1.0, 1.0, None]}, num_samples=3, expected_items=2) == {"a": 0.5, "b": 1.0}
    with pytest.raises(ValueError, match="expected 4"):
        avg_at_k({"a": [1.0, 1.0], "b": [1.0]}, num_samples=2, expected_items=2)
    with pytest.raises(ValueError, match="found 2 attempts at 1 items"):
        avg_at_k({"a": [1.0, 1.0]}, num_samples=2, expected_items=2)


def test_summarize_raises_on_a_shortfall_and_on_an_attempt_that_stands_twice(make_attempt: MakeAttempt) -> None:
    graded = [make_attempt(item) for item in range(3)]
    with pytest.raises(ValueError, match="found 3 attempts"):
        scores_of(graded, 1, 4)
    with pytest.raises(ValueError, match="found 0 attempts"):
        scores_of([], 1, 4)
    with pytest.raises(ValueError, match="stand twice"):
        scores_of([*graded, make_attempt(0)], 1, 4)


def test_unjudged_attempts_are_counted_and_are_never_a_zero(make_attempt: MakeAttempt) -> None:
    """Traps V3 and E14."""
    graded = [make_attempt(0), make_attempt(1, verdict="wrong"), make_attempt(2, verdict="timeout"), make_attempt(3, verdict="error")]
    found = scores_of(graded, 1, 4)
    assert found["accuracy"].value == 0.5
    assert (found["accuracy"].num_items, found["accuracy"].num_unjudged) == (2, 2)
    assert found["share_unjudged"].value == 0.5


def test_a_benchmark_that_nobody_could_judge_has_no_accuracy(make_attempt: MakeAttempt) -> None:
    found = scores_of([make_attempt(item, verdict="timeout") for item in range(3)], 1, 3)
    accuracy = found["accuracy"]
    assert (accuracy.value, accuracy.standard_error, accuracy.low, accuracy.high) == (None, None, None, None)
    assert (accuracy.num_items, accuracy.num_unjudged) == (0, 3)
    assert found["share_finished"].value == 1.0


def test_every_metric_of_a_small_benchmark_is_as_counted_by_hand(make_attempt: MakeAttempt) -> None:
    graded = [
        make_attempt(0, 0, num_tokens=10),
        make_attempt(0, 1, "unfinished", num_tokens=40, cap=40),
        make_attempt(1, 0, "no_answer", num_tokens=20, lenient_verdict="correct"),
        make_attempt(1, 1, "wrong", num_tokens=30),
    ]
    graded = [replace(attempt, cap=40) for attempt in graded]
    found = scores_of(graded, 2, 2)
    assert next(iter(found)) == "accuracy"
    values = {metric: row.value for metric, row in found.items()}
    assert values == {
        "accuracy": 0.25,
        "lenient_accuracy": 0.5,
        "share_boxed": 0.5,
        "share_finished": 0.75,
        "share_unjudged": 0.0,
        "response_tokens": 25.0,
        "response_tokens_median": 20.0,
    }
    # Item means 0.5 and 0.
    assert found["accuracy"].standard_error == pytest.approx(0.25)
    assert found["response_tokens"].standard_error == pytest.approx(0.0)
    assert {(row.run, row.step, row.benchmark, row.group) for row in found.values()} == {("r", 3, "b", "in_domain")}


def test_refusals_have_a_share_refused_and_nothing_boxed(make_attempt: MakeAttempt) -> None:
    graded = [make_attempt(item, verdict="correct" if item < 3 else "wrong", kind="refusal", answer=None) for item in range(4)]
    found = scores_of(graded, 1, 4)
    assert found["share_refused"].value == 0.75
    assert not {"accuracy", "lenient_accuracy", "share_boxed"} & set(found)


def test_an_attempt_that_was_never_asked_has_no_length(make_attempt: MakeAttempt) -> None:
    refused = make_attempt(1, verdict="error", finish_reason="refused", num_tokens=0)
    found = scores_of([make_attempt(0), refused], 1, 2)
    assert found["response_tokens"].value == 100.0
    assert found["share_finished"].value == 1.0
    assert found["accuracy"].num_unjudged == 1
    nobody = scores_of([refused], 1, 1)
    assert nobody["response_tokens"].value is None


def test_scores_do_not_depend_on_the_order_of_attempts(make_attempt: MakeAttempt) -> None:
    graded = [make_attempt(item, sample, "correct" if (item + sample) % 3 else "wrong") for item in range(9) for sample in range(3)]
    assert scores_of(graded, 3, 9) == scores_of(graded[::-1], 3, 9)


def _following(
    make_attempt: Callable[..., GradedAttempt], item: int, strict: list[bool], loose: list[bool], **changes: Any
) -> GradedAttempt:
    details = json.dumps({"instructions": ["x:y"] * len(strict), "strict": strict, "loose": loose})
    verdict, lenient = ("correct" if all(each) else "wrong" for each in (strict, loose))
    return make_attempt(item, **{"kind": "instructions", "verdict": verdict, "lenient_verdict": lenient, "details": details, **changes})


def test_the_four_accuracies_of_ifeval_are_by_prompt_and_by_instruction_strict_and_loose(
    make_attempt: Callable[..., GradedAttempt],
) -> None:
    graded = [
        _following(make_attempt, 0, [True, True, False], [True, True, True]),
        _following(make_attempt, 1, [True], [True]),
        _following(make_attempt, 2, [False, False], [False, True], verdict="unfinished", lenient_verdict="unfinished"),
        _following(make_attempt, 3, [], [], verdict="timeout", lenient_verdict="timeout", details=""),
    ]
    scores = scores_of(graded, 1, 4)
    assert (scores["accuracy"].value, scores["lenient_accuracy"].value) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    strict, loose = scores["instruction_accuracy"], scores["lenient_instruction_accuracy"]
    assert (strict.value, strict.num_items, strict.num_unjudged) == (3 / 6, 3, 1)
    assert loose.value == pytest.approx(5 / 6)
    # Sums of (followed - share) by prompt: 2 - 1.5, 1 - 0.5, 0 - 1; six instructions in three prompts.
    assert strict.standard_error == pytest.approx(math.sqrt(3 / 2 * (0.5**2 + 0.5**2 + 1)) / 6)
    assert "share_boxed" not in scores, "nobody asks a box for it"


def test_samples_of_one_prompt_are_averaged_before_instructions_are(make_attempt: Callable[..., GradedAttempt]) -> None:
    graded = [
        _following(make_attempt, 0, [True, False], [True, False]),
        _following(make_attempt, 0, [False, False], [False, False], sample=1),
        _following(make_attempt, 1, [True], [True]),
        _following(make_attempt, 1, [True], [True], sample=1),
    ]
    assert scores_of(graded, 2, 2)["instruction_accuracy"].value == pytest.approx((0.5 + 0 + 1) / 3)
