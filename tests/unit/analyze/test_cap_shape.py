from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.cap_shape import answered_within, cap_shape, cap_warnings, curves_at_caps
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import GradedAttempt

STEPS = (0, 10, 40, 160, 640)


def curves_of(right: np.ndarray) -> ItemCurves:
    num_items = right.shape[0]
    return ItemCurves(
        steps=STEPS,
        items=tuple(f"p{number:04d}" for number in range(num_items)),
        unit_of=np.arange(num_items),
        means=right[None].astype(float),
        num_samples=np.ones((1, *right.shape), dtype=int),
        num_left_out=0,
    )


def attempts(rng: np.random.Generator, long_at: float) -> tuple[np.ndarray, np.ndarray]:
    """Who is right, and who needs more tokens than the smaller cap: `long_at` of them at steps 10 and 40, a tenth elsewhere."""
    right = rng.random((800, 5)) < rng.beta(6, 3, (800, 1))
    long = rng.random((800, 5)) < np.array([0.1, long_at, long_at, 0.1, 0.1])
    return right, long


def test_a_cap_that_makes_the_dip_is_named() -> None:
    """Trap E10: the dip is there since answers are long at steps 10 and 40."""
    right, long = attempts(np.random.default_rng(1), 0.6)
    found = cap_shape({4096: curves_of(right & ~long), 16384: curves_of(right)})
    assert found.depends
    assert found.cap == 4096
    assert found.step in (10, 40)
    assert found.difference < -0.2
    assert found.low < found.difference < found.high < 0
    assert found.shapes == {4096: "dip_and_recovery", 16384: "flat"}
    assert "dip and recovery at 4,096 tokens, flat at 16,384 tokens" in found.warning


def test_a_cap_that_takes_the_same_from_every_step_does_not_change_the_shape() -> None:
    rng = np.random.default_rng(2)
    called = 0
    for _ in range(60):
        right, long = (each[:200] for each in attempts(rng, 0.1))
        found = cap_shape({4096: curves_of(right & ~long), 16384: curves_of(right)}, num_draws=300)
        called += found.depends
        assert (found.warning == "") == (not found.depends)
    assert called <= 7


def test_a_cap_that_cuts_nobody_changes_nothing() -> None:
    right, _ = attempts(np.random.default_rng(3), 0.1)
    found = cap_shape({4096: curves_of(right), 16384: curves_of(right)})
    assert not found.depends
    assert found.difference == 0.0


def test_curves_that_are_not_of_the_same_attempts_raise() -> None:
    right, _ = attempts(np.random.default_rng(3), 0.1)
    curves = curves_of(right)
    with pytest.raises(ValueError, match="two or more"):
        cap_shape({4096: curves})
    with pytest.raises(ValueError, match="the same attempts"):
        cap_shape({4096: replace(curves, items=tuple(reversed(curves.items))), 16384: curves})


def test_an_answer_counts_from_where_it_is_boxed_after_the_thinking(make_attempt: Callable[..., GradedAttempt]) -> None:
    rambling = make_attempt(0, text="\\boxed{7}" + "." * 91, num_tokens=1000, finish_reason="length")
    assert [answered_within(rambling, cap) for cap in (89, 90, 1000)] == [False, True, True]
    thinking = make_attempt(0, text="\\boxed{7}</think>" + "." * 32 + "\\boxed{7}.", num_tokens=60)
    assert [answered_within(thinking, cap) for cap in (9, 58, 59, 60)] == [False, False, True, True]
    assert not answered_within(make_attempt(0, text="It is 7" + "." * 93, num_tokens=100), 50), "no box: given at the end"
    by_cap = curves_at_caps({0: [replace(rambling, problem_id=f"p{number}") for number in range(4)]}, (89, 90))
    assert {cap: curves.curve().tolist() for cap, curves in by_cap.items()} == {89: [0.0], 90: [1.0]}


def test_attempts_that_answer_after_a_cap_are_not_right_under_it_and_items_stay(
    make_attempt: Callable[..., GradedAttempt],
) -> None:
    graded = [make_attempt(item, num_tokens=100 * (item + 1)) for item in range(4)] + [make_attempt(4, verdict="timeout", num_tokens=900)]
    by_cap = curves_at_caps({0: graded, 5: graded}, (95, 200, 4096))
    assert {cap: curves.curve().tolist() for cap, curves in by_cap.items()} == {95: [0.0, 0.0], 200: [0.5, 0.5], 4096: [1.0, 1.0]}
    assert {curves.items for curves in by_cap.values()} == {("p0000", "p0001", "p0002", "p0003")}


def test_a_study_is_warned_of_curves_that_its_cap_decides(make_study: Callable[..., StudyTables]) -> None:
    """Its answers lengthen where it dips, but for those without thinking."""
    study = make_study(benchmarks=("math-500",), steps=(0, 20, 40, 640), num_items=150)
    (warning,) = cap_warnings(study)
    assert warning.startswith("math-500, ")
    assert "depends on the cap" in warning
    assert "math-nocot" not in warning
