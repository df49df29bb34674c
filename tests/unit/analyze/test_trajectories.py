from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import accuracy_at_cap, benchmark_cards, study_trajectories, trajectories
from ray_study.rows import Checkpoint, GradedAttempt, Run, Score

MakeStudy = Callable[..., StudyTables]
MakeRun = Callable[..., Run]


def make_score(run: str, step: int, value: float | None = 0.5) -> Score:
    return Score(
        run=run,
        step=step,
        benchmark="b",
        group="in_domain",
        metric="accuracy",
        value=value,
        standard_error=None,
        low=None,
        high=None,
        num_items=10,
        num_unjudged=0,
    )


def test_a_missing_score_is_none_in_the_trajectory_and_counted(
    make_run: MakeRun, make_checkpoint: Callable[[Run, int], Checkpoint]
) -> None:
    """Trap E14: neither a zero nor a point that is dropped."""
    run = make_run()
    checkpoints = [make_checkpoint(run, step) for step in (0, 10, 20, 40)]
    scores = [make_score(run.id, 0), make_score(run.id, 20, None), make_score(run.id, 40)]
    (found,) = trajectories(scores, [run], checkpoints)
    assert [(point.step, point.value) for point in found.points] == [(0, 0.5), (10, None), (20, None), (40, 0.5)]
    assert found.num_missing == 2


def test_step_zero_is_scored_once_and_shown_in_every_run_of_its_model(
    make_run: MakeRun, make_checkpoint: Callable[[Run, int], Checkpoint]
) -> None:
    runs = [make_run("a"), make_run("b"), make_run("a", model="other")]
    checkpoints = [make_checkpoint(run, step) for run in runs for step in (0, 5)]
    scores = [make_score(runs[0].id, 0, 0.25), *(make_score(run.id, 5) for run in runs)]
    found = trajectories(scores, runs, checkpoints)
    assert [each.points[0].value for each in found] == [0.25, 0.25, None]


def test_a_failed_run_is_in_no_trajectory_though_it_has_scores(make_run: MakeRun) -> None:
    """Trap T8."""
    runs = [make_run("a", status="failed", error="boom"), make_run("b")]
    found = trajectories([make_score(run.id, 5) for run in runs], runs, [])
    assert [each.run.dataset for each in found] == ["b"]


def test_pretraining_that_was_not_examined_is_not_missing(make_run: MakeRun, make_checkpoint: Callable[[Run, int], Checkpoint]) -> None:
    base, run = make_run("words", stage="pretrain"), make_run("a")
    checkpoints = [make_checkpoint(base, 5), make_checkpoint(run, 5)]
    assert [each.run.id for each in trajectories([make_score(run.id, 5)], [base, run], checkpoints)] == [run.id]


def test_a_checkpoint_that_was_never_to_sit_a_benchmark_is_not_missing(
    make_run: MakeRun, make_checkpoint: Callable[[Run, int], Checkpoint]
) -> None:
    run = make_run()
    checkpoints = [make_checkpoint(run, step) for step in (0, 10, 20, 40)]
    scores = [make_score(run.id, 0)]

    def steps(at: object, owner: Run = run) -> list[int]:
        (found,) = trajectories(scores, [owner], checkpoints, examined_at={"b": at})  # type: ignore[dict-item]
        return [point.step for point in found.points]

    assert steps("all") == [0, 10, 20, 40]
    assert steps("final") == [0, 40]
    assert steps([20]) == [0, 20, 40]
    assert steps("final", replace(run, status="owed")) == [0]


def test_a_smaller_cap_makes_longer_attempts_unfinished(make_attempt: Callable[..., GradedAttempt]) -> None:
    """Trap E10."""
    graded = [make_attempt(item, num_tokens=100 * (item + 1)) for item in range(4)]
    assert accuracy_at_cap(graded, 4096).value == 1.0
    assert accuracy_at_cap(graded, 200).value == 0.5
    assert accuracy_at_cap(graded, 99).value == 0.0
    with pytest.raises(ValueError, match="capped at 4096"):
        accuracy_at_cap(graded, 5000)


def test_at_its_own_cap_the_accuracy_is_the_score(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), steps=(0, 40))
    scores = {(each.run, each.step): each for each in study.scores if each.metric == "accuracy"}
    for cell in study.attempts:
        found = accuracy_at_cap(cell.attempts, 4096)
        assert (found.value, found.low, found.high) == pytest.approx(
            (scores[cell.run, cell.step].value, scores[cell.run, cell.step].low, scores[cell.run, cell.step].high)
        )


def test_an_attempt_cut_at_a_smaller_cap_is_judged_even_where_it_was_not(make_attempt: Callable[..., GradedAttempt]) -> None:
    graded = [make_attempt(0), make_attempt(1, verdict="timeout", num_tokens=3000)]
    assert accuracy_at_cap(graded, 4096).num_items == 1
    assert accuracy_at_cap(graded, 1000).value == 0.5


def test_a_benchmark_without_a_card_still_has_one(make_study: MakeStudy) -> None:
    study = replace(make_study(benchmarks=("advbench", "math-500"), steps=(0,)), benchmarks=[])
    cards = benchmark_cards(study)
    assert [(card.benchmark, card.metric) for card in cards] == [("math-500", "accuracy"), ("advbench", "share_refused")]
    assert len(study_trajectories(study)) == 4
