from __future__ import annotations

from collections.abc import Callable

import pytest

from ray_study.analyze.layout import panel_rows, run_labels, run_styles, spread, step_positions, step_ticks
from ray_study.rows import Run


def test_step_zero_has_a_place_on_the_logarithmic_axis() -> None:
    assert step_positions([0, 10, 20, 40, 80]) == {0: 0.0, 10: 1.0, 20: 2.0, 40: 3.0, 80: 4.0}
    assert step_positions([0]) == {0: 0.0}
    assert step_positions([]) == {}


def test_tick_labels_keep_the_first_and_last_and_do_not_crowd() -> None:
    positions = step_positions(range(0, 1001, 10))
    ticks = step_ticks(positions)
    assert {0, 1000} <= set(ticks)
    assert len(ticks) <= 9
    assert step_ticks({5: 1.0}) == {5: 1.0}


def test_labels_are_pushed_apart_and_keep_their_order() -> None:
    placed = spread([0.5, 0.51, 0.1, 0.49], 0.1)
    assert placed == pytest.approx([0.5, 0.6, 0.1, 0.4])
    assert spread([0.2, 0.9], 0.1) == [0.2, 0.9]
    assert spread([], 0.1) == []


def test_a_label_says_what_differs_between_runs_and_nothing_else(make_run: Callable[..., Run]) -> None:
    runs = [make_run("a", "m"), make_run("b", "m")]
    assert list(run_labels(runs).values()) == ["a", "b"]
    alone = make_run("a", "m", name="the only one")
    assert run_labels([alone]) == {alone.id: "the only one"}


def test_only_what_comes_before_a_study_is_named_by_its_stage(make_run: Callable[..., Run]) -> None:
    runs = [make_run("a", "m"), make_run("b", "m"), make_run("mixture", "m", stage="pretrain")]
    assert list(run_labels(runs).values()) == ["a", "b", "mixture, pretrain"]


def test_runs_that_differ_in_settings_only_go_by_name(make_run: Callable[..., Run]) -> None:
    runs = [make_run(id="1", name="slow"), make_run(id="2", name="fast")]
    assert run_labels(runs) == {"1": "slow", "2": "fast"}
    assert len({style.colour for style in run_styles(runs).by_run.values()}) == 2


def test_colour_is_the_data_set_and_marker_the_model(make_run: Callable[..., Run]) -> None:
    styles = run_styles([make_run(dataset, model) for dataset in "ab" for model in "mn"])
    assert list(styles.colours) == ["a", "b"]
    assert list(styles.markers) == ["m", "n"]
    assert len({(style.colour, style.marker) for style in styles.by_run.values()}) == 4


def test_a_group_that_does_not_fit_starts_a_new_row() -> None:
    assert panel_rows(["in", "in", "out", "out", "general", "safety"], 2) == [[0, 1], [2, 3], [4, 5]]
    assert panel_rows(["in", "in", "in", "in"], 3) == [[0, 1, 2], [3]]
