"""Item curves of which the truth is known, for asking how often a verdict is right: of a design, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves, Numbers

STEPS = (0, 10, 20, 40, 80, 160, 320, 480, 640)
"""Those that the study scores."""

MONOTONE = {
    "flat": np.zeros(9),
    "steady rise": np.linspace(0, 0.2, 9),
    "late rise": np.array([0, 0, 0, 0, 0, 0, 0, 0, 0.2]),
    "steady fall": -np.linspace(0, 0.2, 9),
    "sudden fall": -np.array([0, 0, 0, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15]),
}
"""Shifts by step of trajectories that never turn."""

DIP = np.array([0, 0.3, 1, 0.6, 0.3, 0.1, 0, 0, 0])
"""What is lost by step of a dip that recovers, in units of its depth."""

Design = tuple[int, int, float]
"""Items, samples of each, and the score at step 0."""


def simulated(rng: np.random.Generator, design: Design, shift: np.ndarray) -> ItemCurves:
    """Item curves of abilities drawn from a Beta of three times the mean, all shifted alike.

    Args:
        rng: draws abilities, then answers.
        design: how many items and samples, and at what score it begins.
        shift: of each ability by step; what leaves 0 to 1 stays at the end.
    """
    num_items, num_samples, base = design
    ability = rng.beta(3 * base, 3 * (1 - base), (num_items, 1))
    means = rng.binomial(num_samples, np.clip(ability + shift, 0, 1)) / num_samples
    return ItemCurves(
        steps=STEPS,
        items=tuple(f"p{number:04d}" for number in range(num_items)),
        unit_of=np.arange(num_items),
        means=means[None],
        num_samples=np.full((1, num_items, len(STEPS)), num_samples),
        num_left_out=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """How items are made up: the mean of their abilities at the first step, and variances in squared shares."""

    accuracy: float
    items: float
    """Between items, at the first step."""
    changes: float
    """Between items, of the true change between any two steps."""
    seeds: float = 0.0
    """Between seeds, of the same."""


def simulated_exam(
    rng: np.random.Generator,
    abilities: Abilities,
    *,
    shift: Numbers,
    steps: Sequence[int] = STEPS,
    sizes: tuple[int, int, int],
    clusters: tuple[int, float] = (0, 0.0),
) -> ItemCurves:
    """Item curves of abilities drawn from a Beta, which every step shifts as told and each item and seed somewhat differently.

    An item's and a seed's own part of each step is normal with half of the variance of a change, so that any two steps differ by it. What
    leaves 0 to 1 stays at the end: near the ends scores change by less than the shift.

    Args:
        rng: draws abilities, then answers.
        abilities: what items are like.
        shift: of the mean by step.
        steps: as many as `shift` has.
        sizes: seeds, items, samples of each.
        clusters: how many there are, and how much the changes of two items of one are alike; with no likeness items are their own.

    Raises:
        ValueError: no ability between 0 and 1 has this mean and variance.
    """
    num_seeds, num_items, num_samples = sizes
    whole = abilities.accuracy * (1 - abilities.accuracy)
    if not 0 <= abilities.items < whole:
        raise ValueError(f"found a variance of {abilities.items:.3g} between items, expected 0 or more and less than p(1-p) = {whole:.3g}")
    size = whole / max(abilities.items, 1e-9) - 1
    ability = rng.beta(abilities.accuracy * size, (1 - abilities.accuracy) * size, (num_items, 1))
    num_clusters, alike = clusters if clusters[1] > 0 else (num_items, 0.0)
    unit_of = np.arange(num_items) * num_clusters // num_items
    half = np.sqrt(abilities.changes / 2)
    shared, own = rng.normal(0, half, (num_clusters, len(steps))), rng.normal(0, half, (num_items, len(steps)))
    by_seed = rng.normal(0, np.sqrt(abilities.seeds / 2), (num_seeds, 1, len(steps)))
    change = np.sqrt(alike) * shared[unit_of] + np.sqrt(1 - alike) * own
    p = np.clip(ability + np.asarray(shift) + change + by_seed, 0, 1)
    return ItemCurves(
        steps=tuple(steps),
        items=tuple(f"p{number:05d}" for number in range(num_items)),
        unit_of=unit_of,
        means=rng.binomial(num_samples, p) / num_samples,
        num_samples=np.full(p.shape, num_samples),
        num_left_out=0,
    )


def flattened(curves: ItemCurves, rng: np.random.Generator) -> ItemCurves:
    """The same answers with the steps of each unit in random order: what they would have looked like if steps did not matter.

    Every item keeps its difficulty and how much it wavers, items of one cluster keep together, and the true trajectory is flat: a
    permutation of paired data (Good 2005, section 3.7). That neighbouring checkpoints are more alike than distant ones is lost.
    """
    order = rng.random((curves.num_units, len(curves.steps))).argsort(axis=1)[curves.unit_of][None]
    return replace(
        curves,
        means=np.take_along_axis(curves.means, np.broadcast_to(order, curves.means.shape), axis=2),
        num_samples=np.take_along_axis(curves.num_samples, np.broadcast_to(order, curves.means.shape), axis=2),
    )
