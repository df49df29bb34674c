"""Scores of several samples, and of thinking and answer, beside the accuracy of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ray_study.analyze.further import further_scores
from ray_study.analyze.shares import at_k
from ray_study.analyze.thinking import lengths_by_step
from ray_study.rows import GradedAttempt, Score, Verdict

Make = Callable[..., GradedAttempt]


def scores(graded: Sequence[GradedAttempt], num_samples: int) -> dict[str, Score]:
    found = further_scores(graded, run="r", step=8, benchmark="aime", group="in_domain", num_samples=num_samples)
    assert {(each.run, each.step, each.benchmark, each.group) for each in found} <= {("r", 8, "aime", "in_domain")}
    return {each.metric: each for each in found}


def asked(make: Make, verdicts: Sequence[Sequence[Verdict]], **changes: object) -> list[GradedAttempt]:
    return [make(item, sample, verdict, **changes) for item, row in enumerate(verdicts) for sample, verdict in enumerate(row)]


def test_several_samples_give_pass_and_majority_of_as_many(make_attempt: Make) -> None:
    graded = asked(make_attempt, [["correct", "wrong", "wrong"], ["correct", "correct", "wrong"], ["no_answer"] * 3])
    found = scores(graded, 3)
    assert {name: each.value for name, each in found.items()} == _expected(graded)
    assert found["pass_at_3"].value == 2 / 3
    assert found["pass_all_3"].value == 0.0
    assert found["pass_at_3"].low is not None


def _expected(graded: Sequence[GradedAttempt]) -> dict[str, float | None]:
    return {name.replace("@", "_at_").replace("^", "_all_"): each.value for name, each in at_k(graded, 3).items()}


def test_an_item_of_which_a_sample_could_not_be_judged_is_in_none_of_them(make_attempt: Make) -> None:
    found = scores(asked(make_attempt, [["correct", "timeout"], ["wrong", "wrong"]]), 2)
    assert (found["pass_at_2"].value, found["pass_at_2"].num_items, found["pass_at_2"].num_unjudged) == (0.0, 1, 1)
    assert scores(asked(make_attempt, [["correct", "timeout"], ["error", "wrong"]]), 2) == {}


def test_one_sample_and_what_is_not_right_or_wrong_have_none(make_attempt: Make) -> None:
    assert scores(asked(make_attempt, [["correct"], ["wrong"]]), 1) == {}
    assert scores(asked(make_attempt, [["correct", "wrong"], ["wrong", "wrong"]], kind="refusal"), 2) == {}
    assert scores(asked(make_attempt, [["timeout", "timeout"]]), 2) == {}


def test_attempts_that_think_have_a_length_of_their_thinking_and_of_their_answer(make_attempt: Make) -> None:
    graded = [make_attempt(0, text="<think>" + "x" * 77 + "</think>" + "y" * 8, num_tokens=100), make_attempt(1)]
    found = scores(graded, 1)
    (length,) = lengths_by_step({8: graded})
    assert {name: (each.value, each.low, each.high) for name, each in found.items()} == {
        "thinking_tokens": (length.thinking.value, length.thinking.low, length.thinking.high),
        "answer_tokens": (length.answer.value, length.answer.low, length.answer.high),
    }
    assert found["thinking_tokens"].value == 46.0
    assert found["answer_tokens"].value == 54.0


def test_thinking_that_never_ended_has_no_answer_to_measure(make_attempt: Make) -> None:
    found = scores([make_attempt(0, verdict="unfinished", text="x" * 50, thinking_opened=True), make_attempt(1)], 1)
    assert found["answer_tokens"].num_items == 1
    assert found["thinking_tokens"].num_items == 2
