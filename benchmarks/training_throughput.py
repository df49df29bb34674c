"""Supervised tokens per second of our training loop against TRL's `SFTTrainer` and transformers' `Trainer`.

The same model, token ids, rows in one step, precision, optimizer (fused AdamW), clipping and number of threads on every side; no gradient
checkpointing; the peers log nothing while they are timed, ours logs every step as it always does. They take turns in one process, and
a round's ratio is ours over the faster peer's. Two kinds of rows: all of one length, and log-normal lengths with a mean of a quarter of
the longest, where the peers pad each step's rows to its longest. The first step of each turn is not counted.

    python benchmarks/training_throughput.py [--models smollm2-135m qwen3-tiny] [--rounds 3] [--threads 1] [--precision bf16] [--profile]

Needs `pip install --no-deps -r requirements/bench.txt`, as `make bench` does. The last line is JSON. `ratio` is the smallest of
(median ratio) / (its goal) over all comparisons, so that 1.0 or more is the goal; each median is in `comparisons`. Utilisation is of the
matmul peak that is measured between the rounds, with as many threads and in the same precision.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from _training_rows import example, lengths, save_model
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from ray_study import tables
from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.models import facts_of
from ray_study.rows import Example
from ray_study.train.layout import METRICS
from ray_study.train.loop import Task, train
from ray_study.train.parallel import here
from ray_study.train.tokenizing import Row, tokenize
from ray_study.train.usage import step_flops

GOALS = {"equal": 1.0, "spread": 1.5}
"""Times the faster peer: on rows of one length, and on rows with the lengths of chains of thought."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much of a model is trained in a turn."""

    longest: int
    rows_in_step: dict[str, int]
    """By kind of rows, so that a step has about as many tokens in both."""
    steps: int
    """Timed ones."""


SHAPES = {
    "smollm2-135m": Shape(longest=256, rows_in_step={"equal": 2, "spread": 8}, steps=2),
    "qwen3-tiny": Shape(longest=512, rows_in_step={"equal": 8, "spread": 32}, steps=8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison: a model and rows."""

    base: Path
    root: Path
    shape: Shape
    kind: str
    precision: str
    threads: int
    examples: str
    rows: tuple[Row, ...]

    @property
    def batch_size(self) -> int:
        """Rows in one step."""
        return self.shape.rows_in_step[self.kind]

    def supervised(self) -> int:
        """Response tokens of the timed steps."""
        return sum(row.num_targets for row in self.rows[self.batch_size :])


def make_case(name: str, kind: str, base: Path, root: Path, options: argparse.Namespace) -> Case:
    shape = SHAPES[name]
    number = (shape.steps + 1) * shape.rows_in_step[kind]
    chat = Chat(base)
    prompt_tokens = len(chat.prompt("What is it?").ids)
    rows = [example(index, length, prompt_tokens) for index, length in enumerate(lengths(number, shape.longest, spread=kind == "spread"))]
    examples = root / f"{name}-{kind}"
    tables.write(rows, examples / "all.parquet", Example)
    found = tokenize(rows, chat, max_length=shape.longest, over_long="drop").rows
    assert len(found) == number
    return Case(
        base=base,
        root=root,
        shape=shape,
        kind=kind,
        precision=options.precision,
        threads=options.threads,
        examples=str(examples),
        rows=found,
    )


def ours(case: Case) -> float:
    """Seconds of the timed steps in the real loop, by the clock that it logs."""
    directory = Path(tempfile.mkdtemp(dir=case.root))
    steps = case.shape.steps + 1
    settings = {
        "steps": steps,
        "batch_size": case.batch_size,
        "micro_batch_size": case.batch_size,
        "max_length": case.shape.longest,
        "precision": case.precision,
        "shuffle": False,
    }
    task = Task(
        run="benchmark",
        seed=0,
        base=str(case.base),
        examples=case.examples,
        steps=(steps,),
        training=Training.model_validate(settings),
        directory=str(directory),
        num_threads=case.threads,
        resume_seconds=1e9,
        trust_remote_code=False,
    )
    train(task, here(CPU))
    told = [json.loads(line)["seconds"] for line in (directory / METRICS).read_text().splitlines()]
    return float(told[-1] - told[0])


class Clock(TrainerCallback):  # type: ignore[misc]  # TRL and transformers carry no types here
    """When each step of a peer ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Notes the time."""
        self.ends.append(time.perf_counter())


def peer(case: Case, make: Callable[..., Any], arguments: type[TrainingArguments], **more: Any) -> float:
    """Seconds of the timed steps of a trainer of transformers' kind."""
    torch.set_num_threads(case.threads)
    defaults = Training(steps=1)
    settings = arguments(
        output_dir=tempfile.mkdtemp(dir=case.root),
        max_steps=case.shape.steps + 1,
        per_device_train_batch_size=case.batch_size,
        learning_rate=defaults.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=1,
        weight_decay=defaults.weight_decay,
        max_grad_norm=defaults.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=case.precision == "bf16",
        use_cpu=True,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        save_strategy="no",
        logging_steps=10**9,
        report_to="none",
        disable_tqdm=True,
        **more,
    )
    labels = [[-100] * row.num_prompt + list(row.ids[row.num_prompt :]) for row in case.rows]
    ids = [list(row.ids) for row in case.rows]
    clock = Clock()
    trainer = make(
        model=AutoModelForCausalLM.from_pretrained(case.base, dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_dict({"input_ids": ids, "labels": labels, "attention_mask": [[1] * len(row) for row in ids]}),
        callbacks=[clock],
        processing_class=AutoTokenizer.from_pretrained(case.base),
    )
    trainer.train()
    assert len(clock.ends) == case.shape.steps + 1
    return clock.ends[-1] - clock.ends[0]


def transformers_trainer(case: Case) -> float:
    collator = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(case.base), padding="longest")
    return peer(case, lambda **given: Trainer(data_collator=collator, **given), TrainingArguments)


def trl_trainer(case: Case) -> float:
    return peer(case, SFTTrainer, SFTConfig, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})


SIDES: dict[str, Callable[[Case], float]] = {"ours": ours, "trainer": transformers_trainer, "sft_trainer": trl_trainer}


def matmul_peak(precision: str, threads: int) -> float:
    """FLOP/s of a product of two square matrices, the best of some."""
    torch.set_num_threads(threads)
    size = 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(12):
        start = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def compare(case: Case, rounds: int) -> dict[str, Any]:
    """Tokens per second of each side in each round, and the median ratio of ours to the faster peer's."""
    rates: dict[str, list[float]] = {name: [] for name in SIDES}
    peaks: list[float] = []
    for round_ in range(rounds):
        peaks.append(matmul_peak(case.precision, case.threads))
        names = list(SIDES)[:: 1 if round_ % 2 == 0 else -1]
        for name in names:
            rates[name].append(case.supervised() / SIDES[name](case))
            print(f"{case.root.name} {case.kind}, round {round_}: {name} {rates[name][-1]:,.0f} supervised tokens/s", flush=True)
    ratios = [mine / max(rates["trainer"][index], rates["sft_trainer"][index]) for index, mine in enumerate(rates["ours"])]
    facts = facts_of(json.loads((case.base / "config.json").read_text()))
    assert facts is not None
    timed = case.rows[case.batch_size :]
    used = [step_flops(facts, timed) * rate / case.supervised() / peak for rate, peak in zip(rates["ours"], peaks, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "goal": GOALS[case.kind],
        "ratios": [round(ratio, 2) for ratio in ratios],
        "supervised_tokens_per_second": {name: [round(rate, 1) for rate in found] for name, found in rates.items()},
        "matmul_gigaflops": [round(peak / 1e9, 1) for peak in peaks],
        "utilisation": round(statistics.median(used), 3),
        "rows_in_step": case.batch_size,
        "tokens_in_row": round(sum(len(row.ids) for row in timed) / len(timed)),
        "longest": case.shape.longest,
    }


def profiled(case: Case) -> str:
    """Where the time of one turn of ours goes, by operation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        ours(case)
    return str(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=40))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--kinds", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--profile", action="store_true", help="print where the time of our steps goes, and compare nothing")
    options = parser.parse_args()
    disable_progress_bar()
    comparisons: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in options.models:
            root = Path(directory) / name
            root.mkdir()
            base = save_model(name, root / "base")
            for kind in options.kinds:
                case = make_case(name, kind, base, root, options)
                if options.profile:
                    print(profiled(case))
                else:
                    comparisons[f"{name}, {kind}"] = compare(case, options.rounds)
    if comparisons:
        worst = min(found["ratio"] / found["goal"] for found in comparisons.values())
        given = {"threads": options.threads, "precision": options.precision, "device": "CPU"}
        print(json.dumps({"name": "training_throughput", "ratio": round(worst, 2), "goal": 1.0, **given, "comparisons": comparisons}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
