"""The weights of a batch's rows, against a reference that really splits the batch as the study's trainer does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import Bench, sums
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, DistributedSampler
from transformers import AutoModelForCausalLM

from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.train.layout import METRICS
from ray_study.train.loop import train
from ray_study.train.parallel import here
from ray_study.train.tokenizing import tokenize
from ray_study.train.weighting import row_weights


def training(**settings: Any) -> Training:
    return Training.model_validate({"steps": 1, **settings})


def as_the_studys_trainer(num_targets: list[int], batch_size: int, num_workers: int, micro_batch: int) -> list[list[float]]:
    """For each step and row of the data set in order, the gradient of the step's loss with respect to a token's own loss.

    Torch's own sampler, loader and autograd do the work: a worker's share of the data set, its batches, `split` into micro-batches, a
    masked mean in each, one `backward` each that adds up, and the mean of the gradients over workers.
    """
    longest = max(num_targets)
    mask = torch.arange(longest)[None, :] < torch.tensor(num_targets)[:, None]
    token_losses = torch.zeros(len(num_targets), longest, dtype=torch.float64, requires_grad=True)
    steps: list[torch.Tensor] = []
    for rank in range(num_workers):
        rows = list(range(len(num_targets)))
        sampler: Any = DistributedSampler(rows, num_replicas=num_workers, rank=rank, shuffle=False, drop_last=True)  # type: ignore[arg-type]
        loader: Any = DataLoader(rows, batch_size=batch_size // num_workers, sampler=sampler, drop_last=True)  # type: ignore[arg-type]
        for step, batch in enumerate(loader):
            token_losses.grad = None
            for part in batch.split(micro_batch):
                kept = mask[part]
                ((token_losses[part] * kept).sum() / kept.sum()).backward()
            assert token_losses.grad is not None
            if step == len(steps):
                steps.append(torch.zeros_like(token_losses))
            steps[step] += token_losses.grad / num_workers
    # All response tokens of a row weigh the same.
    for step_gradient in steps:
        assert torch.equal(step_gradient.amax(1), step_gradient[:, 0])
    return [gradient[:, 0].tolist() for gradient in steps]


@pytest.mark.parametrize(
    ("batch_size", "num_workers", "micro_batch"), [(256, 8, 4), (32, 8, 4), (256, 8, 2), (12, 2, 3), (6, 1, 2)], ids=str
)
def test_the_weights_are_the_gradients_of_the_studys_trainer_step_by_step(batch_size: int, num_workers: int, micro_batch: int) -> None:
    lengths = random.Random(batch_size)
    num_targets = [lengths.randint(1, 40) for _ in range(2 * batch_size)]
    settings = training(
        loss_aggregation="micro_batch_token_mean", batch_size=batch_size, layout_workers=num_workers, layout_rows=micro_batch
    )
    reference = as_the_studys_trainer(num_targets, batch_size, num_workers, micro_batch)
    assert len(reference) == 2
    for step, gradient in enumerate(reference):
        batch = slice(step * batch_size, (step + 1) * batch_size)
        assert row_weights(num_targets[batch], settings) == pytest.approx(gradient[batch], rel=1e-12)
        assert sum(gradient) == pytest.approx(sum(gradient[batch]))


def test_a_token_in_a_micro_batch_of_short_rows_weighs_more() -> None:
    settings = training(loss_aggregation="micro_batch_token_mean", batch_size=4, layout_workers=1, layout_rows=2)
    assert row_weights([1, 3, 10, 30], settings) == [1 / 4, 1 / 4, 1 / 40, 1 / 40]


def test_the_sum_over_tokens_is_the_micro_batches_of_a_worker_so_that_batch_sizes_are_no_longer_alike() -> None:
    for batch_size, num_micro_batches in ((256, 8), (32, 1)):
        settings = training(recipe="paper_faithful", batch_size=batch_size)
        num_targets = list(range(1, batch_size + 1))
        total = sum(weight * number for weight, number in zip(row_weights(num_targets, settings), num_targets, strict=True))
        assert total == pytest.approx(num_micro_batches)


def test_by_default_every_token_of_the_batch_weighs_the_same() -> None:
    assert row_weights([1, 3, 4], training(batch_size=3)) == [1 / 8] * 3


def _naive_norm(bench: Bench, batch_size: int, num_workers: int, micro_batch: int) -> float:
    """The gradient norm of the first step as the study's trainer computes it: row by row, without packing or chunks."""
    model: Any = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    rows = tokenize(sums(40), Chat(bench.base), max_length=200, over_long="truncate").rows[:batch_size]
    for rank in range(num_workers):
        mine = rows[rank::num_workers]
        for start in range(0, len(mine), micro_batch):
            part = mine[start : start + micro_batch]
            losses = []
            for row in part:
                logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0, row.num_prompt - 1 : -1]
                losses.append(cross_entropy(logits, torch.tensor(row.ids[row.num_prompt :]), reduction="sum"))
            (torch.stack(losses).sum() / sum(row.num_targets for row in part) / num_workers).backward()
    return float(torch.nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()]))


@pytest.mark.parametrize("settings", [{"micro_batch_size": 3}, {"micro_batch_size": 8, "packing": False}], ids=["packed", "padded"])
def test_the_loop_has_the_studys_gradient_whatever_its_own_micro_batches_are(bench: Bench, settings: dict[str, Any]) -> None:
    layout = {"loss_aggregation": "micro_batch_token_mean", "layout_workers": 4, "layout_rows": 2}
    usual = {"steps": 1, "batch_size": 16, "max_length": 200, "precision": "fp32", "shuffle": False, "over_long": "truncate"}
    task = bench.task("r", training(**usual, **layout, **settings), steps=(1,))
    train(task, here(torch.device("cpu")))
    found = json.loads((Path(task.directory) / METRICS).read_text())
    assert found["gradient_norm"] == pytest.approx(_naive_norm(bench, 16, 4, 2), rel=1e-5)
    plain = bench.task("plain", training(**usual, **settings), steps=(1,))
    train(plain, here(torch.device("cpu")))
    assert json.loads((Path(plain.directory) / METRICS).read_text())["gradient_norm"] < found["gradient_norm"] / 1.5
