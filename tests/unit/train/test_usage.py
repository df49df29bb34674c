from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_run import SCRATCH
from torch.utils.flop_counter import FlopCounterMode

from ray_study.config import Training
from ray_study.model_files import scratch_model
from ray_study.models import facts_of, scratch_facts
from ray_study.train.accelerators import peak_flops
from ray_study.train.tokenizing import Row
from ray_study.train.usage import Usage, memory_bytes, step_flops

CPU = torch.device("cpu")
ROWS = [Row(ids=tuple(range(1, 31)), num_prompt=10), Row(ids=tuple(range(1, 11)), num_prompt=4)]


def _counted(rows: list[Row]) -> float:
    """The FLOPs of forward and backward pass of a real model over these rows, as torch counts them, with the head where it is asked."""
    model, _ = scratch_model(SCRATCH)
    model.config._attn_implementation = "eager"
    with FlopCounterMode(display=False) as counter:
        for row in rows:
            hidden = model.model(input_ids=torch.tensor([row.ids]), use_cache=False).last_hidden_state[0]
            model.lm_head(hidden[row.num_prompt - 1 : -1]).sum().backward()
    return float(counter.get_total_flops())


def test_the_flops_of_a_step_are_those_that_torch_counts() -> None:
    # Norms and what else is no product are in neither count; the norms' weights are among the parameters of the formula.
    assert step_flops(scratch_facts(SCRATCH), ROWS) == pytest.approx(_counted(ROWS), rel=0.03)


def test_utilisation_is_told_where_peak_and_model_are_known_and_never_guessed(tmp_path: Path) -> None:
    config = scratch_model(SCRATCH)[0].config.to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    training = Training(steps=1)
    assert facts_of(config) is not None
    found = Usage(tmp_path, training, CPU, 0.5).of_step(ROWS, seconds=2.0, num_workers=4)
    assert found["model_flops_utilisation"] == pytest.approx(step_flops(scratch_facts(SCRATCH), ROWS) / (2.0 * 4 * 0.5e12))
    assert "model_flops_utilisation" not in Usage(tmp_path, training, CPU, None).of_step(ROWS, seconds=2.0, num_workers=4)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "other"}))
    assert "model_flops_utilisation" not in Usage(tmp_path, training, CPU, 0.5).of_step(ROWS, seconds=2.0, num_workers=4)


def test_memory_on_a_cpu_is_what_the_process_holds_now() -> None:
    before = memory_bytes(CPU)
    held = torch.ones(2**27, dtype=torch.uint8)
    assert memory_bytes(CPU) - before > 0.9 * held.nbytes
    del held
    assert memory_bytes(CPU) - before < 0.5 * 2**27


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA L4", 121.0), ("NVIDIA L40S", 362.0)],
)
def test_an_accelerator_is_known_by_its_name(name: str, teraflops: float) -> None:
    assert peak_flops(name) == teraflops * 1e12


@pytest.mark.parametrize("name", ["NVIDIA A10G", "NVIDIA L40", "NVIDIA GeForce RTX 4090", "NVIDIA A1000", "AMD EPYC"])
def test_one_that_is_not_in_the_table_is_not_taken_for_another(name: str) -> None:
    assert peak_flops(name) is None
