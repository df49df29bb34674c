"""Score and fall against size, as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ray_study.analyze.grids import relabelled
from ray_study.analyze.layout import Style, run_styles
from ray_study.analyze.panels import GREY, dress, label_ends
from ray_study.analyze.plots import new_figure
from ray_study.analyze.study_tables import StudyTables

AXIS_LABELS = {"parameters": "parameters", "examples": "examples learned from", "steps": "training steps"}
QUANTITY_LABELS = {"score": "last score", "fall": "fall below step 0, points", "share_recovered": "share of the fall regained"}
SCALES = {"score": 1.0, "fall": 100.0, "share_recovered": 1.0}


def plot_sizes(study: StudyTables, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """What was measured against the size, with 95 % intervals: a row a quantity, a column a benchmark, a line for what is held fixed.

    The score at step 0 is dotted.
    """
    benchmarks = list(dict.fromkeys(row["benchmark"] for row in rows))
    quantities = [name for name in QUANTITY_LABELS if any(_known(row, name) for row in rows)]
    held = {row["run"]: row["held_fixed"] for row in rows}
    styles = relabelled(run_styles([run for run in study.runs if run.id in held]), held).by_run
    sizes = sorted({row["size"] for row in rows})
    figure = new_figure(2.6 * len(benchmarks) + 1.6, 2.3 * len(quantities) + 0.4)
    for up, quantity in enumerate(quantities):
        for across, benchmark in enumerate(benchmarks):
            axes = figure.add_subplot(len(quantities), len(benchmarks), up * len(benchmarks) + across + 1)
            own = [row for row in rows if row["benchmark"] == benchmark]
            ends = _lines(axes, own, quantity, styles)
            dress(axes, benchmark if up == 0 else "", AXIS_LABELS[own[0]["axis"]], QUANTITY_LABELS[quantity] if across == 0 else "")
            # Logarithms on a plain axis: that of matplotlib has ticks of its own.
            ticks = [sizes[0], sizes[-1]] if len(sizes) > 3 else sizes
            axes.set_xticks([math.log10(at) for at in ticks], [short(at) for at in ticks])
            axes.set_xlim(math.log10(sizes[0] / 1.3), math.log10(sizes[-1] * 1.3))
            if across == len(benchmarks) - 1:
                label_ends(axes, ends, styles)
    return figure


def _lines(axes: Any, rows: Sequence[Mapping[str, Any]], quantity: str, styles: Mapping[str, Style]) -> dict[str, float]:
    """Draw a line for each thing held fixed; the last value of each comes back."""
    ends: dict[str, float] = {}
    scale = SCALES[quantity]
    for run in dict.fromkeys(row["run"] for row in rows):
        line = [row for row in rows if row["run"] == run and _known(row, quantity)]
        style = styles[run]
        x = [math.log10(row["size"]) for row in line]
        found = [row["measured"][quantity] for row in line]
        y = [scale * each.value for each in found]
        axes.plot(x, y, color=style.colour, marker=style.marker, markersize=4, linewidth=1.3, zorder=3)
        bars = [(at, each) for at, each in zip(x, found, strict=True) if each.low is not None and each.high is not None]
        axes.vlines(
            [at for at, _ in bars],
            [scale * each.low for _, each in bars],
            [scale * each.high for _, each in bars],
            color=style.colour,
            linewidth=0.9,
            alpha=0.5,
            zorder=2,
        )
        if quantity == "score":
            axes.plot(x, [row["start"] for row in line], color=style.colour, linestyle=":", linewidth=1.0, zorder=2)
        else:
            axes.axhline(0.0, color=GREY, linewidth=0.7, zorder=1)
        ends |= {run: y[-1]} if y else {}
    return ends


def _known(row: Mapping[str, Any], quantity: str) -> bool:
    found = row["measured"][quantity]
    return found is not None and found.value is not None


def short(value: float) -> str:
    """A size in a few characters, such as `1.7B`."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
