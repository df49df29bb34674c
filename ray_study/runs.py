"""The runs of a study -> checkpoints, each run kept in the store under its fingerprint: pretraining first, then the grid."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ray_study import materials, sweep
from ray_study.grid import PlannedRun, planned, training_literal
from ray_study.manifests import MANIFEST, read_manifest
from ray_study.materials import Lab
from ray_study.rows import Checkpoint, Run
from ray_study.store import Result, outside
from ray_study.train.schedule import num_steps

log = logging.getLogger(__name__)

BASES = "bases.json"
"""In the store: the fingerprint and path of each run's step 0."""


def train(lab: Lab, datasets: Mapping[str, Result]) -> Iterator[Checkpoint | Run]:
    """Each checkpoint as soon as it is whole, step 0 of every run first, and each run when it has ended, failed ones with their error.

    A run that the store has is not trained again; one that was interrupted goes on from its resume state.
    """
    everything = planned(lab.study)
    if lab.study.resources.num_gpus and not lab.study.resources.overlaps:
        # The teacher's engine gives its accelerators back; on a CPU an idle engine costs nothing and saves a start.
        lab.engines.close()
    lab.last_steps.update({run.id: num_steps(run.training, _num_examples(datasets[run.dataset])) for run in everything})
    failed: dict[str, str] = {}
    bases: dict[str, str] = {}
    yield from _pretrain(lab, [run for run in everything if run.stage == "pretrain"], datasets, bases, failed)
    grid = [run for run in everything if run.stage == "sft"]
    for run in grid:
        if run.model in failed:
            yield as_row(run, status="failed", error=f"its model's pretraining failed: {failed[run.model]}")
        elif run.model not in bases:
            bases[run.model] = materials.base_directory(lab, run.model)
    grid = [run for run in grid if run.model not in failed]
    starts = [checkpoint_at(bases[run.model], run.id, step=0) for run in grid]
    # For `status` and `report`, which cannot tell where a base model lies and what its fingerprint is.
    lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": start.path} for start in starts})
    yield from starts
    yield from _train(lab, grid, datasets, bases)


def _pretrain(
    lab: Lab, runs: Sequence[PlannedRun], datasets: Mapping[str, Result], bases: dict[str, str], failed: dict[str, str]
) -> Iterator[Run]:
    """The pretraining runs as they end; the last checkpoint of each becomes its model's base, a failure its model's reason."""
    for event in _train(lab, runs, datasets, {run.model: materials.base_directory(lab, run.model) for run in runs}):
        if isinstance(event, Checkpoint):
            bases[_planned(runs, event.run).model] = event.path
            continue
        if event.status == "failed":
            failed[event.model] = event.error
        yield event


def _num_examples(dataset: Result) -> int:
    return int(dataset.record["num_rows"])


def _planned(runs: Sequence[PlannedRun], run: str) -> PlannedRun:
    return next(each for each in runs if each.id == run)


def _train(lab: Lab, runs: Sequence[PlannedRun], datasets: Mapping[str, Result], bases: Mapping[str, str]) -> Iterator[Checkpoint | Run]:
    jobs = []
    for run in runs:
        done = lab.store.find("train", run.id, _sources(run, datasets, bases[run.model]))
        if done is not None:
            yield from stored_checkpoints(done.path, run.id)
            yield as_row(run, status="finished")
            continue
        try:
            jobs.append(_job(lab, run, bases[run.model], datasets))
        except ValueError as error:
            # One impossible run is a row; the others go on.
            yield _fail(lab, run, str(error))
    if not jobs:
        return
    start = time.monotonic()
    by_id = {run.id: run for run in runs}
    for event in sweep.train(jobs, storage=str(lab.cache / "ray"), progress=lab.progress):
        if isinstance(event, Run) and event.status == "finished":
            run = by_id[event.id]
            _finish(lab, run, _sources(run, datasets, bases[run.model]), time.monotonic() - start)
        elif isinstance(event, Run):
            _fail(lab, by_id[event.id], event.error)
        yield event


def _sources(run: PlannedRun, datasets: Mapping[str, Result], base: str) -> list[Result]:
    """What a run is made from: its data set, and the files of its step 0, whoever made them."""
    return [datasets[run.dataset], outside(f"step 0 of {run.model}", read_manifest(Path(base)).fingerprint)]


def _job(lab: Lab, run: PlannedRun, base: str, datasets: Mapping[str, Result]) -> sweep.Job:
    workspace = lab.store.workspace("train", run.id, _sources(run, datasets, base))
    steps = lab.last_steps[run.id]
    num_examples = _num_examples(datasets[run.dataset])
    if num_examples < run.training.batch_size:
        raise ValueError(
            f"run {run.name!r}: data set {run.dataset!r} has {num_examples} examples, fewer than one batch of "
            f"{run.training.batch_size}; set a smaller batch_size, or make more examples"
        )
    try:
        at = (steps,) if run.stage == "pretrain" else lab.study.checkpoints.at(steps)
    except ValueError as error:
        raise ValueError(f"run {run.name!r}: {error}") from error
    return sweep.Job(
        run=as_row(run, status="owed"),
        base=base,
        examples=f"{datasets[run.dataset].path}/rows",
        steps=at,
        training=run.training,
        directory=workspace.path,
        resources=lab.study.resources.train,
    )


def as_row(run: PlannedRun, *, status: str, error: str = "") -> Run:
    """A planned run as a row, with its resolved settings."""
    return Run(
        id=run.id,
        name=run.name,
        stage=run.stage,
        model=run.model,
        dataset=run.dataset,
        seed=run.seed,
        settings=json.dumps(training_literal(run.training), sort_keys=True),
        status=status,  # type: ignore[arg-type]
        error=error,
    )


def _finish(lab: Lab, run: PlannedRun, sources: Sequence[Result], seconds: float) -> None:
    workspace = lab.store.workspace("train", run.id, sources)
    facts = {"seconds": seconds, "name": run.name, "settings": training_literal(run.training)}
    lab.store.finish(workspace, stage="train", mark=run.id, sources=sources, facts=facts)


def _fail(lab: Lab, run: PlannedRun, error: str) -> Run:
    lab.store.write_json(f"train-{run.id}/failed.json", {"name": run.name, "error": error})
    return as_row(run, status="failed", error=error)


def stored_checkpoints(directory: str, run: str) -> list[Checkpoint]:
    """The whole checkpoints of a run's directory by step; one without a manifest does not exist."""
    found = [checkpoint_at(str(path.parent), run) for path in Path(directory).glob(f"step-*/{MANIFEST}")]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def checkpoint_at(directory: str, run: str, *, step: int | None = None) -> Checkpoint:
    """The checkpoint of a directory as a row of `run`; `step` 0 makes another run's last checkpoint this one's start."""
    manifest = read_manifest(Path(directory))
    return Checkpoint(
        run=run,
        step=manifest.step if step is None else step,
        path=directory,
        num_tokens=manifest.num_tokens if step is None else 0,
        fingerprint=manifest.fingerprint,
        canary=json.dumps({"ids": manifest.canary.ids, "logprobs": manifest.canary.logprobs}),
    )
