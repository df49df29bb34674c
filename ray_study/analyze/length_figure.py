"""Median lengths by step with thinking and answer apart, and the censored length curves themselves, as figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ray_study.analyze.grids import Series, note, series_grid
from ray_study.analyze.layout import Style
from ray_study.analyze.length_curves import LengthCurve
from ray_study.analyze.panels import GREY, MOST_BANDS, MOST_DIRECT_LABELS, SMALL, dress, label_ends
from ray_study.analyze.plots import NUM_COLUMNS, empty_figure, new_figure
from ray_study.analyze.study_tables import StudyTables

MOST_PANELS = 3

NOTE = "medians by Kaplan-Meier: a gap where more than half were cut; thinking and answer: restricted means"


def plot_medians(study: StudyTables, table: pl.DataFrame) -> Figure:
    """The median response length over steps with its interval, and the restricted means of thinking and of the answer where there is any.

    A row a benchmark, a line a run.
    """
    thinks = bool((table["thinking"].fill_null(0.0) > 0).any())
    columns = {"median": "median tokens"} | ({"thinking": "thinking", "answer": "answer"} if thinks else {})
    panels: dict[tuple[str, str], list[Series]] = {}
    for benchmark in table["benchmark"].unique(maintain_order=True):
        at = table.filter(pl.col("benchmark") == benchmark)
        runs = at["run"].unique(maintain_order=True).to_list()
        for column, name in columns.items():
            panels[benchmark, name] = [
                Series(
                    key=run,
                    steps=own["step"].to_list(),
                    values=own[column].to_list(),
                    low=own[f"{column}_low"].to_list(),
                    high=own[f"{column}_high"].to_list(),
                )
                for run in runs
                if len(own := at.filter(pl.col("run") == run))
            ]
    figure = series_grid(study, panels, y_label="tokens")
    note(figure, NOTE)
    return figure


def plot_curves(curves: Sequence[LengthCurve]) -> Figure:
    """The share of attempts still writing against tokens, a panel an arm and benchmark and a curve a step, with the cap.

    Steps go from dark to light, step 0 is dashed. Of many panels those are drawn in which lengths move most, of many steps some.
    """
    panels: dict[tuple[str, str], list[LengthCurve]] = {}
    for each in curves:
        panels.setdefault((each.benchmark, each.label), []).append(each)
    if not panels:
        return empty_figure("no lengths yet")
    shown = sorted(panels, key=lambda key: _movement(panels[key]), reverse=True)[:MOST_PANELS]
    columns = min(NUM_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(3.6 * columns + 0.6, 2.5 * rows + 0.4)
    for number, key in enumerate(key for key in panels if key in shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        _draw_curves(axes, shown_steps(panels[key]))
        y_label = "share still writing" if number % columns == 0 else ""
        dress(axes, ", ".join(key), "tokens" if number >= len(shown) - columns else "", y_label)
    few = f"{len(shown)} of {len(panels)} panels, those in which lengths move most; " if len(shown) < len(panels) else ""
    bands = "all steps" if max(len(found) for found in panels.values()) <= MOST_BANDS else "first and last step"
    note(figure, f"Kaplan-Meier: what was cut counts as still writing up to its cap; {few}bands of 95 % at {bands}; seeds together")
    return figure


def _movement(found: Sequence[LengthCurve]) -> float:
    """How far the restricted mean moves over steps, as a share of the cap."""
    means = [each.mean_of_cap for each in found]
    return max(means) - min(means)


def shown_steps(found: Sequence[LengthCurve]) -> list[LengthCurve]:
    """At most as many curves as can be labelled, the first and the last step among them."""
    if len(found) <= MOST_DIRECT_LABELS:
        return list(found)
    return [found[round(number * (len(found) - 1) / (MOST_DIRECT_LABELS - 1))] for number in range(MOST_DIRECT_LABELS)]


def step_styles(steps: Sequence[int]) -> dict[int, Style]:
    """A colour for each step, from dark to light in a map that the colour-blind read too; step 0 is grey."""
    trained = [step for step in steps if step > 0]
    colours = colormaps["plasma"](np.linspace(0.0, 0.72, max(2, len(trained))))
    by_step = {step: to_hex(colour) for step, colour in zip(trained, colours, strict=False)}
    return {step: Style(colour=by_step.get(step, GREY), marker="", label=f"step {step:,}") for step in steps}


def _draw_curves(axes: Any, found: Sequence[LengthCurve]) -> None:
    styles = step_styles([each.step for each in found])
    banded = found if len(found) <= MOST_BANDS else (found[0], found[-1])
    shortest = min(max(1.0, float(each.tokens[1])) for each in found if len(each.tokens) > 1)
    left, longest = math.log10(shortest / 1.5), max(max(1.0, each.cap, float(each.tokens[-1])) for each in found)
    for each in found:
        style = styles[each.step]
        # Logarithms on a plain axis: that of matplotlib has ticks of its own. Nothing is written after 0 tokens.
        x = np.concatenate([[left], np.log10(np.maximum(each.tokens[1:], 1.0))])
        dashes = (0, (3, 1.5)) if each.step == 0 else "-"
        axes.plot(x, each.share, drawstyle="steps-post", color=style.colour, linestyle=dashes, linewidth=1.2, zorder=3)
        if each in banded:
            axes.fill_between(x, each.low, each.high, step="post", color=style.colour, alpha=0.13, linewidth=0, zorder=1)
    axes.set_xlim(left, math.log10(longest * 1.12))
    axes.set_ylim(-0.03, 1.03)
    ticks = token_ticks(10**left, longest)
    axes.set_xticks([math.log10(tick) for tick in ticks], [f"{tick:,}" for tick in ticks])
    _mark_cap(axes, max(each.cap for each in found))
    counts = sorted({each.num_attempts for each in found})
    said = f"n {counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "") + f" a step, {found[0].num_items:,} items"
    axes.text(0.02, 0.03, said, transform=axes.transAxes, fontsize=SMALL, color=GREY)
    # Of curves that end alike the longest is named on top.
    ends = {each.step: float(each.share[-1]) for each in sorted(found, key=lambda each: each.mean_of_cap)}
    label_ends(axes, {str(step): end for step, end in ends.items()}, {str(step): style for step, style in styles.items()})


def _mark_cap(axes: Any, cap: int) -> None:
    """A line at the cap, where attempts know one."""
    if cap:
        axes.axvline(math.log10(cap), color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
        axes.text(math.log10(cap), 1.0, f"cap {cap:,} ", fontsize=SMALL, color=GREY, ha="right", va="top")


def token_ticks(low: float, high: float) -> list[int]:
    """Round numbers of tokens between two: tens, hundreds and so on, with twos and fives between where these are few."""
    tens = [10**power for power in range(8) if low <= 10**power <= high]
    if len(tens) > 2:
        return tens
    return [factor * 10**power for power in range(8) for factor in (1, 2, 5) if low <= factor * 10**power <= high]
