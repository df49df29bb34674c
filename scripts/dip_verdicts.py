"""Draws docs/pictures/dip-verdicts.png: how often a simulated trajectory is called a dip, where there is none and where there is one.

    .venv/bin/python scripts/dip_verdicts.py [--trajectories 100]

Items of differing ability are asked at nine checkpoints. Left, trajectories that never turn: a dip is called in at most 5 % of cases.
Right, a dip of growing depth, in units of the smallest fall that the design can see (`smallest_detectable`): at twice that it is
found in at least 90 %. The seed is fixed, so the picture comes out the same.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from matplotlib.figure import Figure

from ray_study.analyze.dips import find_dip, smallest_detectable
from ray_study.analyze.layout import COLOURS, MARKERS
from ray_study.analyze.plots import figure_bytes
from ray_study.analyze.simulation import DIP, MONOTONE, Design, simulated

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "dip-verdicts.png"
DESIGNS = {"30 items x 10": (30, 10, 0.6), "198 items x 1": (198, 1, 0.6), "198 items x 3": (198, 3, 0.6), "500 items x 3": (500, 3, 0.7)}
DEPTHS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


def share_called(design: Design, shift: np.ndarray, num_trajectories: int) -> float:
    """The share of simulated trajectories whose shape is a dip, recovered or not."""
    rng = np.random.default_rng(2026)
    shapes = [found.shape for _ in range(num_trajectories) if (found := find_dip(simulated(rng, design, shift), num_draws=50))]
    return sum(shape in ("dip_only", "dip_and_recovery") for shape in shapes) / len(shapes)


def draw(num_trajectories: int) -> Figure:
    """The picture."""
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    for number, (name, design) in enumerate(DESIGNS.items()):
        colour, marker = COLOURS[number], MARKERS[number]
        called = [share_called(design, shift, num_trajectories) for shift in MONOTONE.values()]
        left.plot(called, np.arange(len(MONOTONE)) + 0.15 * (number - 1.5), linestyle="none", marker=marker, color=colour, label=name)
        size = smallest_detectable(simulated(np.random.default_rng(2026), design, DIP * 0))
        found = [share_called(design, -depth * size * DIP, num_trajectories) for depth in DEPTHS]
        right.plot(DEPTHS, found, marker=marker, color=colour, linewidth=1.3, label=f"{name}: sees {100 * size:.0f} points")
    left.set_yticks(range(len(MONOTONE)), list(MONOTONE))
    left.set_xlim(-0.003, 0.1)
    left.set_ylim(len(MONOTONE) - 0.5, -0.5)
    left.axvline(0.05, color="#666666", linestyle="--", linewidth=1)
    left.text(0.051, -0.4, "5 %, the most allowed", fontsize=7.5, color="#666666", va="top")
    left.set_xlabel("share called a dip", fontsize=8)
    left.set_title("no dip", fontsize=9.5, loc="left", fontweight="bold")
    right.axhline(0.9, color="#666666", linestyle="--", linewidth=1)
    right.text(0, 0.91, "90 %", fontsize=7.5, color="#666666")
    right.set_xlabel("true depth / smallest fall that the design can see", fontsize=8)
    right.set_ylabel("share called a dip", fontsize=8)
    right.set_title("a dip with recovery", fontsize=9.5, loc="left", fontweight="bold")
    right.legend(fontsize=7.5, frameon=False, loc="lower right")
    for axes in (left, right):
        axes.tick_params(labelsize=7.5)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> int:
    """0 when the picture is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=100)
    PICTURE.write_bytes(figure_bytes(draw(parser.parse_args().trajectories), "png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
