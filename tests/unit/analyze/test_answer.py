"""The three sentences: what they claim, and what they may not claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ray_study.analyze.answer import answer, average_change
from ray_study.analyze.comparisons import holm
from ray_study.analyze.findings import all_attempts_by_step, changes
from ray_study.analyze.page.content import gather
from ray_study.analyze.study_tables import StudyTables

MakeStudy = Callable[..., StudyTables]


def sentences(study: StudyTables) -> list[str]:
    material = gather(study)
    return answer(study, material.changes, material.by_step, material.paths)


def test_the_answer_is_three_sentences_in_domain_elsewhere_and_in_safety(make_study: MakeStudy) -> None:
    first, second, third = sentences(make_study(benchmarks=("math-500", "mmlu-pro", "advbench"), num_items=30, steps=(0, 40, 640)))
    assert first.startswith("In domain (math-500), of 2 comparisons of a last step with its first, ")
    assert second.startswith("Out of domain and in general (mmlu-pro), of 2 comparisons")
    assert third.startswith("In safety (advbench), of 2 comparisons")
    assert "safety lost is" in third


def test_what_was_not_measured_is_said_to_be_unknown(make_study: MakeStudy) -> None:
    first, second, third = sentences(make_study(benchmarks=("math-500",), num_items=20, steps=(0, 640)))
    assert "math-500" in first
    assert second == "Out of domain and in general nothing is known: the study has no such benchmark."
    assert third == "What it cost in safety is not known: the study has no such benchmark."


def test_a_benchmark_that_is_not_scored_yet_is_not_said_to_be_absent(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "advbench"), num_items=8, steps=(0, 10))
    study = replace(study, scores=[each for each in study.scores if each.benchmark != "advbench"])
    assert sentences(study)[2] == "What it cost in safety is not known: advbench has no score yet."


def test_a_change_that_holm_takes_back_is_not_claimed(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "countdown", "gsm8k-hard", "mmlu-pro"), num_items=40, steps=(0, 20))
    found = changes(study)
    raw = [change.difference.p_value for change in found if change.difference]
    assert [change.difference_p_value for change in found] == holm([p for p in raw if p is not None])
    # As if each were just clear by itself: of eight none is after adjustment.
    weak = [
        replace(change, difference=replace(change.difference, p_value=0.04), difference_p_value=0.32)
        for change in found
        if change.difference
    ]
    (first, *_) = answer(study, weak, all_attempts_by_step(study), {})
    assert "0 rose, 0 fell and 4 did not clearly change" in first


def test_a_design_that_could_not_have_seen_ten_points_says_so(make_study: MakeStudy) -> None:
    small = sentences(make_study(benchmarks=("math-500",), num_items=8, steps=(0, 10), datasets=("math-cot",)))[0]
    assert "could have missed a change of ten points" in small
    assert "a dip of ten points could have been missed" in small
    large = sentences(make_study(benchmarks=("math-500",), num_items=1500, steps=(0, 640), datasets=("countdown",)))[0]
    assert "1 rose, 0 fell" in large
    assert "missed" not in large


def test_the_average_over_runs_counts_their_shared_items_once(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), num_items=60, steps=(0, 640))
    found, attempts = changes(study), all_attempts_by_step(study)
    one = average_change(found[:1], attempts)
    assert found[0].difference is not None
    estimate = found[0].difference.estimate
    assert one.value == pytest.approx(estimate.value)
    assert one.standard_error == pytest.approx(estimate.standard_error)
    # The same run twice is no more than once.
    assert average_change([found[0], found[0]], attempts).standard_error == pytest.approx(one.standard_error)


def test_a_study_without_a_score_has_one_sentence(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), failed=("math-cot", "math-nocot"), steps=(0,))
    assert sentences(study) == ["There is no answer yet: none of the 2 runs has a score (2 failed)."]
