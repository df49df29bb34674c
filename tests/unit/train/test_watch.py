from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_run import Bench

from ray_study.manifests import MANIFEST
from ray_study.rows import Checkpoint, Run
from ray_study.train.layout import ENDED, FAILURE, METRICS, step_directory
from ray_study.train.watch import Watch

RUN = Run(id="r", name="a run", stage="sft", model="tiny", dataset="sums", seed=0, settings="{}", status="owed", error="")


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(run=RUN, steps=(2, 4), directory=tmp_path / "run", progress=lambda line: None, on_metrics=None)


def _write(watch: Watch, base: str, step: int) -> Path:
    """A checkpoint as training leaves it, without its manifest: where that is to go."""
    directory = step_directory(watch.directory, step)
    directory.mkdir(parents=True)
    raw = {**json.loads((Path(base) / MANIFEST).read_text()), "run": "r", "step": step}
    (directory / "manifest.later").write_text(json.dumps(raw))
    return directory


def _finish(directory: Path) -> None:
    (directory / "manifest.later").rename(directory / MANIFEST)


def _steps(found: list[Checkpoint | Run]) -> list[int | str]:
    return [event.step if isinstance(event, Checkpoint) else event.status for event in found]


def test_a_half_written_checkpoint_does_not_exist(watch: Watch, bench: Bench) -> None:
    directory = _write(watch, bench.base, 2)
    assert list(watch.new(at_rest=False)) == []
    _finish(directory)
    assert _steps(list(watch.new(at_rest=False))) == [2]
    assert list(watch.new(at_rest=False)) == []


def test_checkpoints_come_in_the_order_of_their_steps(watch: Watch, bench: Bench) -> None:
    first, second = _write(watch, bench.base, 2), _write(watch, bench.base, 4)
    _finish(second)
    assert list(watch.new(at_rest=False)) == []
    _finish(first)
    assert _steps(list(watch.new(at_rest=False))) == [2, 4]


def test_a_damaged_manifest_costs_one_checkpoint_and_the_run_goes_on(watch: Watch, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    damaged = _write(watch, bench.base, 2)
    (damaged / MANIFEST).write_text('{"format": 1}')
    _finish(_write(watch, bench.base, 4))
    assert _steps(list(watch.new(at_rest=True))) == [4, "finished"]
    assert f"{damaged}/manifest.json is damaged" in caplog.text


def test_a_run_has_finished_when_it_says_so_and_everything_is_there(watch: Watch, bench: Bench) -> None:
    for step in (2, 4):
        _finish(_write(watch, bench.base, step))
    assert _steps(list(watch.new(at_rest=False))) == [2, 4]
    (watch.directory / ENDED).write_text("{}")
    (ended,) = watch.new(at_rest=False)
    assert isinstance(ended, Run)
    assert (ended.id, ended.status, ended.error) == ("r", "finished", "")


def test_a_failed_trial_is_a_failed_run_although_it_has_checkpoints(watch: Watch, bench: Bench) -> None:
    for step in (2, 4):
        _finish(_write(watch, bench.base, step))
    found = list(watch.last("the worker died"))
    assert _steps(found) == [2, 4, "failed"]
    assert isinstance(found[-1], Run)
    assert found[-1].error == "the worker died"


def test_a_trial_that_ends_without_its_checkpoints_has_failed_and_says_which_are_missing(watch: Watch, bench: Bench) -> None:
    _finish(_write(watch, bench.base, 2))
    found = list(watch.last(None))
    assert _steps(found) == [2, "failed"]
    assert isinstance(found[-1], Run)
    assert "the checkpoints of steps [4] are not there" in found[-1].error


def test_a_run_that_cannot_go_on_has_failed_at_once_and_is_tried_again_next_time(watch: Watch) -> None:
    watch.forget_failure()
    (watch.directory / FAILURE).write_text(json.dumps({"error": "diverged"}))
    (ended,) = watch.new(at_rest=False)
    assert isinstance(ended, Run)
    assert (ended.status, ended.error) == ("failed", "diverged")
    watch.forget_failure()
    watch.ended = False
    assert list(watch.new(at_rest=False)) == []


def test_every_step_is_told_once_although_a_resumed_run_repeats_some(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    lines: list[str] = []
    watch = Watch(
        run=RUN, steps=(4,), directory=tmp_path, progress=lines.append, on_metrics=lambda run, row: seen.append((run, row["step"]))
    )
    path = tmp_path / METRICS
    rows = [json.dumps({"step": step, "loss": 1.5, "tokens_per_second": 1234.0}) + "\n" for step in range(1, 5)]
    path.write_text("".join(rows[:3]) + rows[3][:9])
    list(watch.new(at_rest=False))
    assert [step for _, step in seen] == [1, 2, 3]
    path.write_text(rows[0])  # Cut at the state that it goes on from, and grown again.
    list(watch.new(at_rest=False))
    path.write_text("".join(rows))
    list(watch.new(at_rest=False))
    assert seen == [("r", step) for step in range(1, 5)]
    assert lines[-1] == "a run: step 4 of 4, loss 1.500, 1,234 tokens/s"


def test_what_is_measured_before_the_first_step_is_passed_on(tmp_path: Path) -> None:
    seen: list[float] = []
    watch = Watch(run=RUN, steps=(4,), directory=tmp_path, progress=_never, on_metrics=lambda run, row: seen.append(row["step"]))
    (tmp_path / METRICS).write_text(json.dumps({"step": 0, "held_out_loss": 1.5}) + "\n")
    list(watch.new(at_rest=False))
    assert seen == [0]


def _never(line: str) -> None:
    raise AssertionError(line)
