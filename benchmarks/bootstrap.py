"""How long it takes to draw a benchmark's trajectory again 10,000 times: 500 items at 9 checkpoints, 4 samples each.

    python benchmarks/bootstrap.py [--draws 10000] [--items 500] [--steps 9]

Everything that is read off a trajectory is taken from the same draws: the band, the step of the bottom, depth, recovery and area.
Measured with samples drawn within items too, which is the longer way. The last line is JSON.
`ratio` is 2 seconds / measured; 1.0 or more is the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves, draw_trajectories, percentile_interval, simultaneous_band

GOAL = 1.0
MOST_SECONDS = 2.0
ROUNDS = 5


def made_up(num_items: int, num_steps: int, num_samples: int) -> ItemCurves:
    """Item curves of right and wrong answers, with a dip in the middle."""
    rng = np.random.default_rng(0)
    ability = rng.beta(2, 2, (num_items, 1)) - 0.1 * np.sin(np.linspace(0, np.pi, num_steps))
    right = rng.binomial(num_samples, np.clip(ability, 0, 1))
    return ItemCurves(
        steps=tuple(range(num_steps)),
        items=tuple(f"p{number:05d}" for number in range(num_items)),
        unit_of=np.arange(num_items),
        means=right[None] / num_samples,
        num_samples=np.full((1, num_items, num_steps), num_samples),
        num_left_out=0,
    )


def seconds(curves: ItemCurves, num_draws: int, *, within_items: bool) -> float:
    """The seconds of one set of draws with all that is read off it."""
    start = time.perf_counter()
    draws = draw_trajectories(curves, num_draws=num_draws, within_items=within_items)
    simultaneous_band(curves, draws)
    bottom = draws[:, 1:].min(axis=1)
    depth = draws[:, 0] - bottom
    percentile_interval(depth)
    percentile_interval(np.where(depth > 0, (draws[:, -1] - bottom) / np.maximum(depth, 1e-9), np.nan))
    percentile_interval(np.maximum(draws[:, :1] - draws, 0).sum(axis=1))
    np.bincount(draws[:, 1:].argmin(axis=1))
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--steps", type=int, default=9)
    options = parser.parse_args()
    curves = made_up(options.items, options.steps, 4)
    alone = [seconds(curves, options.draws, within_items=False) for _ in range(ROUNDS)]
    within = [seconds(curves, options.draws, within_items=True) for _ in range(ROUNDS)]
    found = {
        "name": "bootstrap",
        "ratio": round(MOST_SECONDS / float(np.median(within)), 2),
        "goal": GOAL,
        "num_draws": options.draws,
        "num_items": options.items,
        "num_steps": options.steps,
        "seconds": round(float(np.median(within)), 3),
        "seconds_items_alone": round(float(np.median(alone)), 3),
        "slowest_seconds": round(max(within), 3),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
