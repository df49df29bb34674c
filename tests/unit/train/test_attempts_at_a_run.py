"""Workers of an older attempt at a run, whose driver was killed, write nothing once a newer attempt has begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import torch
from tiny_run import Bench
from transformers import AutoModelForCausalLM

from ray_study.model_files import Stamp, save_step
from ray_study.train import checkpoints
from ray_study.train.checkpoints import Metrics, SupersededError, Writer
from ray_study.train.layout import FAILURE, METRICS, RESUME, begin_attempt, is_newest, step_directory, write_failure
from ray_study.train.parallel import Engine, here


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    begin_attempt(tmp_path / "run", "first")
    checkpoints.join_attempt(tmp_path / "run", "first")
    return tmp_path / "run"


def stamp(step: int) -> Stamp:
    return Stamp(run="run", step=step, num_tokens=0, settings={})


def test_the_newest_attempt_is_the_one_that_began_last(directory: Path) -> None:
    assert is_newest(directory, "first")
    begin_attempt(directory, "second")
    assert is_newest(directory, "second")
    assert not is_newest(directory, "first")
    assert is_newest(directory.parent / "never begun", "any")


def test_an_older_attempt_writes_no_metrics_and_no_ending(directory: Path) -> None:
    metrics = Metrics(directory, after=0)
    metrics.write({"step": 1, "loss": 1.0})
    begin_attempt(directory, "second")
    for write in (
        lambda: metrics.write({"step": 2, "loss": 1.0}),
        lambda: Metrics(directory, after=0),
        lambda: checkpoints.end(directory, {}),
        lambda: checkpoints.fail(directory, "older"),
    ):
        with pytest.raises(SupersededError, match="a newer attempt at the run"):
            write()
    assert [json.loads(line)["step"] for line in (directory / METRICS).read_text().splitlines()] == [1]
    assert sorted(path.name for path in directory.iterdir()) == ["attempt", METRICS]


def test_an_older_attempt_writes_no_checkpoint(bench: Bench, directory: Path) -> None:
    begin_attempt(directory, "second")
    with pytest.raises(SupersededError):
        Writer(Path(bench.base), directory, trust_remote_code=False).write(iter(()), stamp(2))
    assert not step_directory(directory, 2).exists()


def test_a_checkpoint_does_not_appear_where_a_newer_attempt_began_while_it_was_written(bench: Bench, directory: Path) -> None:
    def late() -> None:
        begin_attempt(directory, "second")
        checkpoints.check_attempt(directory)

    model = AutoModelForCausalLM.from_pretrained(bench.base)
    with pytest.raises(SupersededError):
        save_step(model, Path(bench.base), step_directory(directory, 2), stamp(2), late)
    assert [path.name for path in directory.iterdir()] == ["attempt"], "what was half-written is gone"


class Slow:
    """An engine whose state takes so long to gather that another driver begins meanwhile."""

    def __init__(self, directory: Path, *, is_overtaken: bool) -> None:
        self._directory = directory
        self._is_overtaken = is_overtaken

    def state(self) -> dict[str, int]:
        if self._is_overtaken:
            begin_attempt(self._directory, "second")
        return {"step": 7}


def test_a_state_does_not_change_where_a_newer_attempt_began_while_it_was_written(directory: Path) -> None:
    place = here(torch.device("cpu"))
    for step, overtaken in ((1, False), (2, False)):
        checkpoints.write_state(directory, cast(Engine, Slow(directory, is_overtaken=overtaken)), place, {"step": step, "num_tokens": 0})
    before = {str(path): path.read_bytes() for path in (directory / RESUME).rglob("*") if path.is_file()}
    assert len(before) == 3, "two slots, and which is the good one"
    with pytest.raises(SupersededError):
        checkpoints.write_state(directory, cast(Engine, Slow(directory, is_overtaken=True)), place, {"step": 3, "num_tokens": 0})
    assert {str(path): path.read_bytes() for path in (directory / RESUME).rglob("*") if path.is_file()} == before


def test_a_failure_is_a_whole_file(directory: Path) -> None:
    write_failure(directory, "its workers failed")
    assert json.loads((directory / FAILURE).read_text()) == {"error": "its workers failed"}
