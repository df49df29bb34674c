"""A run ends early by what training shows, and says why: divergence, a budget, no memory."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tiny_run import Bench
from torch import nn

from ray_study.config import Scratch, Stop, Training
from ray_study.models import scratch_facts
from ray_study.train import memory
from ray_study.train.cost import memory_per_worker
from ray_study.train.layout import FAILURE, METRICS
from ray_study.train.loop import attempt
from ray_study.train.parallel import here
from ray_study.train.stopping import Divergence, StoppedError, spent

CPU = here(torch.device("cpu"))


def _training(**settings: object) -> Training:
    usual = {"steps": 30, "batch_size": 8, "max_length": 200, "precision": "fp32"}
    return Training.model_validate({**usual, **settings})


def test_a_loss_that_stays_above_its_lowest_value_ends_the_run_and_one_that_comes_back_does_not() -> None:
    stop = Stop(divergence_factor=2, divergence_steps=3)
    seen = Divergence(stop)
    for step, loss in enumerate([4.0, 3.0, 7.0, 7.0, 5.9, 6.1, 9.0], start=1):
        seen.check(step, loss)
    with pytest.raises(StoppedError, match="stopped at step 8: the loss was 8, and above 2 times its lowest value 3 for 3 steps"):
        seen.check(8, 8.0)


def test_what_divergence_has_seen_is_kept_with_the_resume_state() -> None:
    stop = Stop(divergence_factor=2, divergence_steps=3)
    seen = Divergence(stop)
    for step, loss in enumerate([1.0, 3.0, 3.0], start=1):
        seen.check(step, loss)
    resumed = Divergence.resumed(stop, json.loads(json.dumps(seen.progress)))
    with pytest.raises(StoppedError, match="stopped at step 4"):
        resumed.check(4, 3.0)
    unasked = Divergence(Stop())
    unasked.check(1, 1.0)
    unasked.check(2, 1e9)
    assert unasked.progress == {}
    assert Divergence.resumed(stop, {}).lowest == math.inf


def test_budgets_of_tokens_and_hours_say_what_was_spent() -> None:
    assert spent(Stop(), 5, 10**12, 1e9) == ""
    assert spent(Stop(tokens=100), 5, 99, 1e9) == ""
    assert spent(Stop(tokens=100), 5, 100, 0.0).startswith("stopped at step 5: training.stop.tokens is 100, and 100 were learned from")
    assert spent(Stop(hours=2), 5, 0, 7199) == ""
    assert spent(Stop(hours=2), 5, 0, 7200).startswith("stopped at step 5: training.stop.hours is 2, and it took 2")


def test_a_run_that_diverges_or_has_no_time_left_is_written_down_and_not_raised(bench: Bench) -> None:
    stop = {"divergence_factor": 1.2, "divergence_steps": 2}
    training = _training(learning_rate=3.0, schedule="constant", warmup_share=0, max_grad_norm=1e9, stop=stop)
    diverging = bench.task("diverging", training, steps=(30,))
    attempt(diverging, CPU)
    assert "times its lowest value" in json.loads((Path(diverging.directory) / FAILURE).read_text())["error"]
    assert len(Path(diverging.directory, METRICS).read_text().splitlines()) < 30
    timed = bench.task("timed", _training(stop={"hours": 1e-9}), steps=(30,))
    attempt(timed, CPU)
    assert "training.stop.hours" in json.loads((Path(timed.directory) / FAILURE).read_text())["error"]


def test_running_out_of_memory_is_written_down_with_the_estimate_beside_what_was_used_and_not_tried_again(bench: Bench) -> None:
    (Path(bench.base) / "hungry.py").write_text("import torch\n\ntorch.empty(10**15)  # more than any machine has\n")
    config = json.loads((Path(bench.base) / "config.json").read_text())
    (Path(bench.base) / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "hungry.Hungry"}}))
    training = _training()
    estimate = asdict(memory_per_worker(scratch_facts(Scratch()), training, num_workers=1))
    task = replace(bench.task("huge", training, steps=(30,)), memory_estimate=estimate, trust_remote_code=True)
    attempt(task, CPU)
    error = json.loads((Path(task.directory) / FAILURE).read_text())["error"]
    assert error.startswith(f"out of memory: the plan estimates {sum(estimate.values()) / 1e9:,.2f} GB a worker (weights ")
    assert "it had used " in error
    assert "set a smaller micro_batch_size" in error


def test_only_errors_of_memory_are_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as too_much:
        torch.empty(10**15)
    assert memory.is_out_of_memory(too_much.value)
    assert memory.is_out_of_memory(MemoryError())
    assert memory.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as other:
        nn.Linear(2, 2)(torch.zeros(3))
    assert not memory.is_out_of_memory(other.value)
    assert "the plan has no estimate" in memory.in_words(MemoryError(), {}, torch.device("cpu"))
