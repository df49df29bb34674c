"""Checkpoints are scored as they come, and a study that is interrupted waits for none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sitting import EXAMS, Open

from ray_study.evaluate import Cell
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

    def tell(cells: Sequence[Cell]) -> None:
        told.append((cells[0].checkpoint.step, tuple(cell.exam for cell in cells)))

    found = score(bench.lab, bench.checkpoints.values(), bench.exams, tell)
    # Each is told twice: when it was sat, and in the order of the checkpoints.
    assert list(dict.fromkeys(told)) == [*((step, ("more",)) for step in (0, 2, 8)), *((step, ("sums",)) for step in (0, 2, 8))]
    assert {(cell.checkpoint.step, cell.exam) for cell in found.cells} == {(step, exam) for step in (0, 2, 8) for exam in EXAMS}
    assert all(cell.verdicts is not None for cell in found.cells)
