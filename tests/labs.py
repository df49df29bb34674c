"""A lab without a cluster: the small study's materials in a store, runs trained in this process, and answers as a server leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from studies import study

from ray_study import evaluate
from ray_study.config import Training
from ray_study.engines import Engines
from ray_study.evaluate import Cell, Exam, scoring
from ray_study.examples import make_dataset
from ray_study.grid import planned
from ray_study.materials import Lab, load_problems
from ray_study.rows import Attempt, Checkpoint, Run
from ray_study.runs import train
from ray_study.store import Result, Store
from ray_study.sweep import Job
from ray_study.train import loop
from ray_study.train.parallel import here

CONDITIONS = '{"accelerator": "cpu"}'


def quiet(line: str) -> None:
    """Hears nothing."""


def make_lab(directory: Path, changes: Mapping[str, Any] | None = None) -> Lab:
    """The small study at work, changed at keys written as paths; its caches lie beside its store."""
    made = study(changes)
    return Lab(
        study=made,
        store=Store(str(directory), made.name),
        engines=Engines(quiet, shard_size=1, owner="tests"),
        cache=directory / "cache",
        progress=quiet,
    )


def make_exams(lab: Lab) -> list[Exam]:
    """The exams of a lab's study."""
    return evaluate.exams(lab.study, partial(load_problems, lab))


def make_datasets(lab: Lab) -> dict[str, Result]:
    """The data sets of a lab's study."""
    return {name: make_dataset(lab, name, {}) for name in lab.study.datasets}


def train_here(job: Job) -> None:
    """Trains a run in this process, as a worker would."""
    task = loop.Task(
        run=job.run.id,
        seed=job.run.seed,
        base=job.base,
        examples=job.examples,
        steps=job.steps,
        training=Training.model_validate(job.training),
        directory=job.directory,
        num_threads=1,
        resume_seconds=1e9,
        trust_remote_code=job.trust_remote_code,
    )
    loop.train(task, here(torch.device("cpu")))


def attempts(exam: Exam, texts: Sequence[str], *, asked_of: str, cap: int | None = None, conditions: str = CONDITIONS) -> list[Attempt]:
    """One attempt at each item, in the order of the items."""
    return [
        Attempt(
            problem_id=item.id,
            sample=0,
            asked_of=asked_of,
            text=text,
            num_tokens=min(20, cap or 20),
            finish_reason="stop",
            cap=cap or exam.sampling.max_tokens,
            seed=1,
            thinking_opened=False,
            prompt_hash="0" * 16,
            explanation="",
            conditions=conditions,
        )
        for item, text in zip(exam.items, texts, strict=True)
    ]


def answer(lab: Lab, exam: Exam, checkpoint: Checkpoint, rows: Sequence[Attempt]) -> Cell:
    """The cell of a checkpoint whose attempts a server has given, judged and recorded as `score_checkpoint` does."""
    run = next(each for each in planned(lab.study) if each.id == checkpoint.run)
    inputs = scoring.answers_inputs(lab, exam, checkpoint.fingerprint, run.model)
    scoring._workspace(lab.store, exam, inputs).write("all", rows, Attempt)
    return Cell(checkpoint=checkpoint, exam=exam.name, verdicts=scoring._judge(lab, exam, checkpoint, (run.model, run.name)))


def events_of(lab: Lab, datasets: Mapping[str, Result], **more: Any) -> list[Checkpoint | Run]:
    """What `train` yields, in order; nothing may be left to train, since there is no cluster."""
    return list(train(lab, datasets, **more))
