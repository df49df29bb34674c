"""Item curves of which the truth is known, for asking how often a verdict is right: of a design, before anything is spent on it."""

from __future__ import annotations

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves

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
