from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from ray_study.analyze.makeup import PARTS, made_of, makeups
from ray_study.rows import GradedAttempt, Verdict

MakeAttempt = Callable[..., GradedAttempt]


def attempts(make_attempt: MakeAttempt, verdicts: list[Verdict], **changes: object) -> list[GradedAttempt]:
    return [make_attempt(item, verdict=verdict, **changes) for item, verdict in enumerate(verdicts)]


def test_the_parts_of_an_accuracy_are_as_counted_by_hand_and_multiply_to_it(make_attempt: MakeAttempt) -> None:
    graded = attempts(make_attempt, [*["correct"] * 3, *["wrong"] * 3, *["no_answer"] * 2, *["unfinished"] * 2])
    # One is right before its cap cut it.
    graded[0] = make_attempt(0, finish_reason="length")
    (found,) = makeups({5: graded})
    assert (found.finished, found.right_though_cut) == (0.7, 0.1)
    assert found.answered == pytest.approx(5 / 7)
    assert found.right == pytest.approx(2 / 5)
    assert found.accuracy == pytest.approx(0.3)
    assert found.finished * (found.answered or 0) * (found.right or 0) + found.right_though_cut == pytest.approx(found.accuracy)


def test_unjudged_attempts_are_in_no_part_and_a_refusal_is_an_answer(make_attempt: MakeAttempt) -> None:
    graded = [make_attempt(item, kind="refusal", verdict="correct" if item < 3 else "timeout", answer=None) for item in range(6)]
    (found,) = makeups({0: graded})
    assert (found.accuracy, found.answered, found.right) == (1.0, 1.0, 1.0)
    assert makeups({}) == []


def test_a_share_of_nothing_is_missing(make_attempt: MakeAttempt) -> None:
    (found,) = makeups({0: attempts(make_attempt, ["unfinished"] * 3)})
    assert (found.accuracy, found.finished, found.answered, found.right) == (0.0, 0.0, None, None)


def test_forgetting_to_stop_and_forgetting_how_are_told_apart(make_attempt: MakeAttempt) -> None:
    before = attempts(make_attempt, [*["correct"] * 30, *["wrong"] * 10])
    to_stop = attempts(make_attempt, [*["unfinished"] * 20, *["correct"] * 15, *["wrong"] * 5])
    how = attempts(make_attempt, [*["correct"] * 10, *["wrong"] * 30])
    found = made_of((0, before), (20, to_stop))
    assert found.change.value == pytest.approx(-0.375)
    assert found.parts["finished"].value == pytest.approx(-0.375)
    assert found.parts["right"].value == pytest.approx(0.0)
    assert (found.parts["finished"].high or 0) < -0.2
    found = made_of((0, before), (20, how))
    assert found.parts["right"].value == pytest.approx(-0.5)
    assert (found.parts["finished"].value, found.parts["answered"].value) == (0.0, 0.0)


def test_the_parts_add_up_and_are_the_mean_over_all_orders_of_change(make_attempt: MakeAttempt) -> None:
    before = attempts(make_attempt, [*["correct"] * 6, *["wrong"] * 2, "no_answer", "unfinished"])
    after = attempts(make_attempt, [*["correct"] * 2, *["wrong"] * 2, *["no_answer"] * 2, *["unfinished"] * 4])
    found = made_of((0, before), (20, after))
    old, new = [(each.finished, each.answered or 0, each.right or 0) for each in (found.before, found.after)]
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        now = list(old)
        for factor in order:
            last = np.prod(now)
            now[factor] = new[factor]
            expected[factor] += (np.prod(now) - last) / 6
    assert [found.parts[name].value for name in PARTS[:3]] == pytest.approx(expected)
    assert sum(each.value or 0 for each in found.parts.values()) == pytest.approx(found.after.accuracy - found.before.accuracy)


def test_where_nothing_finishes_any_more_all_of_the_fall_is_the_stopping(make_attempt: MakeAttempt) -> None:
    before, after = attempts(make_attempt, [*["correct"] * 5, *["wrong"] * 5]), attempts(make_attempt, ["unfinished"] * 10)
    found = made_of((0, before), (20, after))
    assert found.parts["finished"].value == pytest.approx(-0.5)
    assert found.parts["answered"].value == found.parts["right"].value == 0.0
    back = made_of((20, after), (0, before))
    assert back.parts["finished"].value == pytest.approx(0.5)


def test_the_interval_of_a_part_is_that_of_the_change_where_it_is_the_only_one(make_attempt: MakeAttempt) -> None:
    rng = np.random.default_rng(1)
    before = [make_attempt(item, verdict="correct" if rng.random() < 0.7 else "wrong") for item in range(200)]
    after = [make_attempt(item, verdict="correct" if rng.random() < 0.5 else "wrong") for item in range(200)]
    found = made_of((0, before), (20, after))
    d = np.array([float(b.verdict == "correct") - float(a.verdict == "correct") for a, b in zip(before, after, strict=True)])
    assert found.parts["right"].standard_error == pytest.approx(d.std() / np.sqrt(200), rel=0.06)
    assert found.parts["right"].value == pytest.approx(d.mean())
