"""How often `find_dip` says what, over made-up studies of which the truth is known: that there is a dip, or that there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves, Numbers
from ray_study.analyze.dips import Dip, find_dip
from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.power import Exam, Spread
from ray_study.analyze.simulation import DIP, STEPS, Abilities, flattened, simulated_exam
from ray_study.analyze.splits import cross_fit
from ray_study.analyze.statistics import Estimate

TRAJECTORIES = 200
SPLITS = 10
"""Of each flat trajectory: its mean is what is looked at, and there are many trajectories."""


def power_of_dip(  # noqa: PLR0913 - a simulated study is all of these
    depth: float,
    spread: Spread,
    exam: Exam,
    *,
    accuracy: float,
    steps: Sequence[int] = STEPS,
    form: Numbers = DIP,
    num_trajectories: int = TRAJECTORIES,
    seed: int = 0,
) -> Estimate:
    """How often `find_dip` calls a dip of this depth one, recovered or not: by simulation, with the interval of so many trajectories.

    With a depth of 0 it is how often a flat trajectory is called a dip.

    Args:
        depth: of the true mean score.
        spread: of the items; one from a single sample an item cannot be simulated.
        exam: what is asked.
        accuracy: the score at the first step.
        steps: of the checkpoints.
        form: what is lost at each step, in units of the depth.
        num_trajectories: how many studies are made up.
        seed: of them.

    Raises:
        ValueError: the spread has no variance of a sample.
    """
    if spread.samples is None:
        raise ValueError("found a spread from one sample an item, expected one from two samples or more, or `assumed_spread`")
    rng = np.random.default_rng(seed)
    abilities = Abilities(accuracy=accuracy, items=spread.items, changes=spread.changes, seeds=spread.seeds or 0.0)
    found = 0
    for _ in range(num_trajectories):
        curves = simulated_exam(
            rng,
            abilities,
            shift=-depth * np.asarray(form),
            steps=steps,
            sizes=(exam.num_seeds, exam.num_items, exam.num_samples),
            clusters=(exam.num_units, exam.correlation),
        )
        dip = find_dip(curves, num_draws=2)
        found += _is_called_one(dip)
    return _share(found, num_trajectories)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """What the same answers would have looked like if steps did not matter; one entry a made-up study."""

    lowest: tuple[float, ...]
    """The first score less the lowest later one, as one reads it off a picture."""
    held_out: tuple[float, ...]
    """The fall to the bottom that one half of the items chose, measured on the other half."""
    share_called: Estimate
    """How often `find_dip` calls it a dip."""

    def share_as_deep(self, lowest: float) -> float:
        """The share of flat studies whose lowest point lies at least this far below the first."""
        return sum(depth >= lowest - 1e-12 for depth in self.lowest) / len(self.lowest)


def if_it_were_flat(curves: ItemCurves, *, num_trajectories: int = TRAJECTORIES, seed: int = 0) -> Flat:
    """What curves like these look like where no step differs from another: made by `flattened`, with a fixed seed."""
    rng = np.random.default_rng(seed)
    lowest, held_out, found = [], [], 0
    for _ in range(num_trajectories):
        flat = flattened(curves, rng)
        curve = flat.curve()
        lowest.append(float(curve[0] - curve[1:].min()))
        held_out.append(float(cross_fit(flat, SPLITS).fall.mean()))
        found += _is_called_one(find_dip(flat, num_draws=2))
    return Flat(lowest=tuple(lowest), held_out=tuple(held_out), share_called=_share(found, num_trajectories))


def _is_called_one(dip: Dip | None) -> bool:
    return dip is not None and dip.shape in ("dip_only", "dip_and_recovery")


def _share(found: int, num_trajectories: int) -> Estimate:
    share = found / num_trajectories
    low, high = wilson_interval(share, num_trajectories)
    error = math.sqrt(share * (1 - share) / num_trajectories)
    return Estimate(value=share, standard_error=error, low=low, high=high, num_items=num_trajectories)
