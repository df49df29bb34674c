"""Where things go in a figure and how runs look, worked out without drawing: colours, labels, step positions, missing points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_study.rows import Run

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#555555")
"""Okabe and Ito's colour-blind-safe colours, their yellow darkened so that it can be read on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How one run is drawn, the same in every figure."""

    colour: str
    marker: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Styles:
    """The style of each run, and what the colours and markers stand for."""

    by_run: Mapping[str, Style]
    colours: Mapping[str, str]
    """What a colour means -> the colour."""
    markers: Mapping[str, str]
    """The same for markers; empty where they mean nothing."""


def run_labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short label for each run, out of what differs between runs: data set, model, stage, seed, or the name where those do not tell."""
    parts = {run.id: {"dataset": run.dataset, "model": run.model, "stage": _stage(run), "seed": f"seed {run.seed}"} for run in runs}
    differ = [key for key in ("dataset", "model", "stage", "seed") if len({each[key] for each in parts.values()}) > 1]
    labels = {run_id: ", ".join(each[key] for key in differ if each[key]) for run_id, each in parts.items()}
    counts = Counter(labels.values())
    return {run.id: labels[run.id] if differ and counts[labels[run.id]] == 1 and labels[run.id] else run.name or run.id for run in runs}


def _stage(run: Run) -> str:
    # What a study is about needs no word; what comes before it does.
    return "" if run.stage == "sft" else run.stage


def run_styles(runs: Sequence[Run]) -> Styles:
    """Colour for the data set and marker for the model; with one data set the colour is for whatever tells the runs apart."""
    labels = run_labels(runs)
    # Pretraining comes last: what it is drawn in must not shift the colours of figures that leave it out.
    datasets = list(dict.fromkeys(run.dataset for run in sorted(runs, key=lambda run: run.stage == "pretrain")))
    models = list(dict.fromkeys(run.model for run in runs))
    meaning = {run.id: run.dataset if len(datasets) > 1 else run.model if len(models) > 1 else labels[run.id] for run in runs}
    names = datasets if len(datasets) > 1 else list(dict.fromkeys(meaning.values()))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    markers = {name: MARKERS[number % len(MARKERS)] for number, name in enumerate(models)}
    return Styles(
        by_run={run.id: Style(colour=colours[meaning[run.id]], marker=markers[run.model], label=labels[run.id]) for run in runs},
        colours=colours,
        markers=markers if len(models) > 1 and len(datasets) > 1 else {},
    )


def step_positions(steps: Sequence[int]) -> dict[int, float]:
    """Step -> where it stands on a logarithmic axis that also has room for step 0, one doubling left of the first step."""
    positive = sorted({step for step in steps if step > 0})
    first = positive[0] if positive else 1
    return {step: 0.0 if step == 0 else 1.0 + math.log2(step / first) for step in sorted(set(steps))}


def step_ticks(positions: Mapping[int, float], share_apart: float = 0.13) -> dict[int, float]:
    """The steps that get a tick label: first and last, and those between that stand far enough from their neighbours."""
    if len(positions) < 2:
        return dict(positions)
    steps = sorted(positions)
    apart = share_apart * (positions[steps[-1]] - positions[steps[0]])
    kept = [steps[0]]
    for step in steps[1:-1]:
        if min(positions[step] - positions[kept[-1]], positions[steps[-1]] - positions[step]) >= apart:
            kept.append(step)
    return {step: positions[step] for step in [*kept, steps[-1]]}


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The heights of labels that would stand at `wanted`, pushed apart to at least `gap` and moved as little as possible.

    Neighbours that collide become a block around their mean, and blocks that collide are merged (isotonic regression).
    """
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    blocks: list[tuple[float, int]] = []
    for rank, number in enumerate(order):
        mean, size = wanted[number] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    placed = [0.0] * len(wanted)
    heights = [mean for mean, size in blocks for _ in range(size)]
    for rank, number in enumerate(order):
        placed[number] = heights[rank] + rank * gap
    return placed


def panel_rows(groups: Sequence[str], num_columns: int) -> list[list[int]]:
    """The panels of each row, as numbers into `groups`: a group that does not fit into the row that is open starts a new one."""
    rows: list[list[int]] = []
    for group in dict.fromkeys(groups):
        panels = [number for number, name in enumerate(groups) if name == group]
        if not rows or len(rows[-1]) + len(panels) > num_columns:
            rows.append([])
        for number in panels:
            if len(rows[-1]) == num_columns:
                rows.append([])
            rows[-1].append(number)
    return rows
