"""One panel of a figure: the lines of one benchmark on axes that somebody else made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_study.analyze.judged import MEANS
from ray_study.analyze.layout import Style, Styles, spread, step_positions, step_ticks
from ray_study.analyze.trajectories import Trajectory
from ray_study.rows import BenchmarkCard

MOST_BANDS = 3
"""With more lines than this in a panel, bands hide each other and thin bars take their place."""
MOST_DIRECT_LABELS = 6
SMALL = 7.5
GREY = "#666666"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one metric is drawn: `plain` lines are thin and carry no interval and no label."""

    linestyle: str
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What differs between the figures that are a grid of benchmarks."""

    lines: Mapping[str, Line]
    line_names: Mapping[str, str]
    y_label: Callable[[BenchmarkCard], str]
    caps: Mapping[str, int] | None = None
    hollow: frozenset[tuple[str, str, int]] = frozenset()
    whole_share: bool = False
    base: bool = False
    """Whether the score at step 0 is drawn as a line across."""


def draw_panel(axes: Any, card: BenchmarkCard, found: Sequence[Trajectory], look: Look, styles: Styles) -> None:
    """Draw the trajectories of one benchmark, with intervals, gaps where points are missing, and labels."""
    positions = step_positions([point.step for each in found for point in each.points])
    # Lines without an interval follow others; where they are alone, as for benchmarks without a box, they lead.
    leading = [each for each in found if not look.lines[each.metric].plain] or list(found)
    runs = list(dict.fromkeys(each.run.id for each in found))
    bands = len(leading) <= MOST_BANDS
    ends: dict[str, float] = {}
    missing: list[tuple[float, str]] = []
    for each in found:
        style, line = styles.by_run[each.run.id], look.lines[each.metric]
        # Bars would hide each other, so the runs stand a little beside each other.
        shift = 0.0 if bands else (runs.index(each.run.id) / (len(runs) - 1) - 0.5) * 0.36
        x = [positions[point.step] + shift for point in each.points]
        y = [math.nan if point.value is None else point.value for point in each.points]
        width, strength = (0.9, 1.0 if bands else 0.5) if line.plain else (1.3, 1.0)
        axes.plot(x, y, color=style.colour, linestyle=line.linestyle, linewidth=width, alpha=strength, zorder=3)
        if each not in leading:
            continue
        _intervals(axes, each, x, style, bands=bands)
        _markers(axes, each, x, style, look.hollow)
        missing += [(at, style.colour) for at, value in zip(x, y, strict=True) if math.isnan(value)]
        known = [value for value in y if not math.isnan(value)]
        ends |= {each.run.id: known[-1]} if known else {}
    if look.base:
        _base_lines(axes, leading)
    dress(axes, f"{card.group.replace('_', ' ')}: {card.benchmark}", "step", look.y_label(card))
    scale_steps(axes, positions)
    _scale_values(axes, look, card)
    _mark_missing(axes, missing)
    label_ends(axes, ends, styles.by_run)


def _base_lines(axes: Any, leading: Sequence[Trajectory]) -> None:
    """A line across at each score of an untrained student: runs of one model share theirs."""
    for height in {each.points[0].value for each in leading if each.points[0].step == 0 and len(each.points) > 1} - {None}:
        axes.axhline(height, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)


def _markers(axes: Any, each: Trajectory, x: Sequence[float], style: Style, hollow: frozenset[tuple[str, str, int]]) -> None:
    cut = [(each.run.id, each.benchmark, point.step) in hollow for point in each.points]
    for is_hollow in sorted(set(cut)):
        shown = [
            (at, point.value) for point, at, own in zip(each.points, x, cut, strict=True) if own == is_hollow and point.value is not None
        ]
        face = "white" if is_hollow else style.colour
        axes.scatter(
            [at for at, _ in shown],
            [value for _, value in shown],
            s=18,
            marker=style.marker,
            edgecolors=style.colour,
            facecolors=face,
            linewidths=1,
            zorder=4,
        )


def _intervals(axes: Any, each: Trajectory, x: Sequence[float], style: Style, *, bands: bool) -> None:
    """The 95 % intervals of a trajectory, as a band or as thin bars."""
    scores = [point.score for point in each.points]
    low = [math.nan if found is None or found.low is None else found.low for found in scores]
    high = [math.nan if found is None or found.high is None else found.high for found in scores]
    # A single point has no band to fill.
    if bands and len(x) > 1:
        axes.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0, zorder=1)
        return
    axes.vlines(x, low, high, color=style.colour, alpha=0.8 if bands else 0.35, linewidth=0.9, zorder=2)


def _mark_missing(axes: Any, missing: Sequence[tuple[float, str]]) -> None:
    """Crosses on the axis where a checkpoint has no score, and how many there are."""
    for at, colour in missing:
        axes.plot([at], [0.03], marker="x", markersize=5, color=colour, transform=axes.get_xaxis_transform(), zorder=5)
    if missing:
        text = f"× {len(missing)} missing"
        axes.text(0.99, 0.05, text, transform=axes.transAxes, fontsize=SMALL, color=GREY, ha="right", va="bottom")


def scale_steps(axes: Any, positions: Mapping[int, float]) -> None:
    """Put ticks at the steps of a logarithmic axis that has room for step 0."""
    ticks = step_ticks(positions)
    axes.set_xticks(list(ticks.values()), [f"{step:,}" for step in ticks])
    first, last = min(positions.values()), max(positions.values())
    margin = 0.03 * max(last, 1.0) + 0.2
    axes.set_xlim(first - margin, last + margin)


def _scale_values(axes: Any, look: Look, card: BenchmarkCard) -> None:
    """Limits that show the curves, and the cap where there is one."""
    low, high = axes.get_ylim()
    if look.whole_share:
        axes.set_ylim(-0.03, 1.03)
        return
    if look.caps is None and card.metric in MEANS:
        return
    if look.caps is None:
        middle, half = (low + high) / 2, max((high - low) / 2, 0.06)
        axes.set_ylim(max(-0.02, middle - half), min(1.02, max(middle + half, 0.1)))
        return
    axes.yaxis.set_major_formatter("{x:,.0f}")
    cap = look.caps.get(card.benchmark)
    if cap is None:
        axes.set_ylim(0, high * 1.05)
    elif cap > 2.5 * high:
        axes.set_ylim(0, high * 1.15)
        text = f"cap {cap:,}, far above"
        axes.text(0.01, 0.97, text, transform=axes.transAxes, fontsize=SMALL, color=GREY, va="top")
    else:
        axes.set_ylim(0, cap * 1.16)
        axes.axhline(cap, color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
        axes.text(0.01, cap * 1.01, f"cap {cap:,}", transform=axes.get_yaxis_transform(), fontsize=SMALL, color=GREY, va="bottom")


def label_ends(axes: Any, ends: Mapping[str, float], styles: Mapping[str, Style]) -> None:
    """Write a label right of the panel for each line, at the height of its last point where there is room for all."""
    if not ends or len(ends) > MOST_DIRECT_LABELS or len({styles[run].label for run in ends}) < 2:
        return
    low, high = axes.get_ylim()
    heights = spread(list(ends.values()), 0.075 * (high - low))
    for run, height in zip(ends, heights, strict=True):
        style = styles[run]
        axes.annotate(
            style.label,
            xy=(1.0, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=style.colour,
            va="center",
            annotation_clip=False,
        )


def dress(axes: Any, title: str, x_label: str, y_label: str) -> None:
    """Give axes their title and labels, and the look of all panels."""
    # With its height given, a title is not looked for a place for at each drawing.
    axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold", y=1.0)
    axes.set_xlabel(x_label, fontsize=SMALL + 0.5)
    axes.set_ylabel(y_label, fontsize=SMALL + 0.5)
    axes.tick_params(labelsize=SMALL)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
