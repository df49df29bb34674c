from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_run import Bench
from transformers import AutoModelForCausalLM

from ray_study import tables
from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.rows import Example
from ray_study.train.batches import Cut
from ray_study.train.held_out import held_out_loss
from ray_study.train.holding_out import split
from ray_study.train.layout import ENDED, METRICS
from ray_study.train.loop import train
from ray_study.train.parallel import here, make_engine
from ray_study.train.tokenizing import Row, tokenize

CPU = here(torch.device("cpu"))


def _training(**settings: object) -> Training:
    usual = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "max_length": 200, "precision": "fp32", "held_out": 7}
    return Training.model_validate({**usual, **settings})


def _rows(bench: Bench) -> list[Row]:
    held_out = split(tables.read(bench.examples, Example), 7)[1]
    return list(tokenize(held_out, Chat(bench.base), max_length=200, over_long="drop").rows)


def _told(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (path / METRICS).read_text().splitlines()]


def _expected(directory: Path | str, rows: list[Row]) -> tuple[float, float]:
    """Mean negative log-likelihood and accuracy of the response tokens, a row at a time and by the plain model."""
    model = AutoModelForCausalLM.from_pretrained(directory)
    total, hits = 0.0, 0
    with torch.no_grad():
        for row in rows:
            logprobs = torch.log_softmax(model(input_ids=torch.tensor([row.ids])).logits[0, row.num_prompt - 1 : -1], dim=-1)
            targets = torch.tensor(row.ids[row.num_prompt :])
            total -= float(logprobs.gather(1, targets[:, None]).sum())
            hits += int((logprobs.argmax(dim=-1) == targets).sum())
    num_targets = sum(row.num_targets for row in rows)
    return total / num_targets, hits / num_targets


def test_the_held_out_loss_is_that_of_each_checkpoint_and_of_the_start(bench: Bench) -> None:
    task = bench.task("r", _training(), steps=(3, 6))
    train(task, CPU)
    directory, rows = Path(task.directory), _rows(bench)
    told = {int(row["step"]): row for row in _told(directory) if "held_out_loss" in row}
    for step, where in ((0, bench.base), (3, directory / "step-000003"), (6, directory / "step-000006")):
        loss, accuracy = _expected(where, rows)
        assert told[step]["held_out_loss"] == pytest.approx(loss, rel=1e-5)
        assert told[step]["held_out_token_accuracy"] == pytest.approx(accuracy)
    assert list(told) == [0, 3, 6]
    assert [row["step"] for row in _told(directory)] == list(range(7))
    train(task, CPU)
    assert [row["step"] for row in _told(directory)] == list(range(7)), "a run that begins again tells each step once"
    ended = json.loads((directory / ENDED).read_text())
    assert (ended["num_rows"], ended["num_held_out"]) == (33, 7)


def test_nothing_of_what_is_held_out_is_learned(bench: Bench) -> None:
    held_out = split(tables.read(bench.examples, Example), 7)[1]
    kept = {example.problem_id for example in held_out}
    rest = [example for example in tables.read(bench.examples, Example) if example.problem_id not in kept]
    tables.write(rest, bench.root / "rest" / "all.parquet", Example)
    without = Bench(root=bench.root, base=bench.base, examples=str(bench.root / "rest"))
    both = [one.task(name, _training(held_out=number), steps=(6,)) for one, name, number in ((bench, "a", 7), (without, "b", 0))]
    for task in both:
        train(task, CPU)
    one, other = [[row["loss"] for row in _told(Path(task.directory)) if "loss" in row] for task in both]
    assert one == other, "measuring draws no random number and moves no weight"


@pytest.mark.parametrize("packed", [True, False])
def test_the_held_out_loss_does_not_depend_on_how_rows_are_cut(bench: Bench, packed: bool) -> None:
    rows = _rows(bench)
    model = AutoModelForCausalLM.from_pretrained(bench.base, attn_implementation="ray_study_packed" if packed else "sdpa")
    engine = make_engine(model, _training(), CPU)
    expected = _expected(bench.base, rows)
    for at_most in (200, 400) if packed else (1, 4):
        found = held_out_loss(engine, rows, Cut(rank=0, num_workers=1, packed=packed, at_most=at_most), CPU)
        assert tuple(found.values()) == pytest.approx(expected, rel=1e-5)


def test_workers_share_what_is_held_out(bench: Bench) -> None:
    rows = _rows(bench)
    assert len(rows) % 3, "rows that no three workers can share alike"
    engine = make_engine(AutoModelForCausalLM.from_pretrained(bench.base), _training(packing=False), CPU)
    told = [held_out_loss(engine, rows, Cut(rank=rank, num_workers=3, packed=False, at_most=2), CPU) for rank in range(3)]
    # Each worker's own part, over the targets of all: they add up.
    assert sum(part["held_out_loss"] for part in told) == pytest.approx(_expected(bench.base, rows)[0], rel=1e-5)
    assert held_out_loss(engine, [], Cut(rank=0, num_workers=1, packed=False, at_most=2), CPU) == {}
