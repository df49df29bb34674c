"""The plane of reasoning gained and safety lost, as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ray_study.analyze.asymmetry import PathPoint
from ray_study.analyze.grids import Series, draw_series, relabelled
from ray_study.analyze.layout import Style, run_styles, step_positions
from ray_study.analyze.panels import GREY, SMALL, dress, label_ends, scale_steps
from ray_study.analyze.plots import legend, new_figure
from ray_study.analyze.study_tables import StudyTables

MOST_PATHS = 4
"""More paths than this in one plane hide each other: a panel for each model then."""


def plot_plane(study: StudyTables, paths: Mapping[str, Sequence[PathPoint]], runs: Mapping[str, str]) -> Figure:
    """The path of each arm from step 0 on, with 95 % intervals at every step; beside it the change in over-refusal, where it was measured.

    Args:
        study: decides how runs look.
        paths: arm -> its path.
        runs: arm -> a run of it.
    """
    models = {run.id: run.model for run in study.runs}
    styles = relabelled(
        run_styles([run for run in study.runs if run.id in {runs[arm] for arm in paths}]), {runs[arm]: arm for arm in paths}
    )
    split = len(paths) > MOST_PATHS
    panels = list(dict.fromkeys(models[runs[arm]] for arm in paths)) if split else [""]
    over = {arm: path for arm, path in paths.items() if path[-1].over_refusal is not None}
    figure = new_figure(4.3 * len(panels) + (4.6 if over else 0.8), 4.2)
    num_columns = len(panels) + bool(over)
    shared = None
    for number, model in enumerate(panels):
        axes = figure.add_subplot(1, num_columns, number + 1, sharex=shared, sharey=shared)
        shared = shared or axes
        for arm, path in paths.items():
            if not model or models[runs[arm]] == model:
                _draw_path(axes, path, styles.by_run[runs[arm]])
        dress(axes, model or "safety lost against reasoning gained", "reasoning gained, points", "safety lost, points")
    if shared is not None:
        _frame(figure, shared)
    if over:
        _over_refusal(figure.add_subplot(1, num_columns, num_columns), over, runs, styles)
    legend(figure, styles, {})
    return figure


def _draw_path(axes: Any, path: Sequence[PathPoint], style: Style) -> None:
    x = [100 * (point.reasoning_gain.value or 0.0) for point in path]
    y = [100 * (point.safety_loss.value or 0.0) for point in path]
    axes.plot(x, y, color=style.colour, marker=style.marker, markersize=4, linewidth=1.2, zorder=3)
    for at, up, point in list(zip(x, y, path, strict=True))[1:]:
        gain, loss = point.reasoning_gain, point.safety_loss
        axes.hlines(up, 100 * (gain.low or 0.0), 100 * (gain.high or 0.0), color=style.colour, alpha=0.28, linewidth=0.9, zorder=2)
        axes.vlines(at, 100 * (loss.low or 0.0), 100 * (loss.high or 0.0), color=style.colour, alpha=0.28, linewidth=0.9, zorder=2)
    # The last step by a number; the first is where all paths begin.
    axes.annotate(
        f"{path[-1].step:,}", (x[-1], y[-1]), xytext=(4, 4), textcoords="offset points", fontsize=SMALL, color=style.colour, zorder=4
    )


def _frame(figure: Figure, axes: Any) -> None:
    """The axes through step 0 and the line on which as much is lost as gained, in every panel of the plane."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0], -2.0)
    high = max(axes.get_xlim()[1], axes.get_ylim()[1], 2.0)
    for each in figure.axes:
        each.axhline(0.0, color=GREY, linewidth=0.7, zorder=1)
        each.axvline(0.0, color=GREY, linewidth=0.7, zorder=1)
        each.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        each.annotate("lost = gained", (high, high), xytext=(-4, -10), textcoords="offset points", fontsize=SMALL, color=GREY, ha="right")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)


def _over_refusal(axes: Any, paths: Mapping[str, Sequence[PathPoint]], runs: Mapping[str, str], styles: Any) -> None:
    positions = step_positions([point.step for path in paths.values() for point in path])
    ends: dict[str, float] = {}
    for arm, path in paths.items():
        known = [point.over_refusal for point in path]
        values, low, high = (
            [None if each is None or getattr(each, side) is None else 100 * getattr(each, side) for each in known]
            for side in ("value", "low", "high")
        )
        series = Series(key=runs[arm], steps=[point.step for point in path], values=values, low=low, high=high)
        end = draw_series(axes, series, positions, styles)
        ends |= {runs[arm]: end} if end is not None else {}
    axes.axhline(0.0, color=GREY, linewidth=0.7, zorder=1)
    dress(axes, "harmless requests refused", "step", "change since step 0, points")
    scale_steps(axes, positions)
    label_ends(axes, ends, styles.by_run)
