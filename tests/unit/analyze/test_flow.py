from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from ray_study.analyze.flow import (
    FATES,
    Flow,
    State,
    counted,
    examined_steps,
    fate_of,
    fate_rows,
    fates,
    flow_table,
    flows,
    follow,
    transitions,
)
from ray_study.analyze.flow_figure import MOST_COLUMNS, drawn_columns, plot_flow
from ray_study.analyze.plots import figure_bytes
from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import GradedAttempt

MakeAttempt = Callable[..., GradedAttempt]
MakeStudy = Callable[..., StudyTables]
LETTERS: dict[str, State] = {"R": "right", "W": "wrong", "N": "no_answer", "U": "unfinished", "?": "unjudged", ".": "missing"}


@pytest.mark.parametrize(
    ("states", "fate"),
    [
        ("RRR", "always_right"),
        ("R?R", "always_right"),
        ("RWR", "forgotten_and_regained"),
        ("RUUR", "forgotten_and_regained"),
        ("RRN", "forgotten"),
        ("RWRW", "forgotten"),
        ("WWR", "learned_and_kept"),
        ("UR.R", "learned_and_kept"),
        ("WRWR", "learned_after_setbacks"),
        ("WRU", "learned_and_lost"),
        ("WNU", "never_right"),
        ("?R", "unknown"),
        ("..", "unknown"),
    ],
)
def test_what_becomes_of_an_attempt_is_told_by_its_judged_checkpoints(states: str, fate: str) -> None:
    assert fate_of(LETTERS[letter] for letter in states) == fate


def test_every_attempt_is_somewhere_at_every_step_and_has_one_fate(make_study: MakeStudy) -> None:
    found = flows(make_study(benchmarks=("math-500", "countdown"), num_items=30, steps=(0, 20, 640)))
    assert [(each.label, each.benchmark, each.steps) for each in found] == [
        (label, benchmark, (0, 20, 640)) for benchmark in ("math-500", "countdown") for label in ("math-cot", "math-nocot")
    ]
    for each in found:
        num_lines = 30 * (2 if each.benchmark == "math-500" else 1)
        assert len(each.lines) == num_lines
        assert [sum(counts.values()) for counts in counted(each, range(3))] == [num_lines] * 2
        assert sum(fates(each).values()) == num_lines
        shares = [row.share for row in fate_rows([each]) if row.share is not None]
        assert sum(shares) == pytest.approx(1)


def test_what_flows_into_a_checkpoint_flows_out_of_it(make_study: MakeStudy) -> None:
    (each,) = flows(make_study(benchmarks=("countdown",), datasets=("math-cot",), num_items=50, steps=(0, 20, 640)))
    first, second = counted(each, range(3))
    into, out = Counter[State](), Counter[State]()
    for (_, state), count in first.items():
        into[state] += count
    for (state, _), count in second.items():
        out[state] += count
    assert into == out
    table = flow_table([each])
    assert table["num_attempts"].sum() == 100
    assert table.columns[3:] == ["step_before", "step_after", "state_before", "state_after", "num_attempts"]


def test_a_line_that_a_step_lacks_is_missing_there_and_not_wrong(make_attempt: MakeAttempt) -> None:
    two = (make_attempt(0, 0, "correct"), make_attempt(1, 0, "wrong"))
    flow = follow({0: two, 10: two[:1], 20: two}, run="r", label="r", benchmark="b")
    assert flow.lines["p0001", 0] == ("wrong", "missing", "wrong")
    assert fates(flow) == dict.fromkeys(FATES, 0) | {"always_right": 1, "never_right": 1}
    assert transitions(two, two[:1]) == {("right", "right"): 1, ("wrong", "missing"): 1}


def test_a_failed_run_and_a_benchmark_without_attempts_have_no_steps(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("countdown",), failed=("math-nocot",), steps=(0, 10), num_items=4)
    assert examined_steps(study) == {(study.runs[0].id, "countdown"): (0, 10)}
    assert examined_steps(make_study(benchmarks=("countdown",), with_attempts=False, num_items=4)) == {}


def test_of_many_checkpoints_the_figure_shows_first_last_and_some_between_and_says_so() -> None:
    steps = tuple(range(40))
    lines: dict[tuple[str, int], tuple[State, ...]] = {
        (f"p{number}", 0): tuple("right" if (number + step) % 3 else "wrong" for step in steps) for number in range(30)
    }
    flow = Flow(run="r", label="a $run$ with_a_name", benchmark="b", steps=steps, lines=lines)
    columns = drawn_columns(40)
    assert (len(columns), columns[0], columns[-1]) == (MOST_COLUMNS, 0, 39)
    assert columns == sorted(set(columns))
    drawn = plot_flow([flow], num_left_out=2)
    assert drawn.note.startswith("showing 1 of 3 runs; showing 9 of 40 checkpoints")
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert {"0", "39", "right 67 %", "wrong 33 %", "b: a $run$ with_a_name"} <= set(texts)
    assert figure_bytes(drawn.figure, "svg").startswith(b"<?xml")
    assert plot_flow([flow]).note.startswith("showing 9 of 40")
    with pytest.raises(ValueError, match="found no flow"):
        plot_flow([])


def test_the_blocks_of_a_column_fill_it_in_the_same_order_everywhere(make_study: MakeStudy) -> None:
    (each,) = flows(make_study(benchmarks=("countdown",), datasets=("math-cot",), num_items=50, steps=(0, 640)))
    assert plot_flow([each]).note == ""
    texts = [text.get_text() for text in plot_flow([each]).figure.axes[0].texts]
    left = [int(text.split()[0]) for text in texts if text.endswith(" %") and text[0].isdigit()]
    assert sum(left) == pytest.approx(100, abs=2)
    names = [text.rsplit(" ", 2)[0] for text in texts if text.endswith(" %") and not text[0].isdigit()]
    assert names == [name for name in ("right", "wrong", "no answer", "unfinished") if name in names]
