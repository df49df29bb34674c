"""The flow between right, wrong and unfinished as figures: a column a checkpoint, a ribbon a transition, every state labelled directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from ray_study.analyze.flow import STATES, Flow, State, counted
from ray_study.analyze.layout import spread
from ray_study.analyze.panels import GREY, SMALL

MOST_COLUMNS = 9
"""More checkpoints than this make ribbons that cannot be told apart; the table has all."""
PANELS_A_ROW = 2
HALF_COLUMN = 0.07
STATE_COLOURS: Mapping[State, str] = {
    "right": "#0072B2",
    "wrong": "#D55E00",
    "no_answer": "#B8629A",
    "unfinished": "#B8860B",
    "unjudged": "#777777",
    "missing": "#BBBBBB",
}
"""Okabe and Ito's, as in the other figures, pink and yellow darkened so that they can be read on white; the order from top to bottom is the same everywhere, so that colour is never alone."""

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
    figure = Figure(figsize=(5.4 * num_columns + 0.9, 2.9 * num_rows + 0.3), facecolor="white")
    FigureCanvasAgg(figure)
    # Set by hand: to find a layout costs more than to draw it.
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 1.05 / width,
        top=1 - 0.38 / height,
        bottom=0.55 / height,
        wspace=0.42,
        hspace=0.45 if num_rows > 1 else 0,
    )
    thinned = 0
    for number, flow in enumerate(found):
        columns = drawn_columns(len(flow.steps))
        thinned = max(thinned, len(flow.steps) - len(columns))
        draw_flow(figure.add_subplot(num_rows, num_columns, number + 1), flow, columns)
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


def draw_flow(axes: Any, flow: Flow, columns: Sequence[int]) -> None:
    """Draw one flow: blocks for the states of each checkpoint, ribbons between neighbours, labels at both ends."""
    total = len(flow.lines)
    present = [Counter(states[column] for states in flow.lines.values()) for column in columns]
    heights = [_stack(counts, total) for counts in present]
    ribbons, colours, strengths = [], [], []
    for place, counts in enumerate(counted(flow, columns)):
        for (before, after), polygon in _ribbons(counts, heights[place], heights[place + 1], place, total):
            ribbons.append(polygon)
            colours.append(STATE_COLOURS[before])
            # What stays is the background of what moves.
            strengths.append(0.16 if before == after else 0.55)
    axes.add_collection(PolyCollection(ribbons, facecolors=colours, alpha=strengths, edgecolors="none", linewidths=0))
    blocks = [
        (state, [(x - HALF_COLUMN, low), (x + HALF_COLUMN, low), (x + HALF_COLUMN, high), (x - HALF_COLUMN, high)])
        for x, column in enumerate(heights)
        for state, (low, high) in column.items()
    ]
    faces = [STATE_COLOURS[state] for state, _ in blocks]
    axes.add_collection(PolyCollection([polygon for _, polygon in blocks], facecolors=faces, edgecolors="white", linewidths=0.6))
    _label(axes, heights[0], -HALF_COLUMN, left=True)
    _label(axes, heights[-1], len(columns) - 1 + HALF_COLUMN, left=False)
    _dress(axes, flow, columns)


def _stack(counts: Mapping[State, int], total: int) -> Heights:
    """The blocks of a column, the first state on top."""
    heights: dict[State, tuple[float, float]] = {}
    top = 1.0
    for state in STATES:
        if counts[state]:
            heights[state] = (top - counts[state] / total, top)
            top -= counts[state] / total
    return heights


Polygon = Any


def _ribbons(
    counts: Mapping[tuple[State, State], int], left: Heights, right: Heights, place: int, total: int
) -> list[tuple[tuple[State, State], Polygon]]:
    """The ribbons between two columns, each from its place in the block it leaves to its place in the block it joins."""
    found = []
    out = {state: top for state, (_, top) in left.items()}
    into = {state: top for state, (_, top) in right.items()}
    for before in STATES:
        for after in STATES:
            thickness = counts.get((before, after), 0) / total
            if thickness:
                found.append(((before, after), _band(place, (out[before], into[after]), thickness)))
                out[before] -= thickness
                into[after] -= thickness
    return found


def _band(place: int, tops: tuple[float, float], thickness: float) -> Polygon:
    """A band of even thickness that leaves and arrives level (a cubic between the two heights)."""
    t = np.linspace(0, 1, 13)
    x = place + HALF_COLUMN + t * (1 - 2 * HALF_COLUMN)
    y = tops[0] + (tops[1] - tops[0]) * t * t * (3 - 2 * t)
    return np.concatenate([np.stack([x, y], axis=1), np.stack([x, y - thickness], axis=1)[::-1]])


def _label(axes: Any, heights: Heights, x: float, *, left: bool) -> None:
    """The share of each state beside its block, pushed apart where blocks are thin; names stand on the right."""
    names = list(heights)
    places = spread([(low + high) / 2 for low, high in heights.values()], 0.075)
    # The lowest labels may not run into the ticks.
    shift = max(0.0, 0.02 - min(places, default=0.02))
    for state, place in zip(names, places, strict=True):
        low, high = heights[state]
        share = f"{100 * (high - low):.0f} %"
        axes.annotate(
            share if left else f"{state.replace('_', ' ')} {share}",
            xy=(x, place + shift),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=SMALL,
            color=STATE_COLOURS[state] if state != "missing" else GREY,
            annotation_clip=False,
        )


def _dress(axes: Any, flow: Flow, columns: Sequence[int]) -> None:
    axes.set_xlim(-HALF_COLUMN, len(columns) - 1 + HALF_COLUMN)
    axes.set_ylim(0, 1)
    axes.set_xticks(range(len(columns)), [f"{flow.steps[column]:,}" for column in columns])
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL, length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"step (equal columns); {len(flow.lines):,} attempts at each", fontsize=SMALL + 0.5)
    # parse_math off: a dollar in a name is a dollar.
    axes.set_title(f"{flow.benchmark}: {flow.label}", fontsize=9, loc="left", fontweight="bold", parse_math=False)
