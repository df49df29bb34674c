"""The censored length curves: their points, their bands, the table, and which of them the figure shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ray_study.analyze.length_curves import clustered_errors, curves_table, intervals, length_curves, thinned
from ray_study.analyze.length_figure import MOST_PANELS, plot_curves, shown_steps, step_styles, token_ticks
from ray_study.analyze.lengths import greenwood, survival
from ray_study.analyze.page.content import gather
from ray_study.analyze.page.lengths import attempts_by_arm, length
from ray_study.analyze.statistics import clustered_standard_error
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import GradedAttempt

MakeStudy = Callable[..., StudyTables]
MakeAttempt = Callable[..., GradedAttempt]


def test_without_units_the_error_of_a_point_is_greenwoods() -> None:
    tokens, stopped = [2, 3, 4, 4, 6, 8], [True, False, True, False, True, False]
    curve = survival(tokens, stopped)
    found = clustered_errors(curve, np.arange(3), (tokens, stopped), np.arange(6))
    assert found == pytest.approx(greenwood(curve) * np.sqrt(6 / 5))


def test_with_one_cap_the_error_is_that_of_a_share_clustered_by_item() -> None:
    rng = np.random.default_rng(2)
    tokens = np.minimum(np.repeat(rng.integers(1, 60, 20), 4) + rng.integers(0, 9, 80), 50)
    units = np.repeat(np.arange(20), 4)
    curve = survival(tokens.tolist(), (tokens < 50).tolist())
    chosen = np.array([3, 9, 15])
    found = clustered_errors(curve, chosen, (tokens.tolist(), (tokens < 50).tolist()), units)
    for place, error in zip(chosen, found, strict=True):
        going = (tokens > curve.times[place]).astype(float)
        assert error == pytest.approx(clustered_standard_error(going.tolist(), [str(unit) for unit in units]))
        assert error > 1.5 * greenwood(curve)[place]


def test_a_band_holds_the_true_share_in_most_samples_though_items_are_asked_four_times() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        lengths = np.repeat(rng.normal(100, 20, 50), 4) + rng.normal(0, 8, 200)
        tokens, stopped = np.minimum(lengths, 120).astype(int), lengths < 120
        curve = survival(tokens.tolist(), stopped.tolist())
        place = np.array([np.searchsorted(curve.times, 99, side="right") - 1])
        errors = clustered_errors(curve, place, (tokens.tolist(), stopped.tolist()), np.repeat(np.arange(50), 4))
        low, high = intervals(curve, place, errors, 50)
        # P(length >= 100) of a normal around 100.
        covered += low[0] <= 0.5 <= high[0]
    assert 0.90 <= covered / 200 <= 0.99


def test_a_curve_keeps_a_point_wherever_it_falls_by_another_level_and_its_last() -> None:
    assert thinned(np.array([0.99, 0.9, 0.74, 0.70, 0.5, 0.2, 0.1]), levels=4).tolist() == [2, 4, 5, 6]
    assert thinned(np.array([2 / 3, 1 / 3, 0.0])).tolist() == [0, 1, 2]
    assert thinned(np.zeros(0)).tolist() == []


def test_what_was_cut_is_still_writing_at_the_cap_and_what_was_never_asked_is_no_length(make_attempt: MakeAttempt) -> None:
    attempts = [make_attempt(item, num_tokens=10 * (item + 1), cap=50) for item in range(4)]
    attempts += [make_attempt(item, verdict="unfinished", num_tokens=50, cap=50) for item in (4, 5)]
    refused = [replace(attempts[0], problem_id="p9", finish_reason="refused", num_tokens=0)]
    (curve,) = length_curves({("all", "sums"): {0: [*attempts, *refused], 5: refused}})
    assert curve.tokens.tolist() == [0, 10, 20, 30, 40, 50]
    assert curve.share == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 2 / 6])
    assert (curve.num_attempts, curve.num_items, curve.cap) == (6, 6, 50)
    assert ((curve.low <= curve.share) & (curve.share <= curve.high)).all()
    assert curve.mean_of_cap == pytest.approx((10 + 20 + 30 + 40 + 100) / 6 / 50)


def test_where_all_have_stopped_the_band_still_has_an_upper_end(make_attempt: MakeAttempt) -> None:
    (curve,) = length_curves({("all", "sums"): {0: [make_attempt(item, num_tokens=5) for item in range(30)]}})
    assert (curve.tokens.tolist(), curve.share.tolist()) == ([0, 5], [1, 0])
    assert 0.05 < curve.high[-1] < 0.2


def test_seeds_are_pooled_and_a_shared_first_step_counts_once(make_study: MakeStudy, make_attempt: MakeAttempt) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("math-cot",), steps=(0, 20), num_items=10)
    first = study.runs[0]
    other = replace(first, id="other", name="other", seed=1)
    at_20 = next(cell for cell in study.attempts if cell.step == 20)
    again = replace(at_20, run="other", attempts=tuple(replace(each, asked_of="g") for each in at_20.attempts))
    checkpoints = [replace(each, run="other", fingerprint=each.fingerprint if each.step == 0 else "g") for each in study.checkpoints]
    scores = [replace(each, run="other") for each in study.scores if each.step == 20]
    both = replace(
        study,
        runs=[first, other],
        checkpoints=[*study.checkpoints, *checkpoints],
        attempts=[*study.attempts, again],
        scores=[*study.scores, *scores],
    )
    (by_step,) = attempts_by_arm(gather(both)).values()
    assert {step: len(graded) for step, graded in by_step.items()} == {0: 20, 20: 40}


def test_the_report_has_the_curves_as_a_figure_and_a_table_but_not_in_its_json(make_study: MakeStudy) -> None:
    study = make_study(models=("small", "large"), benchmarks=("math-500", "advbench"), steps=(0, 20, 640), num_items=12)
    content = length(gather(study))
    table = content.long_tables["length_curves"]
    assert "length_curves" not in content.tables
    assert table.group_by("label", "benchmark", "step").len().height == 4 * 2 * 3
    assert table.filter(table["tokens"] == 0)["share_writing"].unique().to_list() == [1.0]
    figure = content.figures["length_curves"]()
    assert len(figure.axes) == MOST_PANELS
    for axes in figure.axes:
        texts = [text.get_text() for text in axes.texts]
        assert {"step 0", "step 20", "step 640", "cap 4,096 "} <= set(texts)
        assert any(text.startswith("n ") for text in texts)
        # A line for each step, and the cap.
        assert len(axes.lines) == 4


def test_the_panels_are_those_in_which_lengths_move_most(make_attempt: MakeAttempt) -> None:
    def curves_of(name: str, moves: int) -> dict[int, list[GradedAttempt]]:
        return {step: [make_attempt(item, num_tokens=50 + moves * step, cap=100) for item in range(5)] for step in (0, 1, 9)}

    moves = {"a": 0, "b": 4, "c": 1, "d": 3}
    curves = length_curves({("all", name): curves_of(name, each) for name, each in moves.items()})
    titles = [axes.get_title(loc="left") for axes in plot_curves(curves).axes]
    assert titles == ["b, all", "c, all", "d, all"]
    assert plot_curves([]).axes == []


def test_of_many_steps_the_first_and_the_last_are_drawn_in_colours_that_differ(make_attempt: MakeAttempt) -> None:
    curves = length_curves({("all", "sums"): {step: [make_attempt(0), make_attempt(1)] for step in range(20)}})
    shown = [each.step for each in shown_steps(curves)]
    assert (len(shown), shown[0], shown[-1]) == (6, 0, 19)
    assert len({style.colour for style in step_styles(shown).values()}) == 6


@pytest.mark.parametrize(("low", "high", "ticks"), [(1, 5000, [1, 10, 100, 1000]), (8, 128, [10, 20, 50, 100]), (30, 70, [50])])
def test_ticks_are_round_numbers_of_tokens(low: float, high: float, ticks: list[int]) -> None:
    assert token_ticks(low, high) == ticks


def test_a_table_of_no_curve_keeps_its_columns() -> None:
    assert curves_table([]).columns[:3] == ["label", "benchmark", "step"]
