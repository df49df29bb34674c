"""Figures that are a grid of panels over steps or sizes, in the colours and markers that every figure of a study has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ray_study.analyze.layout import Style, Styles, run_styles, step_positions
from ray_study.analyze.panels import GREY, SMALL, dress, label_ends, scale_steps
from ray_study.analyze.plots import empty_figure, legend, new_figure
from ray_study.analyze.study_tables import StudyTables


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel. What is missing is None, and a gap."""

    key: str
    """A run's id, or that of the first run of an arm: it decides colour and marker."""
    steps: Sequence[int]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    """95 % interval; empty where there is none."""
    high: Sequence[float | None] = ()
    dashed: bool = False


def series_grid(
    study: StudyTables,
    panels: Mapping[tuple[str, str], Sequence[Series]],
    *,
    y_label: str,
    whole_share: bool = False,
    zero_line: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Panels over logarithmic steps, a row for each first name of a key and a column for each second one.

    Args:
        study: decides how runs look.
        panels: (row, column) -> its lines.
        y_label: of all panels.
        whole_share: whether the axes go from 0 to 1.
        zero_line: whether 0 is drawn.
        labels: key of a series -> what stands at the end of its line; its run's own label without it.
    """
    panels = {key: found for key, found in panels.items() if any(value is not None for each in found for value in each.values)}
    if not panels:
        return empty_figure("nothing to draw")
    rows, columns = (list(dict.fromkeys(key[side] for key in panels)) for side in (0, 1))
    keys = {each.key for found in panels.values() for each in found}
    styles = relabelled(run_styles([run for run in study.runs if run.id in keys]), labels or {})
    figure = new_figure(3.3 * len(columns) + (2.6 if len(columns) == 1 else 1.4), 2.3 * len(rows) + 0.6)
    lowest = {column: row for row in rows for column in columns if (row, column) in panels}
    alike = len({tuple(sorted({step for each in found for step in each.steps})) for found in panels.values()}) == 1
    for (row, column), found in panels.items():
        axes = figure.add_subplot(len(rows), len(columns), rows.index(row) * len(columns) + columns.index(column) + 1)
        positions = step_positions([step for each in found for step in each.steps])
        ends = {each.key: end for each in found if not each.dashed and (end := draw_series(axes, each, positions, styles)) is not None}
        for each in found:
            if each.dashed:
                draw_series(axes, each, positions, styles)
        dress(
            axes,
            ": ".join(part for part in (row.strip(), column) if part),
            "step" if row == lowest[column] else "",
            y_label if column == columns[0] else "",
        )
        if zero_line:
            axes.axhline(0.0, color=GREY, linewidth=0.8, zorder=1)
        if whole_share:
            axes.set_ylim(-0.03, 1.03)
        scale_steps(axes, positions)
        # Steps that all panels share stand below each column once.
        axes.tick_params(labelbottom=not alike or row == lowest[column])
        if column == columns[-1]:
            label_ends(axes, ends, styles.by_run)
    legend(figure, styles, {})
    return figure


def relabelled(styles: Styles, labels: Mapping[str, str]) -> Styles:
    """The styles with other labels."""
    by_run = {
        run: Style(colour=style.colour, marker=style.marker, label=labels.get(run, style.label)) for run, style in styles.by_run.items()
    }
    return Styles(by_run=by_run, colours=styles.colours, markers=styles.markers)


def draw_series(axes: Any, each: Series, positions: Mapping[int, float], styles: Styles) -> float | None:
    """Draw one line with its interval; its last known value comes back."""
    style = styles.by_run[each.key]
    x = [positions[step] for step in each.steps]
    y = [math.nan if value is None else value for value in each.values]
    axes.plot(
        x,
        y,
        color=style.colour,
        marker=style.marker,
        markersize=3.4,
        linewidth=1.0 if each.dashed else 1.3,
        linestyle="--" if each.dashed else "-",
        markerfacecolor="white" if each.dashed else style.colour,
        zorder=3,
    )
    if each.low and not each.dashed:
        low, high = ([math.nan if value is None else value for value in side] for side in (each.low, each.high))
        axes.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0, zorder=1)
    known = [value for value in y if not math.isnan(value)]
    return known[-1] if known else None


def note(figure: Figure, text: str) -> None:
    """Write what a reader must know below the panels."""
    figure.supxlabel(text, fontsize=SMALL, color=GREY)
