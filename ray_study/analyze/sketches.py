"""What notebooks show: one trajectory with its dip, what flat ones look like, parts, caps, power; and records as a table.

Figures are built without pyplot, as in `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.dips import Dip
from ray_study.analyze.layout import COLOURS, step_positions, step_ticks
from ray_study.analyze.makeup import Makeup
from ray_study.analyze.panels import GREY, SMALL, dress
from ray_study.analyze.power import Affordable, Exam, Spread, power_of_difference
from ray_study.analyze.rehearsals import Flat
from ray_study.analyze.statistics import Estimate


def in_points(estimate: Estimate) -> str:
    """A share with its 95 % interval, in points of a hundred; "missing" where there is none."""
    if estimate.value is None:
        return "missing"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.1f}"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def as_table(rows: Sequence[Any]) -> pl.DataFrame:
    """Records of one type as a table, a column a field; a share with an interval is shown as `in_points` has it."""
    if not rows:
        return pl.DataFrame()
    names = [each.name for each in fields(rows[0])]
    return pl.DataFrame({name: [_cell(getattr(row, name)) for row in rows] for name in names}, strict=False)


def _cell(value: Any) -> Any:
    return in_points(value) if isinstance(value, Estimate) else round(value, 4) if isinstance(value, float) else value


def plot_dip(curves: ItemCurves, dip: Dip) -> Figure:
    """A trajectory with its simultaneous 95 % band, the first score as a line, and the bottom that most halves choose."""
    figure, axes, x = _over_steps(curves.steps, "the trajectory and its band", "score (share)")
    curve = curves.curve()
    axes.fill_between(x, dip.band.low, dip.band.high, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(x, curve, color=COLOURS[0], marker="o", markersize=4)
    axes.axhline(curve[0], color=GREY, linestyle=(0, (4, 3)), linewidth=0.9)
    at = curves.steps.index(dip.bottom_step)
    axes.annotate(
        f"bottom in {100 * dip.bottom_share:.0f} % of halves", (x[at], curve[at]), (0, -16), textcoords="offset points", fontsize=SMALL
    )
    return figure


def plot_flat(flat: Flat, lowest: float, depth: float) -> Figure:
    """What flat studies show, beside what was measured: the lowest point as one reads it off, and the held-out depth."""
    figure = _figure(8.4, 2.9)
    sides: list[tuple[str, tuple[float, ...], float]] = [
        ("lowest point, as read off", flat.lowest, lowest),
        ("depth on held-out items", flat.held_out, depth),
    ]
    for number, (title, drawn, measured) in enumerate(sides):
        axes = figure.add_subplot(1, 2, number + 1)
        axes.hist([100 * value for value in drawn], bins=20, color=COLOURS[5], edgecolor="white", linewidth=0.4, label="if it were flat")
        axes.axvline(0, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9)
        axes.axvline(100 * measured, color=COLOURS[1], linewidth=1.8, label="measured")
        dress(axes, title, "points below the first step", "studies")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def plot_makeup(parts: Sequence[Makeup]) -> Figure:
    """The factors of accuracy by step; a gap where nothing fulfils the condition."""
    figure, axes, x = _over_steps([each.step for each in parts], "what accuracy is made of", "share")
    drawn: dict[str, list[float | None]] = {
        "finished": [each.finished for each in parts],
        "answered, of these": [each.answered for each in parts],
        "right, of these": [each.right for each in parts],
        "accuracy": [each.accuracy for each in parts],
    }
    for number, (name, values) in enumerate(drawn.items()):
        line = "-" if name == "accuracy" else "--"
        known = [float("nan") if value is None else value for value in values]
        axes.plot(x, known, color=COLOURS[number], linestyle=line, marker="o", markersize=3.5, label=name)
    axes.set_ylim(-0.03, 1.03)
    axes.legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_caps(by_cap: Mapping[int, ItemCurves]) -> Figure:
    """The trajectory under each cap."""
    steps = next(iter(by_cap.values())).steps
    figure, axes, x = _over_steps(steps, "the same answers, cut sooner", "accuracy (share)")
    for number, cap in enumerate(sorted(by_cap, reverse=True)):
        axes.plot(x, by_cap[cap].curve(), color=COLOURS[number % len(COLOURS)], marker="o", markersize=3.5, label=f"cap {cap:,}")
    axes.legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_power(spread: Spread, exams: Sequence[Exam], most: float = 0.25) -> Figure:
    """Power against the true difference, a line an exam."""
    figure = _figure(6.4, 3.2)
    axes = figure.add_subplot()
    sizes = [most * number / 50 for number in range(51)]
    for number, exam in enumerate(exams):
        power = [power_of_difference(size, spread, exam) for size in sizes]
        label = f"{exam.num_items:,} items x {exam.num_samples}"
        axes.plot([100 * size for size in sizes], power, color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=label)
    axes.axhline(0.8, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9)
    axes.set_ylim(0, 1.02)
    dress(axes, "how often a true difference is found", "true difference, points", "power")
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    return figure


def plot_affordable(rows: Sequence[Affordable]) -> Figure:
    """The smallest difference and the smallest dip that a budget can see, against the samples of each item."""
    figure = _figure(6.4, 3.0)
    axes = figure.add_subplot()
    x = range(len(rows))
    axes.plot(x, [100 * row.detectable_difference for row in rows], marker="o", color=COLOURS[0], label="difference, step named beforehand")
    axes.plot(x, [100 * row.detectable_dip for row in rows], marker="s", color=COLOURS[1], label="dip, step looked for")
    axes.set_xticks(list(x), [f"{row.num_items:,} x {row.num_samples}" for row in rows])
    axes.set_ylim(bottom=0)
    dress(axes, "the same tokens, spent otherwise", "items x samples", "smallest that is seen, points")
    axes.legend(fontsize=SMALL, frameon=False)
    return figure


def _over_steps(steps: Sequence[int], title: str, y_label: str) -> tuple[Figure, Any, list[float]]:
    figure = _figure(6.4, 3.0)
    axes = figure.add_subplot()
    positions = step_positions(steps)
    dress(axes, title, "step", y_label)
    ticks = step_ticks(positions)
    axes.set_xticks(list(ticks.values()), [f"{step:,}" for step in ticks])
    return figure, axes, [positions[step] for step in steps]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure
