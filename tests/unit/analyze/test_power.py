from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.comparisons import paired_difference
from ray_study.analyze.dips import find_dip, smallest_detectable
from ray_study.analyze.power import (
    Exam,
    Spread,
    affordable,
    assumed_spread,
    detectable_difference,
    detectable_dip,
    items_needed,
    measured_spread,
    power_of_difference,
)
from ray_study.analyze.rehearsals import if_it_were_flat, power_of_dip
from ray_study.analyze.simulation import Abilities, flattened, simulated_exam

SPREAD = assumed_spread(0.5)


def exam_of(curves: ItemCurves, first: int, second: int) -> tuple[dict[str, float], dict[str, float]]:
    means = curves.means.mean(axis=0)
    return tuple(dict(zip(curves.items, means[:, step].tolist(), strict=True)) for step in (first, second))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("num_items", "num_samples", "samples", "changes", "points"),
    # AIME24 and 25, MATH-500, GPQA diamond and IFEval: 2.80 sqrt((w2 + 2 s2 / K) / n), worked out by hand.
    [(60, 32, 0.10, 0.02, 5.9), (500, 3, 0.06, 0.02, 3.1), (198, 3, 0.15, 0.03, 7.2), (198, 8, 0.15, 0.03, 5.2), (541, 1, 0.10, 0.03, 5.8)],
)
def test_the_detectable_difference_is_the_formula_worked_out_by_hand(
    num_items: int, num_samples: int, samples: float, changes: float, points: float
) -> None:
    spread = Spread(items=0.1, changes=changes, samples=samples)
    found = detectable_difference(spread, Exam(num_items=num_items, num_samples=num_samples))
    assert 100 * found == pytest.approx(points, abs=0.2)
    assert 100 * (1.959964 + 0.841621) * np.sqrt((changes + 2 * samples / num_samples) / num_items) == pytest.approx(points, abs=0.06)


@pytest.mark.parametrize("num_items", [5, 30, 198, 12_000])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_power_is_that_of_the_paired_t_test_in_statsmodels(num_items: int, power: float) -> None:
    exam = Exam(num_items=num_items, num_samples=2)
    found = detectable_difference(SPREAD, exam, power=power)
    size = found / (SPREAD.standard_error(exam) * np.sqrt(num_items))
    assert TTestPower().power(size, num_items, 0.05) == pytest.approx(power, abs=1e-6)
    assert power_of_difference(found, SPREAD, exam) == pytest.approx(power, abs=1e-9)
    assert power_of_difference(-found, SPREAD, exam) == pytest.approx(power, abs=1e-9)


def test_power_is_the_level_where_there_is_no_difference_and_certain_where_it_is_huge() -> None:
    for num_items in (4, 30, 500, 12_000):
        exam = Exam(num_items=num_items)
        assert power_of_difference(0.0, SPREAD, exam) == pytest.approx(0.05)
        assert power_of_difference(0.999, SPREAD, replace(exam, num_items=100 * num_items)) == pytest.approx(1.0)


@pytest.mark.parametrize("clusters", [(1.0, 0.0), (5.0, 0.6)])
def test_simulated_exams_find_the_detectable_difference_in_four_of_five(clusters: tuple[float, float]) -> None:
    """The formula against the test that the report makes, on attempts that are drawn."""
    rng = np.random.default_rng(3)
    spread = Spread(items=0.04, changes=0.02, samples=0.25 - 0.04 - 0.01)
    exam = Exam(num_items=200, num_samples=2, items_per_cluster=clusters[0], correlation=clusters[1])
    shift = np.array([0.0, -detectable_difference(spread, exam)])
    abilities = Abilities(accuracy=0.5, items=0.04, changes=0.02)
    clear, errors = 0, []
    for _ in range(400):
        curves = simulated_exam(rng, abilities, shift=shift, steps=(0, 10), sizes=(1, 200, 2), clusters=(exam.num_units, exam.correlation))
        cluster_of = {item: str(unit) for item, unit in zip(curves.items, curves.unit_of, strict=True)}
        found = paired_difference(*exam_of(curves, 0, 1), cluster_of)
        clear += (found.p_value or 0) < 0.05
        errors.append(found.estimate.standard_error or 0)
    assert 0.73 <= clear / 400 <= 0.87
    assert np.mean(errors) == pytest.approx(spread.standard_error(exam), rel=0.05)


def test_a_fall_of_the_detectable_size_is_found_and_a_dip_of_twice_that_nearly_always() -> None:
    exam = Exam(num_items=198, num_samples=3)
    depth = detectable_dip(SPREAD, exam)
    none, twice = (power_of_dip(size, SPREAD, exam, accuracy=0.6, num_trajectories=60) for size in (0.0, 2 * depth))
    assert (none.value or 0) <= 0.05
    assert (twice.value or 0) >= 0.9
    assert twice.low is not None
    assert twice.low < (twice.value or 0)
    assert twice.num_items == 60


def test_the_detectable_dip_of_a_spread_is_that_of_the_trajectories_which_have_it() -> None:
    rng = np.random.default_rng(5)
    exam, found = Exam(num_items=300, num_samples=3), []
    for _ in range(20):
        curves = simulated_exam(rng, Abilities(accuracy=0.5, items=0.04, changes=0.02), shift=np.zeros(2), steps=(0, 10), sizes=(1, 300, 3))
        found.append(smallest_detectable(curves))
    assert np.mean(found) == pytest.approx(detectable_dip(Spread(items=0.04, changes=0.02, samples=0.2), exam), rel=0.03)


def test_the_spread_that_is_measured_is_the_one_that_made_the_answers() -> None:
    rng = np.random.default_rng(6)
    abilities = Abilities(accuracy=0.5, items=0.03, changes=0.02)
    found = [
        measured_spread(simulated_exam(rng, abilities, shift=np.zeros(3), steps=(0, 10, 20), sizes=(1, 400, 4)), 0, 20) for _ in range(60)
    ]
    assert np.mean([each.changes for each in found]) == pytest.approx(0.02, rel=0.1)
    # At the first step an item's own part is in its ability already.
    assert np.mean([each.items for each in found]) == pytest.approx(0.03 + 0.01, rel=0.1)
    assert np.mean([each.samples or 0 for each in found]) == pytest.approx(0.25 - 0.04, rel=0.03)
    assert {each.seeds for each in found} == {None}


def test_what_seeds_add_is_found_and_no_number_of_items_takes_it_away() -> None:
    rng = np.random.default_rng(7)
    abilities = Abilities(accuracy=0.5, items=0.02, changes=0.01, seeds=0.004)
    found = [measured_spread(simulated_exam(rng, abilities, shift=np.zeros(2), steps=(0, 10), sizes=(4, 300, 4)), 0, 10) for _ in range(80)]
    assert np.mean([each.seeds or 0 for each in found]) == pytest.approx(0.004, rel=0.25)
    spread = Spread(items=0.02, changes=0.01, samples=0.2, seeds=0.004)
    many = Exam(num_items=10**6, num_seeds=1)
    assert spread.standard_error(many) == pytest.approx(np.sqrt(0.004), rel=0.01)
    assert spread.standard_error(replace(many, num_seeds=4)) == pytest.approx(np.sqrt(0.001), rel=0.01)
    assert items_needed(0.05, spread, Exam(num_items=1)) is None


def test_the_measured_error_of_the_same_design_is_the_paired_standard_error() -> None:
    rng = np.random.default_rng(8)
    for num_samples in (1, 4):
        curves = simulated_exam(
            rng, Abilities(accuracy=0.6, items=0.03, changes=0.03), shift=np.zeros(2), steps=(0, 10), sizes=(1, 150, num_samples)
        )
        expected = paired_difference(*exam_of(curves, 0, 1)).estimate.standard_error
        found = measured_spread(curves, 0, 10)
        assert found.standard_error(Exam(num_items=150, num_samples=num_samples)) == pytest.approx(expected, rel=1e-9)


def test_one_sample_an_item_says_nothing_of_what_a_second_would_show() -> None:
    rng = np.random.default_rng(9)
    curves = simulated_exam(rng, Abilities(accuracy=0.5, items=0.02, changes=0.0), shift=np.zeros(2), steps=(0, 10), sizes=(1, 80, 1))
    found = measured_spread(curves, 0, 10)
    assert found.samples is None
    assert detectable_difference(found, Exam(num_items=80)) > 0
    with pytest.raises(ValueError, match="one sample an item"):
        detectable_difference(found, Exam(num_items=80, num_samples=2))
    with pytest.raises(ValueError, match="one sample an item"):
        power_of_dip(0.1, found, Exam(num_items=80), accuracy=0.5)
    rows = affordable(found, tokens=10**6, tokens_per_attempt=100, num_checkpoints=2, most_items=500)
    assert [row.num_samples for row in rows] == [1]
    with pytest.raises(ValueError, match="expected two or more at 0 and 7"):
        measured_spread(curves, 0, 7)


@pytest.mark.parametrize("detectable", [detectable_difference, detectable_dip])
def test_the_items_needed_are_the_fewest_that_do(detectable: object) -> None:
    assert callable(detectable)
    exam = Exam(num_items=0, num_samples=4)
    needed = items_needed(0.06, SPREAD, exam, detectable)
    assert needed is not None
    assert detectable(SPREAD, replace(exam, num_items=needed)) <= 0.06 < detectable(SPREAD, replace(exam, num_items=needed - 1))
    assert items_needed(0.0, SPREAD, exam, detectable) is None


def test_a_budget_buys_items_first_and_samples_when_there_are_no_more() -> None:
    budget = {"tokens": 9 * 1000 * 600, "tokens_per_attempt": 1000.0, "num_checkpoints": 9}
    many = affordable(SPREAD, most_items=10_000, **budget)  # type: ignore[arg-type]
    assert [(row.num_items, row.num_samples) for row in many[:3]] == [(600, 1), (300, 2), (150, 4)]
    assert min(many, key=lambda row: row.detectable_dip).num_samples == 1
    few = affordable(SPREAD, most_items=150, **budget)  # type: ignore[arg-type]
    assert min(few, key=lambda row: row.detectable_dip).num_samples == 4
    assert all(row.tokens <= 9 * 1000 * 600 for row in (*many, *few))


def test_guesses_are_shares_and_a_coin_of_an_item_has_all_its_variance_between_samples() -> None:
    coins = assumed_spread(0.5, alike=0.0)
    assert (coins.items, coins.changes, coins.samples) == (0.0, 0.0, 0.25)
    # Always right or always wrong, and kept so: nothing varies between checkpoints.
    assert assumed_spread(0.3, alike=1.0, kept=1.0).standard_error(Exam(num_items=10)) == 0.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        assumed_spread(1.2)
    with pytest.raises(ValueError, match="less than p"):
        simulated_exam(
            np.random.default_rng(0), Abilities(accuracy=0.9, items=0.2, changes=0), shift=np.zeros(2), steps=(0, 1), sizes=(1, 9, 1)
        )


def test_answers_with_their_steps_shuffled_keep_their_items_and_are_flat() -> None:
    rng = np.random.default_rng(10)
    shift = np.array([0, 0, -0.3, 0])
    curves = simulated_exam(rng, Abilities(accuracy=0.7, items=0.03, changes=0.01), shift=shift, steps=(0, 1, 2, 3), sizes=(2, 200, 2))
    assert (find_dip(curves).shape if find_dip(curves) else "") == "dip_and_recovery"  # type: ignore[union-attr]
    flat = flattened(curves, rng)
    assert np.sort(flat.means, axis=2) == pytest.approx(np.sort(curves.means, axis=2))
    # Seeds of one item are moved together.
    assert (flat.means[0] - flat.means[1]).std() == pytest.approx((curves.means[0] - curves.means[1]).std())
    drawn = np.mean([flattened(curves, rng).curve() for _ in range(100)], axis=0)
    assert drawn == pytest.approx(np.full(4, curves.curve().mean()), abs=0.01)


def test_a_flat_study_has_a_low_point_which_held_out_items_do_not_show() -> None:
    rng = np.random.default_rng(11)
    curves = simulated_exam(
        rng, Abilities(accuracy=0.6, items=0.05, changes=0.01), shift=np.zeros(9), steps=tuple(range(9)), sizes=(1, 80, 2)
    )
    found = if_it_were_flat(curves, num_trajectories=60)
    assert np.mean(found.lowest) > 0.03
    assert np.mean(found.held_out) == pytest.approx(0.0, abs=0.015)
    assert (found.share_called.value or 0) <= 0.05
    assert found.share_as_deep(-1.0) == 1.0
    assert found.share_as_deep(1.0) == 0.0
    assert found.share_as_deep(sorted(found.lowest)[30]) == pytest.approx(0.5, abs=0.1)
