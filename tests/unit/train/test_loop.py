from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import SCRATCH, Bench
from transformers import AutoModelForCausalLM

from ray_study import tables
from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.manifests import MANIFEST, check_files, read_manifest
from ray_study.models import BYTE_VOCABULARY, scratch_facts
from ray_study.rows import Example
from ray_study.train.attention import take_packed
from ray_study.train.batches import Cut, Order, micro_batches
from ray_study.train.layout import ENDED, METRICS, RESUME
from ray_study.train.loop import NonFiniteError, Task, train
from ray_study.train.parallel import here, make_engine
from ray_study.train.tokenizing import Row, tokenize
from ray_study.train.weighting import row_weights

CPU = here(torch.device("cpu"))


def _training(**settings: object) -> Training:
    usual = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "max_length": 200, "precision": "fp32", "micro_batch_size": 4}
    return Training.model_validate({**usual, **settings})


def _run(task: Task) -> Path:
    train(task, CPU)
    return Path(task.directory)


def _weights(directory: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(directory / f"step-{step:06d}" / "model.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _metrics(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / METRICS).read_text().splitlines()]


def test_a_run_learns_and_leaves_whole_checkpoints(bench: Bench) -> None:
    directory = _run(bench.task("r", _training(steps=40, learning_rate=5e-3), steps=(2, 40)))
    metrics = _metrics(directory)
    assert [row["step"] for row in metrics] == list(range(1, 41))
    assert metrics[-1]["loss"] < 0.6 * metrics[0]["loss"]
    assert metrics[4]["epoch"] == 1.0
    for step in (2, 40):
        manifest = read_manifest(directory / f"step-{step:06d}")
        check_files(directory / f"step-{step:06d}", manifest)
        assert (manifest.run, manifest.step, manifest.identity) == ("r", step, read_manifest(Path(bench.base)).identity)
        assert manifest.num_tokens == metrics[step - 1]["num_tokens"] == sum(row["tokens"] for row in metrics[:step])
    ended = json.loads((directory / ENDED).read_text())
    assert ended["num_rows"] == 40
    assert ended["seconds"] >= metrics[-1]["seconds"] > metrics[0]["seconds"] > 0
    assert not (directory / RESUME).exists()


def test_the_seed_fixes_the_weights_bit_for_bit(bench: Bench) -> None:
    runs = [_run(bench.task(name, _training(), steps=(6,), seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, second, other = [_weights(directory, 6) for directory in runs]
    assert _same(first, second)
    assert not _same(first, other)


def _rows(bench: Bench, number: int = 32) -> list[Row]:
    return list(tokenize(tables.read(bench.examples, Example)[:number], Chat(bench.base), max_length=200, over_long="drop").rows)


def _gradient(bench: Bench, rows: list[Row], *, packed: bool, at_most: int) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    assert not packed or take_packed(model)
    engine = make_engine(model, _training(batch_size=32), CPU)
    weights = row_weights([row.num_targets for row in rows], _training())
    parts = list(micro_batches(rows, weights, Cut(rank=0, num_workers=1, packed=packed, at_most=at_most)))
    for part in parts:
        engine.accumulate(part, last=part is parts[-1])
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_the_gradient_does_not_depend_on_the_micro_batches(bench: Bench) -> None:
    rows = _rows(bench)
    assert len({row.num_targets for row in rows}) > 4, "rows of one length would hide a mean of means"
    whole = _gradient(bench, rows, packed=False, at_most=32)
    for packed, at_most in ((False, 4), (False, 8), (False, 5), (True, 150), (True, 700), (True, 10000)):
        split = _gradient(bench, rows, packed=packed, at_most=at_most)
        for name, expected in whole.items():
            assert torch.norm(split[name] - expected) <= 1e-5 * torch.norm(expected), (packed, at_most, name)


def test_the_gradient_is_that_of_the_mean_over_response_tokens(bench: Bench) -> None:
    rows = _rows(bench)
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    total = torch.zeros(())
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0]
        logprobs = torch.log_softmax(logits[:-1], dim=-1).gather(1, torch.tensor(row.ids[1:])[:, None])[:, 0]
        total = total - logprobs[row.num_prompt - 1 :].sum()
    (total / sum(row.num_targets for row in rows)).backward()
    ours = _gradient(bench, rows, packed=False, at_most=8)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.norm(ours[name] - parameter.grad) <= 1e-5 * torch.norm(parameter.grad), name


def test_fp32_masters_keep_updates_that_bf16_masters_lose(bench: Bench) -> None:
    moved = {}
    for masters in ("fp32", "bf16"):
        training = _training(
            precision="bf16", master_weights=masters, learning_rate=1e-5, weight_decay=0, warmup_share=0, schedule="constant"
        )
        after = _weights(_run(bench.task(masters, training, steps=(6,))), 6)
        before = load_file(Path(bench.base) / "model.safetensors")
        moved[masters] = sum(int((after[name] != before[name].bfloat16().float()).sum()) for name in after if "norm" in name)
    # A norm's weights are near 1, where bf16 steps are 800 times larger than the updates.
    assert moved["bf16"] == 0
    assert moved["fp32"] > 0


_PROGRAM = """
import json, sys, torch
from ray_study.config import Training
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here
settings = json.loads(sys.argv[1])
train(Task(**{**settings, "training": Training.model_validate(settings["training"])}), here(torch.device("cpu")))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(bench: Bench) -> None:
    whole = _run(bench.task("whole", _training(steps=60), steps=(2, 60)))
    task = bench.task("killed", _training(steps=60), steps=(2, 60), resume_seconds=0)
    directory = Path(task.directory)
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, json.dumps(_plain(task))], env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not ((directory / METRICS).is_file() and len((directory / METRICS).read_text().splitlines()) > 4):
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 4 < len(_metrics(directory)) < 60
    assert (directory / RESUME).is_dir()
    with (directory / METRICS).open("a") as file:
        file.write('{"step": 59, "lo')
    of_step_2 = (directory / "step-000002" / MANIFEST).stat().st_mtime_ns
    assert _same(_weights(_run(task), 60), _weights(whole, 60))
    assert [row["step"] for row in _metrics(directory)] == list(range(1, 61))
    assert [row["loss"] for row in _metrics(directory)] == [row["loss"] for row in _metrics(whole)]
    seconds = [row["seconds"] for row in _metrics(directory)]
    assert seconds == sorted(seconds), "a run that goes on counts on from what its earlier steps took"
    assert json.loads((directory / ENDED).read_text())["seconds"] >= seconds[-1]
    assert (directory / "step-000002" / MANIFEST).stat().st_mtime_ns == of_step_2, "what may be scored already is not written again"


def _plain(task: Task) -> dict[str, object]:
    names = ("run", "seed", "base", "examples", "steps", "directory", "num_threads", "resume_seconds", "trust_remote_code")
    return {**{name: getattr(task, name) for name in names}, "training": task.training.model_dump(mode="json")}


def test_a_checkpoint_without_a_manifest_is_written_again(bench: Bench) -> None:
    task = bench.task("r", _training(), steps=(3, 6))
    directory = _run(task)
    expected = read_manifest(directory / "step-000003").fingerprint
    (directory / "step-000003" / MANIFEST).unlink()
    assert read_manifest(_run(task) / "step-000003").fingerprint == expected


def test_a_run_that_diverges_stops_with_the_step(bench: Bench) -> None:
    task = bench.task("r", _training(learning_rate=1e30, warmup_share=0, max_grad_norm=1e30), steps=(1, 6))
    with pytest.raises(NonFiniteError, match=r"the (loss|gradient norm) of step \d is (nan|inf)"):
        train(task, CPU)
    assert not (Path(task.directory) / "step-000006").exists()


def test_a_step_without_a_finite_gradient_moves_nothing_where_it_is_to_be_skipped(bench: Bench) -> None:
    # The second step goes so far that no later one has a finite gradient.
    far = {"learning_rate": 1e30, "schedule": "constant", "schedule_from": 0, "warmup_share": 1 / 6, "max_grad_norm": 1e30}
    directory = _run(bench.task("r", _training(non_finite="skip", **far), steps=(1, 2, 4, 6)))
    rows = _metrics(directory)
    assert [row["skipped"] for row in rows] == [0, 0, 1, 1, 1, 1]
    assert "loss" in rows[1]
    assert "gradient_norm" not in rows[3], "what is no number is missing"
    assert _same(_weights(directory, 2), _weights(directory, 6))
    # And the first step, at time 0 of a warm-up, has a rate of 0.
    assert rows[0]["learning_rate"] == 0
    assert _same(_weights(directory, 1), load_file(Path(bench.base) / "model.safetensors"))


def test_gradients_are_clipped_by_their_global_norm_and_the_norm_before_is_recorded(bench: Bench) -> None:
    free = _metrics(_run(bench.task("free", _training(steps=1, max_grad_norm=1e9), steps=(1,))))[0]
    clipped = _metrics(_run(bench.task("clipped", _training(steps=1, max_grad_norm=1e-3), steps=(1,))))[0]
    assert free["gradient_norm"] == clipped["gradient_norm"] > 1e-3
    assert (free["clipped"], clipped["clipped"]) == (0, 1)


def test_rows_dropped_as_over_long_are_counted_and_too_few_left_are_refused(bench: Bench) -> None:
    directory = _run(bench.task("some", _training(max_length=70, batch_size=4), steps=(6,)))
    ended = json.loads((directory / ENDED).read_text())
    assert ended["num_dropped"] > 0
    assert ended["num_rows"] + ended["num_dropped"] == 40
    with pytest.raises(ValueError, match="0 rows are left to learn from"):
        train(bench.task("none", _training(max_length=8), steps=(6,)), CPU)


def test_checkpointed_activations_change_nothing(bench: Bench) -> None:
    plain, recomputed = [
        _weights(_run(bench.task(f"r{flag}", _training(gradient_checkpointing=flag), steps=(6,))), 6) for flag in (False, True)
    ]
    assert _same(plain, recomputed)


def test_the_model_that_is_saved_is_the_model_that_was_trained(bench: Bench) -> None:
    directory = _run(bench.task("r", _training(steps=1, warmup_share=0), steps=(1,)))
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    rows = _rows(bench, 40)
    order = Order(40, batch_size=8, seed=0, shuffle=True)
    assert take_packed(model)
    engine = make_engine(model, _training(), CPU)
    batch = [rows[index] for index in order.of(1)]
    cut = Cut(rank=0, num_workers=1, packed=True, at_most=_training().tokens_at_once)
    for part in micro_batches(batch, row_weights([row.num_targets for row in batch], _training()), cut):
        engine.accumulate(part, last=True)
    engine.step(1e-3)
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in _weights(directory, 1).items())


def test_every_step_tells_what_was_clipped_so_far_and_what_it_took(bench: Bench) -> None:
    task = replace(bench.task("r", _training(), steps=(3, 6), resume_seconds=0), peak_teraflops=1e-3)
    rows = _metrics(_run(task))
    clipped = [row["clipped"] for row in rows]
    assert [row["clipped_share"] for row in rows] == pytest.approx([sum(clipped[:step]) / step for step in range(1, 7)])
    facts = scratch_facts(SCRATCH)
    assert all(row["memory_bytes"] > 10 * 4 * facts.num_parameters for row in rows)
    # Products take most of what a step takes, so this is about the share of a peak of 1 GFLOP/s.
    for row in rows:
        least = 6 * (facts.num_parameters - BYTE_VOCABULARY * facts.hidden_size) * row["tokens_per_second"] / 1e9
        assert least < row["model_flops_utilisation"] < 2.5 * least
