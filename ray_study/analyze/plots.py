"""The curves of a study as figures: colour-blind-safe, with 95 % intervals, direct labels, and gaps where scores are missing.

Figures are built without pyplot, so drawing touches no global state, needs no display and works in any thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from ray_study.analyze.layout import Styles, panel_rows, run_styles
from ray_study.analyze.panels import GREY, SMALL, Line, Look, draw_panel, dress, label_ends
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import PRIMARY_METRICS, Trajectory, benchmark_cards, study_trajectories
from ray_study.rows import BenchmarkCard

NUM_COLUMNS = 3
HOLLOW_NOTE = "hollow marker: over 10 % of responses were cut at the cap, so the unrestricted mean is longer"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that a notebook shows by itself."""

    png: bytes

    def _repr_png_(self) -> bytes:
        return self.png


def picture(figure: Figure) -> Picture:
    """The figure as something that a notebook shows."""
    return Picture(figure_bytes(figure, "png"))


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """The file of a figure, `png` or `svg`, the same bytes for the same figure."""
    buffer = io.BytesIO()
    # The salt and the missing date keep an unchanged SVG unchanged.
    with rc_context({"svg.hashsalt": "ray_study", "svg.fonttype": "path"}):
        if suffix == "svg":
            figure.savefig(buffer, format=suffix, metadata={"Date": None})
        else:
            # Pressed less hard, a file is a tenth larger and made in less time.
            figure.savefig(buffer, format=suffix, dpi=160, pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """The PNG and the SVG that were written of a figure, which is laid out once for both."""
    directory.mkdir(parents=True, exist_ok=True)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # With an engine each file would be drawn twice, the first time for the layout alone.
        figure.set_layout_engine(None)
    paths = paths_of(directory, name)
    for path in paths:
        path.write_bytes(figure_bytes(figure, path.suffix[1:]))
    return paths


def paths_of(directory: Path, name: str) -> list[Path]:
    """Of the PNG and the SVG of a figure."""
    return [directory / f"{name}.{suffix}" for suffix in ("png", "svg")]


def plot_accuracy(study: StudyTables) -> Figure:
    """Primary scores over steps, a row of panels for each group of benchmarks: strict verdicts solid, lenient ones dotted."""
    lines = {name: Line(linestyle="-") for name in PRIMARY_METRICS} | {"lenient_accuracy": Line(linestyle=":", plain=True)}
    names = {"accuracy": "strict verdict", "lenient_accuracy": "lenient verdict", "share_refused": ""}
    found = _drop_lenient_where_equal(study_trajectories(study, metrics=list(lines)))
    return _grid(study, found, Look(lines=lines, line_names=names, y_label=_primary_label, base=True))


def plot_length(study: StudyTables) -> Figure:
    """Mean response tokens up to the cap over steps, with the cap; hollow markers where more than a tenth of responses were cut."""
    finished = {
        (each.run.id, each.benchmark, point.step)
        for each in study_trajectories(study, metrics=["share_finished"])
        for point in each.points
        if point.value is not None and point.value < 0.9
    }
    caps = {each.benchmark: max(attempt.cap for attempt in each.attempts) for each in study.attempts if each.attempts}
    look = Look(
        lines={"response_tokens": Line(linestyle="-")},
        line_names={},
        y_label=lambda _: "response tokens",
        caps=caps,
        hollow=frozenset(finished),
    )
    return _grid(study, study_trajectories(study, metrics=["response_tokens"]), look)


def plot_shares(study: StudyTables) -> Figure:
    """Share boxed (solid) and share finished (dashed) over steps: format and stopping, apart from being right."""
    lines = {"share_boxed": Line(linestyle="-"), "share_finished": Line(linestyle="--", plain=True)}
    names = {"share_boxed": "share boxed", "share_finished": "share finished"}
    look = Look(lines=lines, line_names=names, y_label=lambda _: "share", whole_share=True)
    return _grid(study, study_trajectories(study, metrics=list(lines)), look)


def plot_training(study: StudyTables, metrics: Sequence[str] = ("loss",)) -> Figure:
    """Training metrics over steps, a panel a metric and a line a run that did not fail."""
    runs = [run for run in study.runs if run.status != "failed"]
    styles = run_styles(runs)
    shown = [metric for metric in metrics if any(row[2] == metric for row in study.training)]
    if not shown or not runs:
        return empty_figure("no training metrics yet")
    figure = new_figure(4.6 * len(shown) + 1.4, 3.2)
    for number, metric in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        ends: dict[str, float] = {}
        for run in runs:
            rows = sorted((step, value) for owner, step, name, value in study.training if (owner, name) == (run.id, metric))
            if not rows:
                continue
            style = styles.by_run[run.id]
            every = max(1, len(rows) // 8)
            x, y = [step for step, _ in rows], [value for _, value in rows]
            axes.plot(x, y, color=style.colour, marker=style.marker, markevery=every, markersize=3.5, linewidth=1.1, alpha=0.9)
            finite = [value for value in y if math.isfinite(value)]
            ends |= {run.id: finite[-1]} if finite else {}
        dress(axes, f"training {metric}", "step", metric)
        label_ends(axes, ends, styles.by_run)
    legend(figure, styles, {})
    return figure


def _primary_label(card: BenchmarkCard) -> str:
    if card.kind == "judged":
        return card.metric.replace("_", " ")
    return "share refused" if card.kind == "refusal" else "accuracy (share)"


def _grid(study: StudyTables, found: Sequence[Trajectory], look: Look) -> Figure:
    """A panel for each benchmark that has a trajectory, a new row for each group."""
    drawn = [each for each in found if any(point.value is not None for point in each.points)]
    cards = [card for card in benchmark_cards(study) if any(each.benchmark == card.benchmark for each in drawn)]
    if not cards:
        return empty_figure("no scores yet")
    examined = {each.run.id for each in found}
    styles = run_styles([run for run in study.runs if run.id in examined])
    groups = [card.group for card in cards]
    num_columns = min(NUM_COLUMNS, max(max(groups.count(group) for group in groups), min(len(groups), 2)))
    rows = panel_rows(groups, num_columns)
    figure = new_figure(4.4 * num_columns + (1.6 if num_columns == 1 else 0), 2.75 * len(rows) + 0.7)
    for row_number, row in enumerate(rows):
        for column, number in enumerate(row):
            axes = figure.add_subplot(len(rows), num_columns, row_number * num_columns + column + 1)
            draw_panel(axes, cards[number], [each for each in found if each.benchmark == cards[number].benchmark], look, styles)
    present = {each.metric for each in drawn}
    legend(figure, styles, {look.line_names.get(metric, ""): line for metric, line in look.lines.items() if metric in present})
    if look.hollow:
        figure.supxlabel(HOLLOW_NOTE, fontsize=SMALL, color=GREY)
    return figure


def _drop_lenient_where_equal(found: Sequence[Trajectory]) -> list[Trajectory]:
    """The trajectories without the lenient ones that lie on their strict line."""
    strict = {(each.run.id, each.benchmark): [point.value for point in each.points] for each in found if each.metric == "accuracy"}
    return [
        each
        for each in found
        if each.metric != "lenient_accuracy" or [point.value for point in each.points] != strict.get((each.run.id, each.benchmark))
    ]


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that lays itself out and belongs to no window."""
    # A browser's font may be wider than the one that the layout measures by.
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def empty_figure(text: str) -> Figure:
    """A figure that says why there is none."""
    figure = new_figure(5.0, 1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def legend(figure: Figure, styles: Styles, lines: Mapping[str, Line]) -> None:
    """Write what colours, markers and line styles stand for above the panels."""
    handles = [Line2D([], [], color=colour, linewidth=3, label=name) for name, colour in styles.colours.items()]
    handles += [
        Line2D([], [], color=GREY, marker=marker, linestyle="none", markersize=5, label=name) for name, marker in styles.markers.items()
    ]
    handles += [Line2D([], [], color=GREY, linestyle=line.linestyle, linewidth=1.2, label=name) for name, line in lines.items() if name]
    columns = max(2, int(figure.get_figwidth() / 1.7))
    figure.legend(handles=handles, loc="outside upper left", ncols=min(columns, len(handles)), fontsize=SMALL, frameon=False)
