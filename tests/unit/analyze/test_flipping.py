from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from scipy import stats

from ray_study.analyze import flips
from ray_study.analyze.findings import changes
from ray_study.analyze.flip_pairs import compared, default_pairs
from ray_study.analyze.flip_table import flip_rows
from ray_study.analyze.flipping import FLIP_KINDS, OUTCOMES, Flips, Item, RunStep, attempts_shown, between, look
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import GradedAttempt, Verdict

MakeAttempt = Callable[..., GradedAttempt]
MakeStudy = Callable[..., StudyTables]
BEFORE, AFTER = RunStep(run="r", label="r", step=0), RunStep(run="r", label="r", step=640)


@pytest.fixture
def samples(make_attempt: MakeAttempt) -> Callable[..., tuple[GradedAttempt, ...]]:
    def make(*verdicts: Verdict, item: int = 0) -> tuple[GradedAttempt, ...]:
        return tuple(make_attempt(item, sample, verdict) for sample, verdict in enumerate(verdicts))

    return make


Samples = Callable[..., tuple[GradedAttempt, ...]]


def compare(before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Flips:
    return between("math-500", (BEFORE, before), (AFTER, after))


@pytest.mark.parametrize(
    ("before", "after", "outcome", "kinds"),
    [
        ("correct", "correct", "still_right", ()),
        ("wrong", "wrong", "still_wrong", ()),
        ("correct", "wrong", "right_to_wrong", ("right_to_wrong",)),
        ("wrong", "correct", "wrong_to_right", ("wrong_to_right",)),
        ("correct", "unfinished", "right_to_wrong", ("right_to_wrong", "finished_to_unfinished")),
        ("unfinished", "wrong", "still_wrong", ("unfinished_to_finished",)),
        ("wrong", "no_answer", "still_wrong", ("answered_to_no_answer",)),
        ("no_answer", "correct", "wrong_to_right", ("wrong_to_right", "no_answer_to_answered")),
        ("no_answer", "unfinished", "still_wrong", ("finished_to_unfinished",)),
        ("correct", "timeout", "unjudged", ()),
        ("error", "wrong", "unjudged", ()),
    ],
)
def test_an_item_asked_once_flips_as_its_verdict_does(
    before: Verdict, after: Verdict, outcome: str, kinds: tuple[str, ...], samples: Samples
) -> None:
    item = look("p", samples(before), samples(after))
    assert (item.outcome, item.kinds) == (outcome, kinds)


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (("correct", "wrong"), ("wrong", "wrong"), "right_to_wrong"),
        (("correct", "wrong"), ("wrong", "correct"), "as_often_right"),
        (("correct", "timeout"), ("correct", "wrong"), "right_to_wrong"),
        (("correct", "timeout"), ("correct", "correct"), "still_right"),
        (("timeout", "error"), ("correct", "correct"), "unjudged"),
        (("wrong",), ("wrong", "correct"), "wrong_to_right"),
        ((), ("correct",), "missing"),
    ],
)
def test_an_item_asked_often_flips_where_its_share_of_judged_samples_moves(
    before: tuple[Verdict, ...], after: tuple[Verdict, ...], outcome: str, samples: Samples
) -> None:
    assert look("p", samples(*before), samples(*after)).outcome == outcome


def test_an_attempt_that_was_never_asked_is_neither_finished_nor_unfinished(samples: Samples) -> None:
    never = tuple(replace(each, finish_reason="refused") for each in samples("error"))
    assert look("p", samples("unfinished"), never).kinds == ()


def test_the_attempts_shown_are_the_first_pair_of_one_number_that_shows_the_change(samples: Samples) -> None:
    item = look("p", samples("wrong", "correct", "correct"), samples("correct", "wrong", "no_answer"))
    first, last = attempts_shown(item, "right_to_wrong")
    assert (first.sample, last.sample) == (1, 1)
    assert [each.verdict for each in attempts_shown(item, "answered_to_no_answer")] == ["correct", "no_answer"]


def test_where_no_pair_of_one_number_shows_it_two_that_do_are_shown(samples: Samples) -> None:
    item = look("p", samples("timeout", "correct"), samples("wrong", "correct"))
    assert item.kinds == ("right_to_wrong",)
    first, last = attempts_shown(item, "right_to_wrong")
    assert (first.sample, first.verdict, last.sample, last.verdict) == (1, "correct", 0, "wrong")
    with pytest.raises(ValueError, match="expected 'wrong_to_right'"):
        attempts_shown(item, "wrong_to_right")


def test_outcomes_add_up_to_all_items_and_every_flip_has_attempts_that_show_it(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "countdown"), num_items=30, steps=(0, 20, 640))
    found = compared(study, default_pairs(study, changes(study)))
    assert found
    for each in found:
        counts = each.counts()
        assert sum(counts[outcome] for outcome in OUTCOMES) == len(each.items) == 30
        assert counts["missing"] == 0
        shown = [attempts_shown(item, kind) for item in each.items for kind in item.kinds]
        assert len(shown) == len(flip_rows(each)) == sum(counts[kind] for kind in FLIP_KINDS)
        assert all(first.problem_id == last.problem_id and first.verdict != last.verdict for first, last in shown)


def test_the_exact_p_value_is_that_of_a_binomial_test_on_the_items_that_moved(make_attempt: MakeAttempt) -> None:
    after: list[Verdict] = ["wrong"] * 3 + ["correct"] * 11 + ["wrong"] * 6
    before: list[Verdict] = ["correct"] * 3 + ["wrong"] * 11 + ["wrong"] * 6
    sides = [[make_attempt(item, 0, verdict) for item, verdict in enumerate(side)] for side in (before, after)]
    found = compare(*sides)
    assert found.p_value == pytest.approx(stats.binomtest(3, 14, 0.5).pvalue)
    assert found.difference.p_value == pytest.approx(found.p_value)
    assert found.difference.estimate.value == pytest.approx(8 / 20)
    assert found.churn == pytest.approx(14 / 20)
    assert found.noise is None


def test_churn_of_a_checkpoint_with_a_second_go_of_itself_is_its_noise(make_attempt: MakeAttempt) -> None:
    """All pairs of four samples of which two are right: 4 of 6 differ; of 100 items half are certain."""
    mixed: list[Verdict] = ["correct", "correct", "wrong", "wrong"]
    sure: list[Verdict] = ["correct"] * 4
    side = [make_attempt(item, sample, verdict) for item in range(100) for sample, verdict in enumerate(mixed if item % 2 else sure)]
    found = compare(side, side)
    assert found.noise == pytest.approx(0.5 * 4 / 6)
    assert found.churn == pytest.approx(0.5 * 0.5)
    assert found.counts()["as_often_right"] == 50


def test_an_item_of_one_side_only_is_missing_and_in_no_share(samples: Samples) -> None:
    found = compare([*samples("correct"), *samples("correct", item=1)], samples("wrong"))
    assert found.counts()["missing"] == 1
    assert found.difference.estimate.num_items == 1
    assert found.transitions == {("right", "wrong"): 1, ("right", "missing"): 1}


def test_a_dip_is_compared_with_both_ends_and_data_sets_with_each_other(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("math-cot", "math-nocot"), steps=(0, 20, 640), num_items=60)
    run = study.runs[0].id
    lowest = [
        replace(cell, attempts=tuple(replace(each, verdict="wrong") for each in cell.attempts))
        if (cell.run, cell.step) == (run, 20)
        else cell
        for cell in study.attempts
    ]
    study = replace(study, attempts=lowest)
    pairs = default_pairs(study, changes(study))
    own = [(reason, before.step, after.step) for _, reason, before, after in pairs if before.run == after.run == run]
    assert own == [("first_to_last", 0, 640), ("first_to_bottom", 0, 20), ("bottom_to_last", 20, 640)]
    others = [(before.label, after.label) for _, reason, before, after in pairs if reason == "between_datasets"]
    assert others == [("math-cot", "math-nocot")]


def test_runs_that_differ_in_more_than_their_data_are_not_compared(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("countdown",), steps=(0, 640), num_items=8)
    for changed in ({"seed": 7}, {"settings": "{}"}, {"model": "other"}, {"stage": "pretrain"}, {"status": "failed"}):
        other = replace(study, runs=[study.runs[0], replace(study.runs[1], **changed)])
        assert [pair for pair in default_pairs(other, []) if pair[1] == "between_datasets"] == [], changed
    assert [pair[1] for pair in default_pairs(study, [])] == ["first_to_last", "first_to_last", "between_datasets"]


def test_any_two_checkpoints_are_a_table_with_their_texts(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "countdown"), num_items=30, steps=(0, 20, 640))
    run = study.runs[0]
    table = flips(study, before=(run.id, 0), after=("math-cot", 640))
    assert set(table["benchmark"]) == {"math-500", "countdown"}
    assert table["text_before"].null_count() == 0
    assert flips(study, before=(run.id, 0), after=(run.name, 640), benchmark="countdown").height == table["benchmark"].to_list().count(
        "countdown"
    )
    # Step 0 of the second run was scored with the first: the same weights.
    assert flips(study, before=("math-nocot", 0), after=("math-nocot", 640)).height > 0
    with pytest.raises(ValueError, match="expected one"):
        flips(study, before=("nobody", 0), after=(run.id, 640))
    with pytest.raises(ValueError, match="expected steps that were examined"):
        flips(study, before=(run.id, 0), after=(run.id, 641))


def test_an_item_without_a_flip_has_no_row(samples: Samples) -> None:
    found = compare(samples("correct"), samples("correct"))
    assert flip_rows(found) == []
    assert isinstance(found.items[0], Item)
