"""The figure of a comparison: both trajectories with their bands, and beneath each panel their difference with its band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ray_study.analyze.compared import Compared, Side
from ray_study.analyze.judged import MEANS
from ray_study.analyze.layout import COLOURS, spread, step_positions, step_ticks
from ray_study.analyze.pairing import Pair
from ray_study.analyze.panels import GREY, SMALL, dress
from ray_study.analyze.trajectories import Trajectory, study_trajectories

NUM_COLUMNS = 3
COLOUR_A, COLOUR_B = COLOURS[0], COLOURS[1]
MARKS = {"differs": "o", "agrees": "o", "not comparable": "x"}


def plot_pair(a: Side, b: Side, pair: Pair, rows: Sequence[Compared]) -> Figure:
    """The figure of one pair of runs, a column a benchmark: trajectories above, B less A beneath."""
    benchmarks = list(dict.fromkeys(row.benchmark for row in rows))
    num_columns = min(NUM_COLUMNS, max(1, len(benchmarks)))
    num_rows = math.ceil(len(benchmarks) / num_columns)
    figure = Figure(figsize=(4.4 * num_columns + 0.6, 4.1 * num_rows + 0.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    # Curves get twice the height of their difference.
    grid = figure.add_gridspec(2 * num_rows, num_columns, height_ratios=[2, 1] * num_rows)
    for number, benchmark in enumerate(benchmarks):
        row, column = divmod(number, num_columns)
        here = [each for each in rows if each.benchmark == benchmark]
        upper = figure.add_subplot(grid[2 * row, column])
        both = [_trajectory(a, pair.a.id, here[0]), _trajectory(b, pair.b.id, here[0])]
        # One axis for both panels, though a step that only one side has, and step 0 where it is shared, have no difference.
        positions = step_positions([point.step for each in both if each is not None for point in each.points])
        _curves(upper, both, (pair.label_a, pair.label_b), here[0], positions)
        _differences(figure.add_subplot(grid[2 * row + 1, column], sharex=upper), here, positions)
    return figure


def _trajectory(side: Side, run: str, row: Compared) -> Trajectory | None:
    found = study_trajectories(side.study, metrics=[row.metric])
    return next((each for each in found if (each.run.id, each.benchmark) == (run, row.benchmark)), None)


def _curves(axes: Any, both: Sequence[Trajectory | None], labels: Sequence[str], row: Compared, positions: Mapping[int, float]) -> None:
    scale = 1.0 if row.metric in MEANS else 100.0
    ends: list[tuple[float, str, str]] = []
    for each, colour, label in zip(both, (COLOUR_A, COLOUR_B), labels, strict=True):
        if each is None:
            continue
        x = [positions[point.step] for point in each.points]
        scores = [point.score for point in each.points]
        y, low, high = (
            [math.nan if score is None or (value := getattr(score, key)) is None else scale * value for score in scores]
            for key in ("value", "low", "high")
        )
        axes.plot(x, y, color=colour, marker="o", markersize=3.8, linewidth=1.3, zorder=3)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
        known = [value for value in y if not math.isnan(value)]
        ends += [(known[-1], label, colour)] if known else []
    dress(axes, f"{row.group.replace('_', ' ')}: {row.benchmark}", "", row.metric.replace("_", " ") + ("" if scale == 1.0 else ", %"))
    axes.tick_params(labelbottom=False)
    low_y, high_y = axes.get_ylim()
    heights = spread([end for end, _, _ in ends], 0.09 * (high_y - low_y))
    for (_, label, colour), height in zip(ends, heights, strict=True):
        place = axes.get_yaxis_transform()
        axes.annotate(
            label, xy=(1.0, height), xycoords=place, xytext=(4, 0), textcoords="offset points", fontsize=SMALL, color=colour, va="center"
        )


def _differences(axes: Any, rows: Sequence[Compared], positions: Mapping[int, float]) -> None:
    scale = 1.0 if rows[0].metric in MEANS else 100.0
    known = [row for row in rows if row.difference is not None]
    axes.axhline(0, color=GREY, linewidth=0.9, zorder=1)
    x = [positions[row.step] for row in known]
    y = [scale * (row.difference or 0.0) for row in known]
    bounds = [[math.nan if value is None else scale * value for value in (row.low, row.high)] for row in known]
    if len(known) > 1:
        axes.fill_between(x, [low for low, _ in bounds], [high for _, high in bounds], color=GREY, alpha=0.2, linewidth=0, zorder=1)
    elif known:
        axes.vlines(x, [bounds[0][0]], [bounds[0][1]], color=GREY, linewidth=0.9)
    axes.plot(x, y, color="#333333", linewidth=1.2, zorder=2)
    for at, value, row in zip(x, y, known, strict=True):
        # Filled: clear after adjusting for all that were compared.
        axes.plot(
            [at], [value], marker="o", markersize=4.2, color="#333333", markerfacecolor="#333333" if row.verdict == "differs" else "white"
        )
    missing = [positions[row.step] for row in rows if row.difference is None]
    axes.plot(
        missing, [0.04] * len(missing), marker="x", linestyle="none", markersize=4.5, color=GREY, transform=axes.get_xaxis_transform()
    )
    dress(axes, "", "step", "B less A" + ("" if scale == 1.0 else ", points"))
    ticks = step_ticks(positions)
    axes.set_xticks(list(ticks.values()), [f"{step:,}" for step in ticks])
