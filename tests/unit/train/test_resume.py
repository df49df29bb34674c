"""What a run keeps to go on from, by plain torch and by DeepSpeed, and what a crash at any time leaves of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import Bench

from ray_study.config import Training
from ray_study.manifests import MANIFEST
from ray_study.train.layout import METRICS, RESUME
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here
from ray_study.train.stopping import StoppedError

CPU = here(torch.device("cpu"))
USUAL = {"steps": 8, "batch_size": 8, "learning_rate": 1e-3, "max_length": 200, "precision": "fp32", "micro_batch_size": 2, "epsilon": 1e-6}


def _training(**settings: object) -> Training:
    return Training.model_validate({**USUAL, **settings})


def _losses(task: Task) -> list[float]:
    return [json.loads(line)["loss"] for line in Path(task.directory, METRICS).read_text().splitlines()]


def _weights(task: Task, step: int) -> dict[str, torch.Tensor]:
    return load_file(Path(task.directory) / f"step-{step:06d}" / "model.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _kept_step(task: Task) -> int:
    return int(json.loads(Path(task.directory, RESUME, "latest.json").read_text())["progress"]["step"])


def _with_budget(task: Task, tokens: int | None) -> Task:
    return replace(task, training=task.training.model_copy(update={"stop": task.training.stop.model_copy(update={"tokens": tokens})}))


@pytest.fixture
def dropping(bench: Bench) -> Bench:
    """The same model with dropout in its attention, so that a resumed run must draw what it would have drawn."""
    base = bench.root / "dropping"
    shutil.copytree(bench.base, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.3}))
    return replace(bench, base=str(base))


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_the_same_order_dropout_and_rate(dropping: Bench) -> None:
    whole = dropping.task("whole", _training(), steps=(8,))
    train(whole, CPU)
    other_seed = dropping.task("seed", _training(), steps=(8,), seed=1)
    train(other_seed, CPU)
    assert _losses(other_seed) != _losses(whole)
    # Five steps are an epoch: it stops after the third.
    task = dropping.task("stopped", _training(), steps=(8,))
    spent = sum(json.loads(line)["tokens"] for line in Path(whole.directory, METRICS).read_text().splitlines()[:3])
    with pytest.raises(StoppedError, match=rf"stopped at step 3: training.stop.tokens is {spent}"):
        train(_with_budget(task, spent), CPU)
    assert _kept_step(task) == 3
    with pytest.raises(StoppedError, match="stopped at step 3"):
        train(_with_budget(task, spent), CPU)
    train(task, CPU)
    assert _losses(task) == _losses(whole)
    assert _same(_weights(task, 8), _weights(whole, 8))


def test_the_resume_state_is_kept_at_its_own_steps_and_an_error_in_the_background_is_the_runs_error(bench: Bench) -> None:
    whole = bench.task("whole", _training(), steps=(5, 8))
    train(whole, CPU)
    task = replace(bench.task("r", _training(), steps=(5, 8)), resume_every=2)
    # No directory can take the place of a file, which the writer notices at the very end.
    in_the_way = Path(task.directory) / "step-000005"
    in_the_way.write_text("")
    with pytest.raises(OSError, match="step-000005"):
        train(task, CPU)
    assert _kept_step(task) == 4, "a state of step 6 would say that the checkpoint of step 5 is there"
    assert not list(Path(task.directory).glob(".step-*"))
    in_the_way.unlink()
    train(task, CPU)
    for step in (5, 8):
        assert _same(_weights(task, step), _weights(whole, step))


def test_a_state_after_a_checkpoint_that_is_gone_is_left_aside(bench: Bench) -> None:
    task = bench.task("r", _training(), steps=(2, 8))
    with pytest.raises(StoppedError):
        train(_with_budget(task, 1500), CPU)
    expected = _weights(task, 2)
    (Path(task.directory) / "step-000002" / MANIFEST).unlink()
    train(task, CPU)
    assert _same(_weights(task, 2), expected)
    assert len(_losses(task)) == 8


def test_a_state_of_which_a_part_is_missing_is_refused(bench: Bench) -> None:
    task = bench.task("r", _training(), steps=(8,))
    slot = Path(task.directory) / RESUME / "a"
    slot.mkdir(parents=True)
    (slot / "worker-0.pt").write_bytes(b"")
    (slot.parent / "latest.json").write_text(json.dumps({"slot": "a", "num_parts": 2, "progress": {"step": 3, "num_tokens": 1}}))
    with pytest.raises(ValueError, match=r"has no \['worker-1.pt'\], parts of the run's resume state"):
        train(task, CPU)


def test_a_state_that_would_run_code_is_not_read(bench: Bench) -> None:
    task = bench.task("r", _training(), steps=(8,))
    slot = Path(task.directory) / RESUME / "a"
    slot.mkdir(parents=True)
    torch.save({"weights": os.system}, slot / "worker-0.pt")
    (slot.parent / "latest.json").write_text(json.dumps({"slot": "a", "num_parts": 1, "progress": {"step": 3, "num_tokens": 1}}))
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        train(task, CPU)


_KILLED_WHILE_WRITING = """
import json, os, signal, sys, torch
from ray_study.config import Training
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here

def die(event, arguments):
    # Every file is written, and the checkpoint is about to appear.
    if event == "os.rename" and str(arguments[1]).endswith("step-000005"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
settings = json.loads(sys.argv[1])
train(Task(**{**settings, "training": Training.model_validate(settings["training"])}), here(torch.device("cpu")))
"""


def _text(tasks: Sequence[Task]) -> str:
    return json.dumps([{**asdict(task), "training": task.training.model_dump(mode="json")} for task in tasks])


@pytest.mark.slow
def test_a_worker_killed_while_a_checkpoint_is_written_leaves_no_half_of_it_and_it_is_made_again(bench: Bench) -> None:
    whole = bench.task("whole", _training(), steps=(5, 8))
    train(whole, CPU)
    task = replace(bench.task("killed", _training(), steps=(5, 8)), resume_every=2)
    settings = json.dumps(json.loads(_text([task]))[0])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", _KILLED_WHILE_WRITING, settings], env=environment, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    directory = Path(task.directory)
    assert not (directory / "step-000005").exists()
    assert len(list(directory.glob(".step-000005.*"))) == 1, "what was half-written is under another name"
    assert _kept_step(task) == 4
    train(task, CPU)
    for step in (5, 8):
        assert _same(_weights(task, step), _weights(whole, step))
    assert not list(directory.glob(".step-*"))


# Each run in turn is trained by the same processes, since starting them costs more than what they train. A worker that is to be
# killed dies where it would keep its part of the state for the second time: after the third step and before the pointer moves.
_WORKERS = """
import json, os, signal, sys, torch
from ray_study.config import Training
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here
from ray_study.train.stopping import StoppedError
rank, num_workers, port, text, killed = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=int(num_workers))

def die(event, arguments):
    if event == "os.rename" and killed and str(arguments[1]).endswith(f"{killed}/resume/b/worker-1.pt"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
for settings in json.loads(text):
    try:
        train(Task(**{**settings, "training": Training.model_validate(settings["training"])}), here(torch.device("cpu")))
    except StoppedError:
        pass
torch.distributed.destroy_process_group()
"""


def _train(tasks: Sequence[Task], num_workers: int, *, killed: str = "") -> list[int]:
    """Trains runs one after the other with so many processes, and returns their exit codes; the second one dies in the run `killed`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(num_workers)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKERS, str(rank), str(num_workers), str(port), _text(tasks), killed],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(num_workers)
    ]
    try:
        return [worker.wait(timeout=400) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_deepspeed_goes_on_after_a_kill_and_with_another_number_of_workers(bench: Bench) -> None:
    """ZeRO 2 and 3 with two workers: one is killed and both go on, bit for bit; one worker alone goes on from the state of two."""
    engines = {
        "zero-2": _training(engine="deepspeed", zero_stage=2),
        "zero-3": _training(engine="deepspeed", zero_stage=3, precision="bf16"),
        "ddp": _training(),
    }
    whole = {name: bench.task(f"{name}-whole", training, steps=(8,)) for name, training in engines.items()}
    fewer = {name: bench.task(f"{name}-fewer", training, steps=(8,)) for name, training in engines.items()}
    killed = replace(bench.task("killed", engines["zero-3"], steps=(2, 8)), resume_every=1)
    begun = [*whole.values(), *(_with_budget(task, 1200) for task in fewer.values())]

    assert _train([*begun, killed], 2, killed="killed")[1] == -signal.SIGKILL
    assert {_kept_step(task) for task in fewer.values()} == {3}
    assert _kept_step(killed) == 1, "the worker died in the second step, while the state of the first was the good one"
    parts = sorted(path.name for path in Path(fewer["zero-3"].directory, RESUME, "a").iterdir())
    assert parts == ["worker-0.pt", "worker-1.pt"]
    assert not Path(fewer["ddp"].directory, RESUME, "a", "worker-1.pt").exists(), "both have the same, which is kept once"

    assert _train([killed], 2) == [0, 0]
    assert _losses(killed) == _losses(whole["zero-3"])
    assert _same(_weights(killed, 8), _weights(whole["zero-3"], 8))

    assert _train(list(fewer.values()), 1) == [0]
    for name, task in fewer.items():
        tolerance = 1e-2 if name == "zero-3" else 1e-5
        assert _losses(task) == pytest.approx(_losses(whole[name]), rel=tolerance), name
