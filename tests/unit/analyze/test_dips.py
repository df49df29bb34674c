from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ray_study.analyze.bootstrap import ItemCurves, curves_of_means
from ray_study.analyze.comparisons import paired_difference
from ray_study.analyze.dips import Dip, find_dip, smallest_detectable
from ray_study.analyze.simulation import DIP, MONOTONE, STEPS, Design, simulated
from ray_study.analyze.splits import cross_fit, median_p

DESIGNS = ((30, 10, 0.6), (198, 1, 0.6), (500, 3, 0.7))
"""Items, samples and first score of benchmarks as they are used."""


def shape_of(curves: ItemCurves) -> str:
    found = find_dip(curves, num_draws=100)
    assert found is not None
    return found.shape


@pytest.mark.parametrize("name", MONOTONE)
def test_a_monotone_trajectory_is_called_a_dip_in_at_most_five_percent(name: str) -> None:
    """Trap E15."""
    rng = np.random.default_rng(11)
    for design in DESIGNS:
        found = Counter(shape_of(simulated(rng, design, MONOTONE[name])) for _ in range(100))
        assert found["dip_only"] + found["dip_and_recovery"] <= 0.05 * 100, (design, found)


def test_some_point_of_a_flat_trajectory_lies_below_the_first_nearly_always() -> None:
    """What the test above would show if the bottom were measured where it was chosen."""
    rng = np.random.default_rng(11)
    below = sum(bool((curve[1:] < curve[0]).any()) for curve in (simulated(rng, (198, 1, 0.6), DIP * 0).curve() for _ in range(200)))
    assert below > 160


@pytest.mark.parametrize("design", DESIGNS)
def test_a_dip_of_twice_the_detectable_size_is_found_in_at_least_ninety_percent(design: Design) -> None:
    rng = np.random.default_rng(12)
    depth = 2 * smallest_detectable(simulated(rng, design, DIP * 0))
    found = Counter(shape_of(simulated(rng, design, -depth * DIP)) for _ in range(100))
    assert found["dip_and_recovery"] >= 0.9 * 100, found


def test_a_fall_of_the_detectable_size_is_found_in_about_four_of_five() -> None:
    rng = np.random.default_rng(13)
    design = (500, 3, 0.7)
    # One low step, so that nothing but its size helps to find it.
    shift = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0])
    depth = smallest_detectable(simulated(rng, design, shift * 0))
    clear = sum(median_p(cross_fit(simulated(rng, design, -depth * shift)).fall_p) < 0.05 for _ in range(200))
    assert 0.70 <= clear / 200 <= 0.93


def dip_of(depth: float, end: float = 0.0, num_items: int = 800) -> Dip:
    shift = -depth * DIP
    shift[-3:] -= end
    found = find_dip(simulated(np.random.default_rng(4), (num_items, 4, 0.7), shift))
    assert found is not None
    return found


def test_a_dip_has_its_depth_step_recovery_and_area() -> None:
    found = dip_of(0.3)
    assert found.shape == "dip_and_recovery"
    # Who cannot do it cannot fall: somewhat less than 0.3.
    ability = np.random.default_rng(5).beta(2.1, 0.9, 200_000)
    depth = float(np.mean(ability - np.clip(ability - 0.3, 0, 1)))
    assert found.depth.value == pytest.approx(depth, abs=0.03)
    assert (found.depth.low or 1) < depth < (found.depth.high or 0)
    assert (found.bottom_step, found.bottom_share) == (20, 1.0)
    # At step 40 60 % of the depth is left, at 80 only 30 %.
    assert found.recovery_step == 80
    assert found.share_recovered is not None
    assert found.share_recovered.value == pytest.approx(1.0, abs=0.1)
    assert (found.share_recovered.low or 2) < 1.0 < (found.share_recovered.high or 0)
    assert len(found.band.low) == 9
    assert found.band.critical > 2


def test_the_area_is_the_score_lost_times_steps_and_no_gain_takes_from_it() -> None:
    scores = [0.8, 0.7, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9]
    steps = {step: {f"p{item}": value for item in range(20)} for step, value in zip(STEPS, scores, strict=True)}
    area = cross_fit(curves_of_means([steps])).area
    assert area == pytest.approx(np.trapezoid([0, 0.1, 0.3, 0.2, 0.1, 0, 0, 0, 0], STEPS))


def test_the_held_out_depth_of_a_flat_trajectory_is_not_biased_as_the_lowest_point_is() -> None:
    rng = np.random.default_rng(14)
    depths, lowest = [], []
    for _ in range(300):
        curves = simulated(rng, (60, 2, 0.5), DIP * 0)
        depths.append(cross_fit(curves, 10).fall.mean())
        lowest.append(curves.curve()[0] - curves.curve()[1:].min())
    assert np.mean(depths) == pytest.approx(0.0, abs=0.012)
    assert np.mean(lowest) > 0.05


def test_a_dip_that_comes_back_in_part_is_a_dip_only() -> None:
    found = dip_of(0.4, end=0.28)
    assert found.shape == "dip_only"
    assert found.recovery_step is None
    assert found.share_recovered is not None
    assert (found.share_recovered.value or 1) < 0.5


def test_a_fall_that_never_turns_is_monotone_and_says_which_way() -> None:
    found = find_dip(simulated(np.random.default_rng(4), (400, 3, 0.7), MONOTONE["steady fall"]))
    assert found is not None
    assert found.shape == "monotone"
    assert (found.change.estimate.value or 0) < -0.1
    assert found.p_value < 0.001
    assert found.rise_p_value > 0.05


def test_flat_is_said_only_where_a_dip_could_have_been_seen() -> None:
    rng = np.random.default_rng(4)
    sharp, blunt = find_dip(simulated(rng, (800, 4, 0.6), DIP * 0)), find_dip(simulated(rng, (20, 1, 0.6), DIP * 0))
    assert sharp is not None
    assert blunt is not None
    assert (sharp.shape, blunt.shape) == ("flat", "underpowered")
    assert sharp.detectable < 0.1 < blunt.detectable


def test_a_trajectory_that_starts_at_the_floor_could_not_have_dipped() -> None:
    zero = {step: {f"p{item}": 0.0 for item in range(400)} for step in STEPS}
    found = find_dip(curves_of_means([zero]))
    assert found is not None
    assert found.shape == "underpowered"
    assert found.detectable > 0


def test_the_smallest_detectable_fall_is_made_of_the_paired_standard_error() -> None:
    curves = simulated(np.random.default_rng(1), (40, 3, 0.6), np.linspace(0, 0.1, 9))
    x = curves.means[0]
    errors = [paired_difference(_by_item(x[:, 0]), _by_item(x[:, step])).estimate.standard_error or 0 for step in range(1, 9)]
    # 2.093 is Student's t of 19 degrees of freedom.
    assert smallest_detectable(curves) == pytest.approx((np.sqrt(2) * 2.0930 + 0.8416) * max(errors), rel=1e-3)


def _by_item(values: np.ndarray) -> dict[str, float]:
    return {f"p{item}": float(value) for item, value in enumerate(values)}


def test_halves_are_the_same_in_every_process_and_swap() -> None:
    curves = simulated(np.random.default_rng(1), (30, 1, 0.5), DIP * 0)
    one, other = cross_fit(curves, 7), cross_fit(curves, 7)
    assert one.bottoms.tolist() == other.bottoms.tolist()
    assert len(one.bottoms) == 14
    # Held-out halves of one split together have every item once.
    assert np.allclose(one.fall[:7] + one.fall[7:], 2 * curves.curve()[0] - _two_bottoms(curves, one.bottoms), atol=0.35)


def _two_bottoms(curves: ItemCurves, bottoms: np.ndarray) -> np.ndarray:
    curve = curves.curve()
    return curve[bottoms[:7]] + curve[bottoms[7:]]


def test_few_changed_items_are_judged_by_the_sign_test() -> None:
    """Three of thirty items that turn wrong, and no other change: t would call it clear, three coins do not."""
    steps = {step: {f"p{item}": float(not (step == 20 and item < 3)) for item in range(30)} for step in (0, 10, 20, 40)}
    found = find_dip(curves_of_means([steps]))
    assert found is not None
    assert found.p_value > 0.2
    assert found.shape == "underpowered"


@pytest.mark.parametrize("num_tasks", [1, 2])
def test_a_fall_is_found_where_items_come_from_too_few_tasks_to_be_clusters(num_tasks: int) -> None:
    """Found in a study of two tasks: the one that could always do nothing chose the step at which the other was measured."""
    values = {0: (1.0, 0.0), 3: (1.0, 0.0), 42: (0.0, 0.0), 512: (0.0, 0.0)}
    steps = {step: {f"p{item}": pair[item % 2] for item in range(96)} for step, pair in values.items()}
    found = find_dip(curves_of_means([steps], {f"p{item}": f"task {item % num_tasks}" for item in range(96)}))
    assert found is not None
    assert found.depth.value == pytest.approx(0.5, abs=0.02)
    assert found.p_value < 1e-4
    assert found.shape == "monotone"


def test_a_dip_needs_two_steps_and_two_halves() -> None:
    assert find_dip(curves_of_means([{0: {"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0}}])) is None
    assert find_dip(curves_of_means([{0: {"a": 1.0, "b": 1.0}, 5: {"a": 0.0, "b": 1.0}}])) is None


def test_a_fall_in_rewards_may_be_deeper_than_one() -> None:
    rng = np.random.default_rng(3)
    rewards = rng.normal(2.0, 0.5, size=(60, 1)) + np.array([0.0, -6.0, -1.0]) + rng.normal(0, 0.3, size=(60, 3))
    found = find_dip(curves_of_means([{step: _by_item(rewards[:, number]) for number, step in enumerate((0, 10, 20))}]))
    assert found is not None
    assert found.depth.value == pytest.approx(6.0, abs=0.3)
    assert (found.depth.low or 0) < (found.depth.value or 0) < (found.depth.high or 0)
    assert (found.depth.low or 0) > 5
