from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ray_study.analyze.asymmetry import asymmetry
from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.variance import components, noise_floor, sampling_floor, split_samples
from ray_study.rows import GradedAttempt

MakeAttempt = Callable[..., GradedAttempt]


def curves_of(means: np.ndarray, num_samples: int = 1) -> ItemCurves:
    """Seeds x items x steps."""
    return ItemCurves(
        steps=tuple(10 * number for number in range(means.shape[2])),
        items=tuple(f"p{number:04d}" for number in range(means.shape[1])),
        unit_of=np.arange(means.shape[1]),
        means=means,
        num_samples=np.full(means.shape, num_samples),
        num_left_out=0,
    )


def test_the_components_of_variance_are_those_that_made_the_scores() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        items, seeds, mixed = rng.normal(0, 0.15, (1, 300)), rng.normal(0, 0.05, (4, 1)), rng.normal(0, 0.08, (4, 300))
        p = np.clip(0.5 + items + seeds + mixed, 0, 1)
        found.append(components(curves_of((rng.binomial(8, p) / 8)[:, :, None], 8))[0])
    assert np.mean([each.items for each in found]) == pytest.approx(0.15**2, rel=0.08)
    assert np.mean([each.seeds or 0 for each in found]) == pytest.approx(0.05**2, rel=0.3)
    assert np.mean([each.seeds_by_items or 0 for each in found]) == pytest.approx(0.08**2, rel=0.12)
    # E p(1-p) = 0.25 - Var(p).
    assert np.mean([each.samples or 0 for each in found]) == pytest.approx(0.25 - 0.15**2 - 0.05**2 - 0.08**2, rel=0.02)


def test_one_seed_and_one_sample_show_no_component_of_their_own() -> None:
    rng = np.random.default_rng(2)
    (found,) = components(curves_of((rng.random((1, 50, 1)) < 0.5).astype(float)))
    assert (found.samples, found.seeds, found.seeds_by_items) == (None, None, None)
    assert found.items == pytest.approx(0.25, abs=0.01)


def test_the_error_of_another_design_follows_from_the_components() -> None:
    rng = np.random.default_rng(3)
    x = rng.binomial(4, rng.beta(2, 2, (1, 100, 1))) / 4
    (found,) = components(curves_of(x, 4))
    expected = x[0, :, 0].std(ddof=1) / 10
    assert found.standard_error(num_items=100, num_samples=4, num_seeds=1) == pytest.approx(expected, rel=1e-6)
    assert found.standard_error(num_items=400, num_samples=4, num_seeds=1) == pytest.approx(expected / 2)
    assert found.standard_error(num_items=100, num_samples=64, num_seeds=1) < expected


def test_a_checkpoint_scored_twice_shows_its_noise(make_attempt: MakeAttempt) -> None:
    first = [make_attempt(item, sample) for item in range(5) for sample in range(2)]
    second = [make_attempt(item, sample, "wrong" if (item, sample) == (3, 1) else "correct") for item in range(5) for sample in range(2)]
    second[0] = make_attempt(0, 0, text="otherwise")
    second[2] = make_attempt(1, 0, "timeout")
    found = noise_floor(first, second)
    assert found.num_attempts == 9
    assert found.share_flipped == pytest.approx(1 / 9)
    assert found.share_same_text == pytest.approx(8 / 9)
    assert found.difference.estimate.value == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="judged in both"):
        noise_floor(first, [])


def test_reasoning_gained_and_safety_lost_are_a_path_with_intervals() -> None:
    rng = np.random.default_rng(4)
    gain, loss = np.array([0, 0.1, 0.2]), np.array([0, -0.1, -0.4])
    ability = rng.beta(2, 3, (1, 300, 1))
    maths = curves_of((rng.random((1, 300, 3)) < np.clip(ability + gain, 0, 1)).astype(float))
    refusals = curves_of((rng.random((1, 200, 3)) < 0.9 + loss).astype(float))
    harmless = curves_of((rng.random((1, 200, 3)) < 0.1).astype(float))
    first, _, last = asymmetry([maths, maths], [refusals], [harmless], num_draws=2000)
    assert (first.reasoning_gain.value, first.safety_loss.value, first.loss_less_gain.value) == (0.0, 0.0, 0.0)
    change = maths.curve()[2] - maths.curve()[0]
    assert last.reasoning_gain.value == pytest.approx(change)
    assert last.safety_loss.value == pytest.approx(refusals.curve()[0] - refusals.curve()[2])
    assert (last.safety_loss.low or 0) > 0.3
    assert (last.loss_less_gain.low or -1) > 0
    assert last.over_refusal is not None
    assert (last.over_refusal.low or 1) < 0 < (last.over_refusal.high or -1)
    d = refusals.means[0, :, 2] - refusals.means[0, :, 0]
    assert last.safety_loss.standard_error == pytest.approx(d.std() / np.sqrt(200), rel=0.06)


def test_a_path_needs_both_sides_and_shared_steps() -> None:
    one = curves_of(np.zeros((1, 5, 1)))
    with pytest.raises(ValueError, match="one of each"):
        asymmetry([one], [])
    with pytest.raises(ValueError, match="two or more"):
        asymmetry([one], [one])


def test_two_scorings_of_one_checkpoint_stay_within_the_sampling_floor_in_19_of_20() -> None:
    rng = np.random.default_rng(5)
    ability, within, twice = rng.beta(2, 2, (1, 120, 1)), 0, None
    for _ in range(400):
        twice = curves_of(rng.binomial(3, np.broadcast_to(ability, (1, 120, 2))) / 3, 3)
        within += abs(float(twice.curve()[1] - twice.curve()[0])) <= (sampling_floor(twice, 0, 10) or 0)
    assert 0.92 <= within / 400 <= 0.98
    assert sampling_floor(curves_of(np.ones((1, 9, 2))), 0, 10) is None


def test_one_scoring_is_split_into_two_by_its_samples(make_attempt: MakeAttempt) -> None:
    graded = [make_attempt(item, sample, "correct" if sample % 2 else "wrong") for item in range(4) for sample in range(5)]
    halves = split_samples(graded)
    assert halves is not None
    assert [len(half) for half in halves] == [8, 8]
    found = noise_floor(*halves)
    assert (found.share_flipped, found.num_attempts, found.difference.estimate.value) == (1.0, 8, 1.0)
    assert split_samples([make_attempt(item, 0) for item in range(4)]) is None
