"""Checkpoints are scored as they come, and a study that is interrupted waits for none of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from sitting import EXAMS, Open

from ray_study.evaluate import Cell, Sittings
from ray_study.rows import Checkpoint
from ray_study.serving import PoolUnavailable, Reply, Request
from ray_study.study import score


def test_an_interrupted_study_stops_the_sitting_under_way_and_begins_no_other(open_bench: Open) -> None:
    bench = open_bench()

    def for_hours(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        assert bench.engines.stopped.wait(120), "nobody told the sitting to stop"
        raise PoolUnavailable("the pool was closed before the shard was answered")

    bench.engines.answer = for_hours

    def events() -> Iterator[Checkpoint]:
        yield from bench.checkpoints.values()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(bench.lab, events(), bench.exams, lambda cells: None)
    assert set(bench.engines.asked_of) <= {bench.checkpoints[0].path}


def test_equal_files_sit_once_and_are_scored_under_each_name(open_bench: Open) -> None:
    bench = open_bench()
    start = bench.checkpoints[0]
    events = [start, Checkpoint(**{**{name: getattr(start, name) for name in start.__slots__}, "run": "another"})]
    found = score(bench.lab, events, bench.exams, lambda cells: None)
    assert bench.engines.num_asked == 5
    assert [cell.checkpoint.run for cell in found.cells] == [start.run] * 2 + ["another"] * 2


def test_the_first_checkpoint_is_scored_before_the_last_one_comes(open_bench: Open) -> None:
    bench = open_bench()
    scored: list[int] = []

    def events() -> Iterator[Checkpoint]:
        yield bench.checkpoints[0]
        for _ in range(1200):
            if scored or bench.engines.stopped.wait(0.1):
                break
        assert scored == [0], "nothing was scored before the last checkpoint came"
        yield bench.checkpoints[8]

    found = score(bench.lab, events(), bench.exams, lambda cells: scored.append(cells[0].checkpoint.step))
    assert len(found.cells) == 4


def test_all_checkpoints_sit_the_primary_exam_before_any_sits_another(open_bench: Open) -> None:
    bench = open_bench({"evaluation/benchmarks": {**EXAMS, "more": {**EXAMS["more"], "primary": True}}})
    told: list[tuple[int, tuple[str, ...]]] = []
    all_are_there = threading.Event()

    def events() -> Iterator[Checkpoint]:
        yield from bench.checkpoints.values()
        all_are_there.set()

    def tell(cells: Sequence[Cell]) -> None:
        told.append((cells[0].checkpoint.step, tuple(cell.exam for cell in cells)))
        # The first has sat its exam when it is told; what is next is decided then.
        assert all_are_there.wait(60)

    found = score(bench.lab, events(), bench.exams, tell)
    # Each is told twice: when it was sat, and in the order of the checkpoints.
    assert list(dict.fromkeys(told)) == [*((step, ("more",)) for step in (0, 2, 8)), *((step, ("sums",)) for step in (0, 2, 8))]
    assert {(cell.checkpoint.step, cell.exam) for cell in found.cells} == {(step, exam) for step in (0, 2, 8) for exam in EXAMS}
    assert all(cell.verdicts is not None for cell in found.cells)


def test_evaluators_sit_other_exams_while_no_primary_one_is_owed(open_bench: Open) -> None:
    bench = open_bench({"evaluation/benchmarks": {**EXAMS, "more": {**EXAMS["more"], "primary": True}}})
    told: list[tuple[int, str]] = []

    def events() -> Iterator[Checkpoint]:
        yield bench.checkpoints[0]
        for _ in range(1200):
            if len(told) == 2 or bench.engines.stopped.wait(0.1):
                break
        assert told == [(0, "more"), (0, "sums")], "an evaluator waited for the next checkpoint with exams at hand"
        yield bench.checkpoints[8]

    found = score(bench.lab, events(), bench.exams, lambda cells: told.append((cells[0].checkpoint.step, cells[0].exam)))
    assert len(found.cells) == 4


def test_of_what_waits_the_lowest_rank_is_next_and_lanes_do_not_wait_for_each_other() -> None:
    begun, goes_on, done = threading.Event(), threading.Event(), []

    def first() -> str:
        begun.set()
        assert goes_on.wait(60)
        return "first"

    with Sittings[object](1, lambda: None) as waiting:
        results = [waiting.owe("a", 1, first)]
        assert begun.wait(60)
        for rank, name in ((1, "later"), (0, "urgent"), (1, "last"), (0, "urgent too")):
            results.append(waiting.owe("a", rank, partial(done.append, name)))
        assert waiting.owe("b", 1, lambda: "beside").result(60) == "beside"
        assert done == []
        goes_on.set()
        assert results[0].result(60) == "first"
    assert done == ["urgent", "urgent too", "later", "last"]


def test_an_error_of_a_sitting_is_told_to_whoever_asks_for_its_result() -> None:
    def fails() -> None:
        raise OSError("the disk is full")

    with Sittings[object](1, lambda: None) as waiting:
        with pytest.raises(OSError, match="the disk is full"):
            waiting.owe("a", 0, fails).result(60)
        assert waiting.owe("a", 0, lambda: "goes on").result(60) == "goes on"
