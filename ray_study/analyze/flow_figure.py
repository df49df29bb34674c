"""The flow between right, wrong and unfinished as figures: a column a checkpoint, a ribbon a transition, every state labelled directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from ray_study.analyze.flow import STATES, Flow, State, counted
from ray_study.analyze.layout import spread
from ray_study.analyze.panels import GREY, SMALL

MOST_COLUMNS = 9
"""More checkpoints than this make ribbons that cannot be told apart; the table has all."""
PANELS_A_ROW = 2
PANEL_WIDTH, PANEL_HEIGHT = 5.2, 2.55
LEFT, BELOW = 0.6, 0.55
"""Room for labels on the left of a panel's columns and under them, in inches as all of these."""
WIDE, HIGH = 3.4, 1.62
HALF_COLUMN = 0.05
MOST_TITLE = 70
STAYS, MOVES = 0.16, 0.55
"""What stays is the background of what moves."""
STATE_COLOURS: Mapping[State, str] = {
    "right": "#0072B2",
    "wrong": "#D55E00",
    "no_answer": "#B8629A",
    "unfinished": "#B8860B",
    "unjudged": "#777777",
    "missing": "#BBBBBB",
}
"""Okabe and Ito's, as in the other figures, pink and yellow darkened so that they can be read on white. The order from top to
bottom is the same everywhere, so that colour is never alone."""

Polygon = Any
Heights = Mapping[State, tuple[float, float]]
"""State -> bottom and top of its block in a column, as shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFigure:
    """One figure of a benchmark's flows with what it leaves out."""

    benchmark: str
    figure: Figure
    note: str
    """In words, which runs and checkpoints are not drawn; empty where all are."""


def plot_flow(found: Sequence[Flow], num_left_out: int = 0) -> FlowFigure:
    """The flows of one benchmark, a panel a run. ValueError where there is none."""
    if not found:
        raise ValueError("found no flow, expected one at least: a run needs attempts at two steps")
    num_columns = min(PANELS_A_ROW, len(found))
    num_rows = -(-len(found) // num_columns)
    width, height = num_columns * PANEL_WIDTH, num_rows * PANEL_HEIGHT
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    # One canvas in inches: axes of their own for each panel, with ticks that are none, take most of the time of drawing.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    thinned = 0
    for number, flow in enumerate(found):
        columns = drawn_columns(len(flow.steps))
        thinned = max(thinned, len(flow.steps) - len(columns))
        corner = (number % num_columns * PANEL_WIDTH + LEFT, height - (number // num_columns + 1) * PANEL_HEIGHT + BELOW)
        draw_flow(axes, flow, columns, corner)
    return FlowFigure(benchmark=found[0].benchmark, figure=figure, note=_note(found, num_left_out, thinned))


def _note(found: Sequence[Flow], num_left_out: int, thinned: int) -> str:
    parts = []
    if num_left_out:
        parts.append(f"showing {len(found)} of {len(found) + num_left_out} runs")
    if thinned:
        most = max(len(flow.steps) for flow in found)
        parts.append(f"showing {MOST_COLUMNS} of {most} checkpoints, first and last among them; ribbons join those that are shown")
    return "; ".join(parts)


def drawn_columns(num_steps: int) -> list[int]:
    """The checkpoints that get a column, by number: all, or the first, the last and those evenly between them."""
    if num_steps <= MOST_COLUMNS:
        return list(range(num_steps))
    return [round(number * (num_steps - 1) / (MOST_COLUMNS - 1)) for number in range(MOST_COLUMNS)]


def draw_flow(axes: Any, flow: Flow, columns: Sequence[int], corner: tuple[float, float]) -> None:
    """Draw one flow with its lower left at `corner`: blocks for the states of each checkpoint, ribbons between, labels at both ends."""
    total = len(flow.lines)
    heights = [_stack(Counter(states[column] for states in flow.lines.values()), total) for column in columns]
    x = [corner[0] + place * WIDE / max(1, len(columns) - 1) for place in range(len(columns))]
    # One path for all that looks alike, not one each: a tenth of the time and of the file.
    ribbons: dict[tuple[State, float], list[Polygon]] = {}
    for place, counts in enumerate(counted(flow, columns)):
        ends = (x[place] + HALF_COLUMN, x[place + 1] - HALF_COLUMN)
        for (before, after), tops, thickness in _ribbons(counts, heights[place], heights[place + 1], total):
            band = _band(ends, tops, thickness) * (1, HIGH) + (0, corner[1])
            ribbons.setdefault((before, STAYS if before == after else MOVES), []).append(band)
    for (state, strength), bands in ribbons.items():
        axes.add_artist(PathPatch(_path(bands), facecolor=STATE_COLOURS[state], alpha=strength, linewidth=0))
    for state in STATES:
        blocks = [(at, *column[state]) for at, column in zip(x, heights, strict=True) if state in column]
        if blocks:
            boxes = [_box(at, corner[1] + HIGH * low, corner[1] + HIGH * high) for at, low, high in blocks]
            axes.add_artist(PathPatch(_path(boxes), facecolor=STATE_COLOURS[state], edgecolor="white", linewidth=0.6))
    _label(axes, heights[0], (x[0] - HALF_COLUMN - 0.04, corner[1]), left=True)
    _label(axes, heights[-1], (x[-1] + HALF_COLUMN + 0.04, corner[1]), left=False)
    _dress(axes, flow, columns, x, corner)


def _path(polygons: Sequence[Polygon]) -> Path:
    return Path.make_compound_path(*(Path(np.concatenate([each, each[:1]]), closed=True) for each in polygons))


def _box(at: float, low: float, high: float) -> Polygon:
    left, right = at - HALF_COLUMN, at + HALF_COLUMN
    return np.array([(left, low), (right, low), (right, high), (left, high)])


def _stack(counts: Mapping[State, int], total: int) -> Heights:
    """The blocks of a column, the first state on top."""
    heights: dict[State, tuple[float, float]] = {}
    top = 1.0
    for state in STATES:
        if counts[state]:
            heights[state] = (top - counts[state] / total, top)
            top -= counts[state] / total
    return heights


def _ribbons(
    counts: Mapping[tuple[State, State], int], left: Heights, right: Heights, total: int
) -> list[tuple[tuple[State, State], tuple[float, float], float]]:
    """Transition, tops at either end and thickness of each ribbon: from its place in the block it leaves to that in the one it joins."""
    found = []
    out = {state: top for state, (_, top) in left.items()}
    into = {state: top for state, (_, top) in right.items()}
    for before in STATES:
        for after in STATES:
            thickness = counts.get((before, after), 0) / total
            if thickness:
                found.append(((before, after), (out[before], into[after]), thickness))
                out[before] -= thickness
                into[after] -= thickness
    return found


def _band(ends: tuple[float, float], tops: tuple[float, float], thickness: float) -> Polygon:
    """A band of even thickness that leaves and arrives level (a cubic between the two heights)."""
    t = np.linspace(0, 1, 13)
    x = ends[0] + t * (ends[1] - ends[0])
    y = tops[0] + (tops[1] - tops[0]) * t * t * (3 - 2 * t)
    return np.concatenate([np.stack([x, y], axis=1), np.stack([x, y - thickness], axis=1)[::-1]])


def _label(axes: Any, heights: Heights, at: tuple[float, float], *, left: bool) -> None:
    """The share of each state beside its block, pushed apart where blocks are thin; names stand on the right."""
    places = spread([(low + high) / 2 for low, high in heights.values()], 0.075)
    # The lowest labels may not run into the steps.
    shift = max(0.0, 0.02 - min(places, default=0.02))
    for (state, (low, high)), place in zip(heights.items(), places, strict=True):
        share = f"{100 * (high - low):.0f} %"
        axes.text(
            at[0],
            at[1] + HIGH * (place + shift),
            share if left else f"{state.replace('_', ' ')} {share}",
            ha="right" if left else "left",
            va="center",
            fontsize=SMALL,
            color=STATE_COLOURS[state] if state != "missing" else GREY,
        )


def _dress(axes: Any, flow: Flow, columns: Sequence[int], x: Sequence[float], corner: tuple[float, float]) -> None:
    for at, column in zip(x, columns, strict=True):
        axes.text(at, corner[1] - 0.05, f"{flow.steps[column]:,}", ha="center", va="top", fontsize=SMALL)
    said = f"step (equal columns); {len(flow.lines):,} attempts at each"
    axes.text(corner[0] + WIDE / 2, corner[1] - 0.22, said, ha="center", va="top", fontsize=SMALL + 0.5)
    # parse_math off: a dollar in a name is a dollar.
    named = f"{flow.benchmark}: {flow.label}"
    name = named if len(named) <= MOST_TITLE else f"{named[:MOST_TITLE]}…"
    axes.text(corner[0] - HALF_COLUMN, corner[1] + HIGH + 0.1, name, fontsize=9, fontweight="bold", parse_math=False)
