from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ray_study.analyze.bootstrap import (
    ItemCurves,
    curves_of_attempts,
    curves_of_means,
    draw_trajectories,
    percentile_interval,
    simultaneous_band,
)
from ray_study.analyze.statistics import clustered_standard_error
from ray_study.rows import GradedAttempt


def made_up(num_items: int = 80, num_steps: int = 5, num_samples: int = 4, num_seeds: int = 1, size: int = 1) -> ItemCurves:
    rng = np.random.default_rng(8)
    ability = rng.beta(2, 2, (1, num_items // size, 1)).repeat(size, axis=1)
    means = rng.binomial(num_samples, ability, (num_seeds, num_items, num_steps)) / num_samples
    return ItemCurves(
        steps=tuple(range(num_steps)),
        items=tuple(f"p{number:03d}" for number in range(num_items)),
        unit_of=np.arange(num_items) // size,
        means=means,
        num_samples=np.full(means.shape, num_samples),
        num_left_out=0,
    )


@pytest.mark.parametrize("size", [1, 4])
def test_the_spread_of_the_draws_is_the_standard_error_over_items_or_clusters(size: int) -> None:
    curves = made_up(size=size)
    draws = draw_trajectories(curves)
    units = [str(unit) for unit in curves.unit_of]
    for step in range(5):
        error = clustered_standard_error(curves.means[0, :, step].tolist(), units)
        # The bootstrap divides by C, the formula by C - 1; 10,000 draws leave 0.7 % of noise.
        expected = (error or 0) * np.sqrt(1 - 1 / curves.num_units)
        assert draws[:, step].std() == pytest.approx(expected, rel=0.03)
        assert draws[:, step].mean() == pytest.approx(curves.curve()[step], abs=0.002)


def test_a_draw_keeps_the_steps_of_an_item_together() -> None:
    curves = made_up(num_items=200, num_samples=1)
    draws = draw_trajectories(curves)
    difference = curves.means[0, :, 0] - curves.means[0, :, 1]
    assert (draws[:, 0] - draws[:, 1]).std() == pytest.approx(difference.std() / np.sqrt(200), rel=0.03)
    # Items differ, so steps of one item go together and the difference is sharper than that of two independent exams.
    assert (draws[:, 0] - draws[:, 1]).std() < 0.97 * np.hypot(draws[:, 0].std(), draws[:, 1].std())


def test_samples_within_items_add_the_noise_of_sampling_once_more() -> None:
    curves = made_up(num_samples=4)
    alone, within = draw_trajectories(curves), draw_trajectories(curves, within_items=True)
    x = curves.means[0, :, 2]
    assert within[:, 2].var() - alone[:, 2].var() == pytest.approx(np.mean(x * (1 - x)) / 4 / 80, rel=0.15)
    assert within.mean(axis=0) == pytest.approx(alone.mean(axis=0), abs=0.003)


def test_samples_within_items_are_as_if_each_were_drawn_by_itself() -> None:
    """The short cut by equal means against the long way, in which each copy of an item has its own samples."""
    curves = made_up(num_items=20, num_steps=2, num_samples=3)
    rng = np.random.default_rng(3)
    x = curves.means[0]
    long = []
    for _ in range(4000):
        chosen = x[rng.integers(0, 20, 20)]
        long.append((rng.binomial(3, chosen) / 3).mean(axis=0))
    short = draw_trajectories(curves, within_items=True)
    assert short.std(axis=0) == pytest.approx(np.std(long, axis=0), rel=0.05)
    assert np.quantile(short, [0.025, 0.975], axis=0) == pytest.approx(np.quantile(long, [0.025, 0.975], axis=0), abs=0.02)


def test_seeds_on_top_widen_what_is_drawn() -> None:
    one = made_up(num_seeds=1)
    shift = np.array([-0.2, 0.0, 0.2])[:, None, None]
    three = replace(one, means=np.clip(one.means + shift, 0, 1), num_samples=np.repeat(one.num_samples, 3, axis=0))
    draws = draw_trajectories(three)
    between = three.means.mean(axis=1)[:, 0]
    expected = np.sqrt(draw_trajectories(one)[:, 0].var() + between.var() / 3)
    assert draws[:, 0].std() == pytest.approx(expected, rel=0.1)
    assert draws[:, 0].std() > 2 * draw_trajectories(one)[:, 0].std()


def test_the_same_seed_draws_the_same_and_the_order_of_rows_does_not_matter() -> None:
    by_step = {step: {f"p{item}": float((item + step) % 2) for item in range(9)} for step in (0, 4)}
    turned = {step: dict(reversed(means.items())) for step, means in reversed(by_step.items())}
    one, other = curves_of_means([by_step]), curves_of_means([turned])
    assert np.array_equal(draw_trajectories(one, num_draws=50), draw_trajectories(other, num_draws=50))
    assert not np.array_equal(draw_trajectories(one, num_draws=50), draw_trajectories(one, num_draws=50, seed=1))


def test_items_that_a_step_lacks_are_left_out_and_counted(make_attempt: Callable[..., GradedAttempt]) -> None:
    first = [make_attempt(item, sample) for item in range(3) for sample in range(2)]
    later = [
        make_attempt(0, 0),
        make_attempt(0, 1, "timeout"),
        make_attempt(1, 0, "wrong"),
        make_attempt(1, 1),
        make_attempt(2, 0, "error"),
    ]
    curves = curves_of_attempts([{0: first, 5: later}])
    assert curves.items == ("p0000", "p0001")
    assert curves.num_left_out == 1
    assert curves.means.tolist() == [[[1.0, 1.0], [1.0, 0.5]]]
    assert curves.num_samples.tolist() == [[[2, 1], [2, 2]]]


def test_clusters_are_the_units_where_there_are_enough() -> None:
    means = {f"p{item}": 1.0 for item in range(12)}
    assert curves_of_means([{0: means}], {item: f"c{int(item[1:]) // 2}" for item in means}).num_units == 6
    assert curves_of_means([{0: means}], {item: f"c{int(item[1:]) // 6}" for item in means}).num_units == 12


def test_the_band_holds_all_steps_at_once_in_about_95_percent() -> None:
    rng = np.random.default_rng(5)
    held = each = 0
    for number in range(300):
        ability = rng.beta(2, 2, (100, 1)) * np.ones((1, 6))
        curves = replace(made_up(100, 6), means=rng.binomial(2, ability)[None] / 2, num_samples=np.full((1, 100, 6), 2))
        draws = draw_trajectories(curves, num_draws=400, seed=number)
        band = simultaneous_band(curves, draws)
        inside = (np.array(band.low) <= 0.5) & (np.array(band.high) >= 0.5)
        alone = np.abs(curves.curve() - 0.5) <= 1.96 * draws.std(axis=0)
        held, each = held + bool(inside.all()), each + bool(alone.all())
        assert band.critical > 2.0
    assert 0.91 <= held / 300 <= 0.99
    assert each < held


def test_a_step_at_which_all_items_agree_still_has_a_band_with_a_width() -> None:
    curves = replace(made_up(40, 3), means=np.zeros((1, 40, 3)))
    band = simultaneous_band(curves, draw_trajectories(curves, num_draws=100))
    assert band.low == (0.0, 0.0, 0.0)
    assert min(band.high) > 0.05


def test_what_cannot_be_drawn_raises() -> None:
    with pytest.raises(ValueError, match="expected the same for all"):
        curves_of_means([{0: {"a": 1.0}}, {5: {"a": 1.0}}])
    with pytest.raises(ValueError, match="found no item"):
        draw_trajectories(curves_of_means([{0: {"a": 1.0}, 1: {"b": 1.0}}]))
    with pytest.raises(ValueError, match="right and wrong only"):
        draw_trajectories(curves_of_means([{0: {"a": 0.3, "b": 1.0}}]), within_items=True)


def test_the_percentile_interval_leaves_out_what_is_no_number() -> None:
    draws = np.concatenate([np.arange(1001) / 1000, [np.nan, np.inf]])
    assert percentile_interval(draws) == pytest.approx((0.025, 0.975))
