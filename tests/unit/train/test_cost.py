from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_study.config import Model, Training
from ray_study.models import ModelFacts, facts
from ray_study.train.cost import checkpoint_bytes, memory_per_worker, resume_bytes, training_flops, training_seconds


def _facts(hub: str) -> ModelFacts:
    found = facts(Model(hub=hub))
    assert found is not None
    return found


def _training(**settings: Any) -> Training:
    return Training.model_validate({"steps": 1, "engine": "deepspeed", **settings})


def test_the_parts_are_those_of_mixed_precision() -> None:
    found = _facts("Qwen/Qwen3-1.7B-Base")
    memory = memory_per_worker(found, _training(), num_workers=8)
    parts = (memory.weights, memory.master_weights, memory.gradients, memory.optimizer)
    assert [part / found.num_parameters for part in parts] == [2, 4, 4, 8]
    assert memory.total == sum(parts) + memory.activations + memory.logits


def test_pure_bf16_takes_the_studys_eight_bytes_a_parameter() -> None:
    found = _facts("Qwen/Qwen3-8B-Base")
    memory = memory_per_worker(found, _training(master_weights="bf16"), num_workers=1)
    assert memory.weights + memory.master_weights + memory.gradients + memory.optimizer == 8 * found.num_parameters


@pytest.mark.parametrize(("stage", "bytes_per_parameter"), [(0, 18), (1, 2 + 4 + 12 / 8), (2, 2 + 16 / 8), (3, 18 / 8)])
def test_each_zero_stage_splits_more_over_the_workers(stage: int, bytes_per_parameter: float) -> None:
    found = _facts("Qwen/Qwen3-14B-Base")
    memory = memory_per_worker(found, _training(zero_stage=stage), num_workers=8)
    held = memory.total - memory.activations - memory.logits
    assert held / found.num_parameters == pytest.approx(bytes_per_parameter)


def test_checkpointed_activations_and_smaller_micro_batches_take_less() -> None:
    found = _facts("Qwen/Qwen3-14B-Base")
    usual = memory_per_worker(found, _training(), num_workers=8)
    assert memory_per_worker(found, _training(gradient_checkpointing=True), num_workers=8).activations < usual.activations / 10
    assert memory_per_worker(found, _training(micro_batch_size=1), num_workers=8).activations * 4 == usual.activations


def test_flops_are_six_for_each_weight_and_token_and_grow_with_the_length() -> None:
    found = _facts("HuggingFaceTB/SmolLM2-135M")
    assert training_flops(found, 1000, 1) == pytest.approx(6 * found.num_parameters * 1000, rel=0.01)
    assert training_flops(found, 1000, 8192) > 2 * training_flops(found, 1000, 1)
    untied = _facts("Qwen/Qwen3-8B-Base")
    assert training_flops(untied, 1, 1) < 6 * untied.num_parameters
    assert training_seconds(4e15, peak_flops_per_second=1e15, utilisation=0.4, num_workers=2) == pytest.approx(5)


def test_bytes_on_disk() -> None:
    found = _facts("Qwen/Qwen3-1.7B-Base")
    assert checkpoint_bytes(found, "bfloat16") / 1e9 == pytest.approx(3.44, abs=0.01)
    assert resume_bytes(found, _training()) == 24 * found.num_parameters


def test_costs_load_no_heavy_library() -> None:
    code = "import sys; import ray_study.train.cost, ray_study.train.schedule, ray_study.train.layout; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.strip() == "False"
