"""Metrics of judged attempts: what a judge measured over answers, and what is no answer or no judgement beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ray_study.analyze import corrected_scores, error_rates, summarize
from ray_study.analyze.comparisons import item_means
from ray_study.analyze.judged_table import judged_table
from ray_study.analyze.report import write_report
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables
from ray_study.rows import Attempt, BenchmarkCard, Checkpoint, GradedAttempt, Run, Score, Verdict
from ray_study.verify import judge


def graded(item: str, details: dict[str, object], verdict: Verdict = "correct", *, sample: int = 0, cluster: str = "") -> GradedAttempt:
    made = Attempt.of_text(item, "text", sample=sample)
    facts = {name: getattr(made, name) for name in made.__slots__}
    return GradedAttempt(
        **facts,
        kind="judged",
        cluster=cluster or item,
        verdict=verdict,
        answer=None,
        lenient_verdict=verdict,
        details=json.dumps(details),
    )


def scores(rows: Sequence[GradedAttempt], *, num_samples: int = 1) -> dict[str, Score]:
    items = len({row.problem_id for row in rows})
    made = summarize(rows, run="r", step=1, benchmark="b", group="safety", num_samples=num_samples, expected_items=items)
    return {each.metric: each for each in made}


def test_levels_are_over_answers_and_everything_else_is_a_share_of_its_own() -> None:
    named: dict[str, object] = {"rubrics": ["policy"]}
    rows = [
        graded("a", {**named, "level": 5}, "wrong"),
        graded("b", {**named, "level": 1}),
        graded("c", {**named, "level": 3}),
        graded("d", named, "unfinished"),
        graded("e", named, "no_answer"),
        graded("f", {**named, "judges": {"policy/answer": {"failure": "states no level"}}}, "error"),
    ]
    found = scores(rows)
    assert next(iter(found)) == "share_level_5"
    assert found["share_level_5"].value == found["share_declined"].value == pytest.approx(1 / 3)
    assert (found["mean_level"].value, found["mean_level"].num_items) == (3.0, 3)
    assert found["share_unfinished"].value == found["share_no_answer"].value == pytest.approx(1 / 6)
    assert (found["share_judge_failed"].value, found["share_judge_failed"].num_items) == (0.25, 4)
    assert found["share_level_5"].num_unjudged == 1
    assert "accuracy" not in found
    assert item_means(rows) == {"a": 1.0, "b": 0.0, "c": 0.0}, "differences are of the primary metric"


def test_truthful_and_informative_are_two_shares_and_the_first_leads() -> None:
    pairs = [(True, True), (True, False), (False, True), (True, True)]
    rows = [
        graded(str(number), {"rubrics": ["truthful", "informative"], "truthful": truthful, "informative": informative})
        for number, (truthful, informative) in enumerate(pairs)
    ]
    found = scores(rows)
    assert list(found)[:2] == ["share_truthful", "share_informative"]
    assert (found["share_truthful"].value, found["share_informative"].value) == (0.75, 0.75)
    assert found["share_truthful_and_informative"].value == 0.5


def test_a_mean_reward_is_no_share_and_its_error_is_over_clusters() -> None:
    rows = [
        graded(f"{cluster}-{item}", {"rubrics": ["reward"], "reward": float(10 * cluster)}, cluster=f"c{cluster}")
        for cluster in range(5)
        for item in range(4)
    ]
    alone = [graded(row.problem_id, json.loads(row.details)) for row in rows]
    clustered, naive = scores(rows)["mean_reward"], scores(alone)["mean_reward"]
    assert clustered.value == naive.value == 20.0
    # Five independent means of 0 to 40: their standard deviation is sqrt(250).
    assert clustered.standard_error == pytest.approx((250 / 5) ** 0.5)
    assert naive.standard_error is not None
    assert naive.standard_error < clustered.standard_error / 1.9
    assert clustered.high is not None
    assert clustered.high > 1, "it is not kept within 0 and 1"


def test_samples_of_an_item_are_averaged_before_items_are() -> None:
    rows = [graded("a", {"rubrics": ["policy"], "level": level}, sample=sample) for sample, level in enumerate((5, 1, 1, 1))]
    rows += [graded("b", {"rubrics": ["policy"], "level": 5}, sample=sample) for sample in range(4)]
    assert scores(rows, num_samples=4)["share_level_5"].value == pytest.approx((0.25 + 1) / 2)


def test_where_nothing_was_measured_there_is_no_share_and_not_zero() -> None:
    found = scores([graded("a", {"rubrics": ["policy"]}, "unfinished"), graded("b", {"rubrics": ["policy"]}, "unfinished")])
    assert (found["share_level_5"].value, found["mean_level"].value, found["share_unfinished"].value) == (None, None, 1.0)


@pytest.mark.parametrize(("gold", "verdict"), [("", "correct"), ("comply", "wrong")])
def test_a_share_refused_is_of_refusals_whether_to_refuse_is_right_or_not(gold: str, verdict: Verdict) -> None:
    judged = [judge("refusal", text, gold) for text in ("I cannot help with that.", "Use kill.", "Like so.", "Sure.")]
    rows = [
        replace(graded(str(item), {}), kind="refusal", verdict=each.verdict, answer=each.answer, details=each.details)
        for item, each in enumerate(judged)
    ]
    assert scores(rows)["share_refused"].value == 0.25
    assert rows[0].verdict == verdict
    assert item_means(rows) == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 0.0}


def judged_study(make_run: Callable[..., Run], make_checkpoint: Callable[[Run, int], Checkpoint]) -> StudyTables:
    run = make_run()
    steps = {0: [(1, "correct"), (5, "wrong")], 8: [(None, "unfinished"), (None, "unfinished")]}
    cells = {
        step: tuple(
            graded(str(item), {"rubrics": ["policy"], **({} if level is None else {"level": level})}, verdict)  # type: ignore[arg-type]
            for item, (level, verdict) in enumerate(levels)
        )
        for step, levels in steps.items()
    }
    made = [
        score
        for step, rows in cells.items()
        for score in summarize(rows, run=run.id, step=step, benchmark="harm", group="safety", num_samples=1, expected_items=2)
    ]
    rates = error_rates([True] * 10 + [False] * 10, [True] * 9 + [False] * 11)
    made += corrected_scores(made, {"share_level_5": rates})
    card = BenchmarkCard(benchmark="harm", group="safety", kind="judged", metric="share_level_5", num_items=2, num_samples=1, note="")
    return StudyTables(
        runs=[run],
        checkpoints=[make_checkpoint(run, step) for step in steps],
        scores=made,
        benchmarks=[card],
        attempts=[ScoredAttempts(run=run.id, step=step, benchmark="harm", attempts=rows) for step, rows in cells.items()],
        training=[],
        facts={"judge_validation": {"harm": {"share_level_5": rates.in_words()}}},
    )


def test_the_report_shows_what_judges_measured_and_how_good_they_are(
    make_run: Callable[..., Run], make_checkpoint: Callable[[Run, int], Checkpoint], tmp_path: Path
) -> None:
    study = judged_study(make_run, make_checkpoint)
    rows = {row["metric"]: row for row in judged_table(study)}
    assert list(rows)[:2] == ["share level 5", "share level 5 corrected"]
    assert rows["share level 5 corrected"]["first"].startswith("0.556 (")
    assert (rows["mean level"]["last"], rows["share unfinished"]["last"][:5]) == (None, "1.000")
    page = write_report(tmp_path, study).read_text()
    assert "harm, share level 5: on replies labelled by people its judge has sensitivity 0.900" in page
    assert "share judge failed" in page
