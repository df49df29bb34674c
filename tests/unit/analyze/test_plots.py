from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ray_study.analyze import plots
from ray_study.analyze.panels import GREY
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import Run

MakeStudy = Callable[..., StudyTables]

FEW = ("math-500", "advbench")


def test_a_missing_score_is_drawn_as_a_gap_and_counted(make_study: MakeStudy) -> None:
    """Trap E14."""
    study = make_study(benchmarks=("math-500",), datasets=("math-cot",), steps=(0, 10, 20, 40), missing=[(20, "math-500")])
    (axes,) = plots.plot_accuracy(study).axes
    whole = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert whole
    for line in whole:
        assert np.isnan(np.asarray(line.get_ydata(), dtype=float)).tolist() == [False, False, True, False]
    assert "× 1 missing" in [text.get_text() for text in axes.texts]


def test_strict_verdicts_are_solid_and_lenient_ones_dotted(make_study: MakeStudy) -> None:
    (axes,) = plots.plot_accuracy(make_study(benchmarks=("mmlu-pro",), datasets=("math-cot",))).axes
    assert {line.get_linestyle() for line in axes.lines if len(line.get_xdata()) == 8} == {"-", ":"}


def test_every_group_has_its_panel_and_a_failed_run_none(make_study: MakeStudy) -> None:
    figure = plots.plot_accuracy(make_study(failed=("math-nocot",), steps=(0, 10)))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "in domain: math-500",
        "in domain: countdown",
        "out of domain: gsm8k-hard",
        "out of domain: gpqa-diamond",
        "general: mmlu-pro",
        "safety: advbench",
    ]
    # Grey is the line at step 0.
    colours = {line.get_color() for axes in figure.axes for line in axes.lines} - {GREY}
    assert len(colours) == 1


def test_a_run_that_sits_no_exam_is_in_no_legend_of_scores_and_moves_no_colour(make_study: MakeStudy, make_run: Callable[..., Run]) -> None:
    study = make_study(benchmarks=FEW, steps=(0, 10))
    with_pretraining = replace(study, runs=[make_run("mixture", stage="pretrain"), *study.runs])
    (legend,), (before,) = plots.plot_accuracy(with_pretraining).legends, plots.plot_accuracy(study).legends
    assert [text.get_text() for text in legend.get_texts()] == [text.get_text() for text in before.get_texts()]
    assert [line.get_color() for line in legend.get_lines()] == [line.get_color() for line in before.get_lines()]


def test_the_cap_is_in_the_figure_of_lengths(make_study: MakeStudy) -> None:
    (axes,) = plots.plot_length(make_study(benchmarks=("math-500",))).axes
    assert any(text.get_text().startswith("cap 4,096") for text in axes.texts)


@pytest.mark.parametrize("plot", [plots.plot_accuracy, plots.plot_length, plots.plot_shares, plots.plot_training])
@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": ("math-cot",)},
        {"models": ("s", "m", "l"), "datasets": ("math-cot", "math-nocot", "numina", "countdown"), "steps": (0, 10)},
        {"with_attempts": False},
        {"steps": (0,)},
        {"failed": ("math-cot", "math-nocot")},
    ],
    ids=["one run", "twelve runs", "no attempts", "only step 0", "failed runs only"],
)
def test_every_figure_is_drawn_for_every_shape_of_study(
    plot: Callable[..., object], changes: dict[str, object], make_study: MakeStudy
) -> None:
    figure = plot(make_study(benchmarks=FEW, num_items=8, **changes))
    assert plots.figure_bytes(figure, "svg").startswith(b"<?xml")


def test_a_figure_is_saved_as_png_and_svg_and_stays_the_same(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(benchmarks=("math-500",), steps=(0, 10), num_items=8)
    png, svg = plots.save(plots.plot_shares(study), tmp_path / "one", "shares")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    again = plots.save(plots.plot_shares(study), tmp_path / "two", "shares")
    assert again[1].read_bytes() == svg.read_bytes()
    assert plots.picture(plots.plot_shares(study))._repr_png_().startswith(b"\x89PNG")
