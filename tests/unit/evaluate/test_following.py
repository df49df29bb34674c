"""Checkpoints that another driver makes are found when they are whole, and waited for while it lives."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sitting import Bench, Open, replies

from ray_study.claims import claim
from ray_study.following import Patience, left_behind, made
from ray_study.grid import planned
from ray_study.manifests import MANIFEST
from ray_study.owed import matrix
from ray_study.results import findings
from ray_study.rows import Checkpoint, Run
from ray_study.runs import BASES
from ray_study.serving import SwapRefused
from ray_study.store import ClaimLost
from ray_study.study import score

SOON = Patience(poll_seconds=0.02, without_trainer_seconds=0.5)


@pytest.fixture
def bench(open_bench: Open) -> Bench:
    bench = open_bench({"sweep/dataset": ["cot"]})
    bench.lab.last_steps.clear()
    start = bench.checkpoints[0]
    bench.lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": start.path}})
    return bench


def finish(bench: Bench, **facts: object) -> None:
    run = bench.checkpoints[0].run
    bench.lab.store.finish(bench.lab.store.workspace("train", run), stage="train", mark=run, sources=[], facts=facts)


def steps(events: list[Checkpoint | Run]) -> list[int]:
    return [event.step for event in events if isinstance(event, Checkpoint)]


def test_what_is_there_is_found_once_step_0_first_and_nothing_is_waited_for(bench: Bench) -> None:
    events = list(made(bench.lab, follow=False))
    assert steps(events) == [0, 2, 8]
    assert [event.status for event in events if isinstance(event, Run)] == ["owed"]
    assert bench.lab.last_steps == {planned(bench.lab.study)[0].id: 8}


def test_a_half_written_checkpoint_is_not_there_until_its_manifest_is(bench: Bench) -> None:
    directory = Path(bench.checkpoints[8].path)
    (directory / MANIFEST).rename(directory / "half")
    events = made(bench.lab, follow=True, patience=replace(SOON, without_trainer_seconds=60))
    assert [next(events).step, next(events).step] == [0, 2]  # type: ignore[union-attr]
    timer = threading.Timer(0.2, lambda: [(directory / "half").rename(directory / MANIFEST), finish(bench)])
    timer.start()
    rest = list(events)
    timer.join()
    assert steps(rest) == [8]
    assert [event.status for event in rest if isinstance(event, Run)] == ["finished"]


def test_it_waits_while_a_trainer_lives_and_ends_when_it_is_gone_with_what_is_owed(bench: Bench) -> None:
    told: list[str] = []

    def follow() -> None:
        runs = [event for event in made(bench.lab, follow=True, patience=SOON) if isinstance(event, Run)]
        told.append(left_behind(runs))

    waiting = threading.Thread(target=follow)
    with claim(bench.lab.store, "train"):
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive(), "it ended though a trainer lives"
    waiting.join(20)
    assert told == [
        f"nobody trains this study any more, and {planned(bench.lab.study)[0].name!r} is owed: train on with `ray-study run --train-only`, "
        "or with `run`"
    ]


def test_a_run_that_has_finished_ends_the_waiting_and_one_that_failed_may_be_tried_again(bench: Bench) -> None:
    run = bench.checkpoints[0].run
    bench.lab.store.write_json(f"train-{run}/failed.json", {"name": "x", "error": "diverged"})
    failed = [event for event in made(bench.lab, follow=True, patience=SOON) if isinstance(event, Run)]
    assert [(event.status, event.error) for event in failed] == [("failed", "diverged")]
    assert left_behind(failed) == ""
    finish(bench)
    with claim(bench.lab.store, "train"):
        assert len(list(made(bench.lab, follow=True, patience=SOON))) == 4


def test_a_driver_that_lost_its_claim_waits_no_more(bench: Bench) -> None:
    bench.lab.store.lose("another driver took it over")
    with pytest.raises(ClaimLost, match="took it over"):
        list(made(bench.lab, follow=True, patience=SOON))


def test_what_is_found_is_scored_as_in_a_run_and_the_reason_of_a_failure_is_stored_until_it_is(bench: Bench) -> None:
    def refusing(checkpoint: str, requests: object) -> object:
        if checkpoint == bench.checkpoints[2].path:
            raise SwapRefused("its checksum is another")
        return replies(checkpoint, requests)  # type: ignore[arg-type]

    def states() -> dict[int, set[str]]:
        return {
            row.step: {f"{cell.state} {cell.why}".strip() for cell in row.cells.values()}
            for row in matrix(bench.lab.study, bench.lab.store)
        }

    bench.engines.answer = refusing  # type: ignore[assignment]
    score(bench.lab, made(bench.lab, follow=False), bench.exams, lambda cells: None)
    assert states() == {0: {"scored"}, 2: {"failed SwapRefused: its checksum is another"}, 8: {"scored"}}
    bench.engines.answer = replies
    found = score(bench.lab, made(bench.lab, follow=False), bench.exams, lambda cells: None)
    assert len(found.cells) == 6
    assert states() == {step: {"scored"} for step in (0, 2, 8)}
    shutil.rmtree(bench.checkpoints[8].path)
    assert steps(list(made(bench.lab, follow=False))) == [0, 2]


def test_a_damaged_manifest_costs_one_checkpoint_and_the_others_are_scored(bench: Bench) -> None:
    Path(bench.checkpoints[2].path, MANIFEST).write_text('{"format": 1}')
    found = score(bench.lab, made(bench.lab, follow=False), bench.exams, lambda cells: None)
    assert {cell.checkpoint.step for cell in found.cells if cell.verdicts is not None} == {0, 8}
    owed = findings(bench.lab, found, bench.exams, {}, "").owed
    assert [line for line in owed if line.startswith("step 2 of ") and f"{bench.checkpoints[2].path}/{MANIFEST} is damaged" in line]
    assert {row.step: {cell.state for cell in row.cells.values()} for row in matrix(bench.lab.study, bench.lab.store)} == {
        0: {"scored"},
        2: {"failed"},
        8: {"scored"},
    }


def test_a_damaged_manifest_of_the_base_model_costs_what_was_not_scored_before(bench: Bench, tmp_path: Path) -> None:
    start = bench.checkpoints[0]
    base = Path(shutil.copytree(start.path, tmp_path / "base"))
    bench.lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": str(base)}})
    score(bench.lab, made(bench.lab, follow=False), [exam for exam in bench.exams if exam.name == "sums"], lambda cells: None)
    (base / MANIFEST).write_text("{")
    cells = score(bench.lab, made(bench.lab, follow=False), bench.exams, lambda cells: None).cells
    assert {(cell.checkpoint.step, cell.exam) for cell in cells if cell.verdicts is None} == {(0, "more")}
    (why,) = [cell.why for cell in cells if cell.verdicts is None]
    assert f"{base}/{MANIFEST} is damaged" in why


def test_a_run_that_has_lost_a_checkpoint_is_waited_for_until_it_is_trained_again(bench: Bench) -> None:
    finish(bench, steps=[2, 8])
    shutil.rmtree(bench.checkpoints[8].path)
    events = list(made(bench.lab, follow=True, patience=SOON))
    assert steps(events) == [0, 2]
    assert [event.status for event in events if isinstance(event, Run)] == ["owed"]
    assert "is owed: train on with" in left_behind([event for event in events if isinstance(event, Run)])
    assert set(bench.lab.last_steps.values()) == {8}, "the last step is not the last that is there"
