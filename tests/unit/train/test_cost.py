from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ray_study.config import Model, Scratch, Training
from ray_study.model_files import scratch_model
from ray_study.models import ModelFacts, facts, scratch_facts
from ray_study.train.accelerators import ACCELERATORS, by_ray_type, peak_flops
from ray_study.train.cost import checkpoint_bytes, memory_per_worker, resume_bytes, training_flops, training_seconds
from ray_study.train.parallel import optimizer_of


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
    held = memory.total - memory.activations - memory.logits - memory.buffers
    assert held / found.num_parameters == pytest.approx(bytes_per_parameter)
    assert memory.buffers == {0: 0, 1: 1e9, 2: 1e9, 3: 3e9}[stage]


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


# Rajbhandari et al., "ZeRO" (2020), figure 1: 7.5B parameters over 64 workers, GB a worker. There gradients are fp16, here fp32.
@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_the_parts_of_each_stage_are_those_of_the_zero_paper(stage: int, gigabytes: float) -> None:
    found = replace(_facts("Qwen/Qwen3-8B-Base"), num_parameters=7_500_000_000)
    memory = memory_per_worker(found, _training(zero_stage=stage), num_workers=64)
    held = memory.weights + memory.master_weights + memory.gradients / 2 + memory.optimizer
    assert round(held / 1e9, 1) == gigabytes


def test_flops_give_the_utilisation_that_palm_reports() -> None:
    # Chowdhery et al. (2022), appendix B and table 3: 46.2 % with 238.3k tokens/s on 6,144 TPU v4 of 275 TFLOP/s.
    palm = replace(
        _facts("HuggingFaceTB/SmolLM2-135M"), num_parameters=540_350_000_000, num_layers=118, num_heads=48, head_size=256, tied=True
    )
    assert training_flops(palm, 238_300, 2048) / (6144 * 275e12) == pytest.approx(0.462, abs=0.0005)


def test_rows_of_20000_tokens_of_a_14b_model_fit_on_eight_accelerators_of_80_gigabytes_and_not_on_four() -> None:
    found = _facts("Qwen/Qwen3-14B-Base")
    training = _training(zero_stage=3, gradient_checkpointing=True, micro_batch_size=1, max_length=20000)
    assert memory_per_worker(found, training, num_workers=8).total < 0.9 * 80e9
    assert memory_per_worker(found, training, num_workers=4).total > 80e9
    pure = training.model_copy(update={"master_weights": "bf16"})
    assert memory_per_worker(found, pure, num_workers=8).total < 0.6 * 80e9


def _student() -> tuple[Any, ModelFacts]:
    scratch = Scratch(hidden_size=64, num_layers=12, num_heads=2, intermediate_size=192, positions=512)
    return scratch_model(scratch)[0], scratch_facts(scratch)


@pytest.mark.parametrize("master_weights", ["fp32", "bf16"])
def test_weights_gradients_and_moments_are_the_bytes_that_torch_holds(master_weights: str) -> None:
    model, found = _student()
    training = Training.model_validate({"steps": 1, "precision": "bf16", "master_weights": master_weights})
    model.to(torch.bfloat16 if master_weights == "bf16" else torch.float32)
    optimizer = optimizer_of(model, training)
    ids = torch.arange(64)[None, :]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=master_weights == "fp32"):
        model(input_ids=ids, use_cache=False).logits.float().logsumexp(-1).sum().backward()
    optimizer.step()
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    memory = memory_per_worker(found, training, num_workers=1)
    # With fp32 masters torch holds them alone, and casts them to bf16 as it computes.
    assert _bytes(model.parameters()) == (memory.master_weights or memory.weights)
    assert _bytes(parameter.grad for parameter in model.parameters()) == memory.gradients
    assert _bytes(moments) == memory.optimizer


@pytest.mark.parametrize(("precision", "again"), [("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True)])
def test_activations_are_within_15_percent_of_what_autograd_saves(precision: str, again: bool) -> None:
    model, found = _student()
    model.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    training = Training.model_validate({"steps": 1, "precision": precision, "max_length": 256, "micro_batch_size": 2})
    training = training.model_copy(update={"gradient_checkpointing": again})
    if again:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        hidden = model.base_model(input_ids=torch.zeros(2, 256, dtype=torch.long), use_cache=False).last_hidden_state
    assert hidden.requires_grad
    expected = memory_per_worker(found, training, num_workers=1).activations
    if again:
        # What is computed again in the backward pass, a layer at a time, is held besides.
        whole = training.model_copy(update={"gradient_checkpointing": False})
        two, one = (memory_per_worker(replace(found, num_layers=layers), whole, num_workers=1).activations for layers in (2, 1))
        expected -= two - one
    assert sum(saved.values()) == pytest.approx(expected, rel=0.15)


def _bytes(tensors: Iterable[torch.Tensor | None]) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def test_an_accelerator_is_known_by_its_drivers_name_and_by_rays() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989.4e12
    assert peak_flops("NVIDIA L40S") == 362e12
    assert peak_flops("NVIDIA L4") == 121e12
    assert peak_flops("NVIDIA GeForce RTX 4090") is None
    known = by_ray_type("H200")
    assert known is not None
    assert known.gigabytes == 141
    assert by_ray_type(None) is by_ray_type("TPU-V4") is None
    assert all(each.source for each in ACCELERATORS)


def test_bytes_on_disk() -> None:
    found = _facts("Qwen/Qwen3-1.7B-Base")
    assert checkpoint_bytes(found, "bfloat16") / 1e9 == pytest.approx(3.44, abs=0.01)
    assert resume_bytes(found, _training()) == 24 * found.num_parameters


def test_costs_load_no_heavy_library() -> None:
    code = "import sys; import ray_study.train.cost, ray_study.train.schedule, ray_study.train.layout; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.strip() == "False"
