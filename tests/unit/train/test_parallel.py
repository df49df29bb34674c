from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import Bench

from ray_study.config import Training
from ray_study.train.layout import METRICS
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here, zero_config

_WORKER = """
import json, sys, torch
from ray_study.config import Training
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here
rank, num_workers, port, text = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=int(num_workers))
settings = json.loads(text)
train(Task(**{**settings, "training": Training.model_validate(settings["training"])}), here(torch.device("cpu")))
torch.distributed.destroy_process_group()
"""


def _train(task: Task, num_workers: int) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Metrics by step and the last weights of a run by so many processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = json.dumps(
        {**{key: value for key, value in asdict(task).items() if key != "training"}, "training": task.training.model_dump(mode="json")}
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # DeepSpeed asks these of its launcher.
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_workers)} for rank in range(num_workers)]
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(rank), str(num_workers), str(port), text], env={**environment, **ranks[rank]})
        for rank in range(num_workers)
    ]
    try:
        assert [worker.wait(timeout=400) for worker in workers] == [0] * num_workers
    finally:
        for worker in workers:
            worker.kill()
    directory = Path(task.directory)
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()], _weights(directory, task.steps[-1])


def _weights(directory: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(directory / f"step-{step:06d}" / "model.safetensors")


def _apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum(float((one[name].float() - other[name].float()).norm() ** 2) for name in one) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "stage", "precision"),
    [("torch", 0, "fp32"), ("deepspeed", 0, "fp32"), ("deepspeed", 2, "fp32"), ("deepspeed", 3, "bf16")],
)
def test_two_workers_learn_what_one_does(bench: Bench, engine: str, stage: int, precision: str) -> None:
    usual = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "max_length": 200, "epsilon": 1e-6, "warmup_share": 0}
    alone = Training.model_validate({**usual, "precision": precision, "micro_batch_size": 8})
    spread = Training.model_validate({**usual, "precision": precision, "micro_batch_size": 2, "engine": engine, "zero_stage": stage})
    one_task = bench.task("one", alone, steps=(1, 6))
    train(one_task, here(torch.device("cpu")))
    expected = [json.loads(line) for line in Path(one_task.directory, METRICS).read_text().splitlines()]
    one = _weights(Path(one_task.directory), 6)
    found, two = _train(bench.task("two", spread, steps=(1, 6)), 2)
    # bf16 rounds in other places in DeepSpeed, which computes on bf16 copies of the weights.
    tolerance = 1e-5 if precision == "fp32" else 1e-2
    for key in ("loss", "gradient_norm"):
        assert found[0][key] == pytest.approx(expected[0][key], rel=tolerance)
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in expected], rel=max(tolerance, 1e-4))
    assert two.keys() == one.keys()
    base = load_file(Path(bench.base) / "model.safetensors")
    assert _apart(one, two) / _apart(one, base) < (1e-3 if precision == "fp32" else 0.2)


def test_deepspeed_keeps_fp32_masters_unless_pure_bf16_is_named() -> None:
    mixed = zero_config(Training(steps=1, engine="deepspeed", zero_stage=2), 2, 3)
    assert mixed["bf16"] == {"enabled": True, "bf16_master_weights_and_grads": False, "bf16_optimizer_states": False}
    assert mixed["data_types"] == {"grad_accum_dtype": "fp32"}
    pure = zero_config(Training(steps=1, engine="deepspeed", zero_stage=2, master_weights="bf16"), 2, 3)
    assert pure["bf16"]["bf16_master_weights_and_grads"]
    assert "bf16" not in zero_config(Training(steps=1, engine="deepspeed", precision="fp32"), 2, 3)
    assert mixed["train_batch_size"] == mixed["train_micro_batch_size_per_gpu"] * mixed["gradient_accumulation_steps"] * 2
