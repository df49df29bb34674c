"""How long the responses of a data set are, as a picture and as the numbers under it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from ray_study.analyze.layout import COLOURS
from ray_study.analyze.panels import GREY, SMALL
from ray_study.analyze.plots import figure_bytes

MOST_BINS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Counts of lengths: `counts[i]` of them are `width * i + start` or more, and fewer than `width` more than that."""

    start: int
    width: int
    counts: tuple[int, ...]


def bins_of(lengths: Mapping[int, int], most: int = MOST_BINS) -> Bins:
    """The counts of lengths in at most so many bins of equal width, a round number of tokens each.

    Args:
        lengths: how many have each length.
        most: bins.
    """
    if not lengths:
        return Bins(start=0, width=1, counts=())
    low, high = min(lengths), max(lengths)
    width = _round_up((high - low + 1) / most)
    start = low - low % width
    while (high - start) // width >= most:
        width = _round_up(width + 1)
        start = low - low % width
    counts = [0] * ((high - start) // width + 1)
    for length, count in lengths.items():
        counts[(length - start) // width] += count
    return Bins(start=start, width=width, counts=tuple(counts))


def _round_up(value: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... that is no less."""
    power = 10 ** max(0, math.floor(math.log10(value))) if value > 1 else 1
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def quantile(lengths: Mapping[int, int], share: float) -> int:
    """The least length that at least this share of them do not exceed."""
    left = share * sum(lengths.values())
    for length in sorted(lengths):
        left -= lengths[length]
        if left <= 0:
            return length
    return max(lengths)


def lengths_png(lengths: Mapping[int, int], unit: str, title: str) -> bytes:
    """The histogram of lengths as a PNG, with the median marked.

    Args:
        lengths: how many responses have each length; at least one.
        unit: what is counted, such as `tokens`.
        title: of the picture.
    """
    bins = bins_of(lengths)
    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.subplots()
    edges = [bins.start + index * bins.width for index in range(len(bins.counts))]
    axes.bar(edges, bins.counts, width=bins.width, align="edge", color=COLOURS[0], edgecolor="white", linewidth=0.4)
    # Room above the bars for the label.
    axes.set_ylim(0, 1.15 * max(bins.counts))
    median = quantile(lengths, 0.5)
    axes.axvline(median, color=GREY, linewidth=1, linestyle="--")
    axes.annotate(
        f"median {median}", (median, 1), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points", fontsize=SMALL
    )
    axes.set_xlabel(f"{unit} of a response", fontsize=SMALL)
    axes.set_ylabel("examples", fontsize=SMALL)
    # Names are people's: a dollar sign is no mathematics.
    axes.set_title(title.replace("$", r"\$"), fontsize=SMALL + 1, loc="left")
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    return figure_bytes(figure, "png")
