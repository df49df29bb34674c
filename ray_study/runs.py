"""The runs of a study -> checkpoints, each run kept in the store under its fingerprint: pretraining first, then the grid."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ray_study import materials, sweep
from ray_study.config import Study
from ray_study.fitting import fitted, workers_of
from ray_study.grid import PlannedRun, planned, training_literal
from ray_study.lengths import count_rows, steps_to_save
from ray_study.making import unmade
from ray_study.manifests import MANIFEST, Manifest, read_manifest
from ray_study.materials import Lab
from ray_study.models import facts
from ray_study.rows import Checkpoint, Run
from ray_study.store import Result, Store, outside
from ray_study.stored_steps import STEPS, missing_steps, stored_steps
from ray_study.train.cost import memory_per_worker
from ray_study.train.layout import ENDED, LENGTHS, METRICS, saved_directories, seconds_spent, step_directory
from ray_study.train.watch import OnMetrics

log = logging.getLogger(__name__)

BASES = "bases.json"
"""In the store: the fingerprint and path of each run's step 0."""
FAILED = "failed.json"
"""In a run's directory: why it failed when it was last tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What training needs to know of a study's runs before the first one starts."""

    lab: Lab
    datasets: Mapping[str, Result]
    on_metrics: OnMetrics | None
    counts: dict[str, Result] = field(default_factory=dict)
    """How many rows each run learns from, by its id."""
    steps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The steps at which each run is saved, without step 0."""
    errors: dict[str, str] = field(default_factory=dict)
    """Why a run cannot be trained."""


def train(lab: Lab, datasets: Mapping[str, Result], on_metrics: OnMetrics | None = None) -> Iterator[Checkpoint | Run]:
    """Each checkpoint as soon as it is whole, step 0 of every run first, and each run when it has ended, failed ones with their error.

    A run that the store has is not trained again, unless a checkpoint that it has saved is gone; one that was interrupted goes on from
    its resume state. One that cannot be trained, as where its data set could not be made, is a failed row at once.

    Args:
        lab: the study at work.
        datasets: those that could be made, by name.
        on_metrics: given each run's id and each new step's metrics.
    """
    if lab.study.resources.num_gpus and not lab.study.resources.overlaps:
        # The teacher's engine gives its accelerators back; on a CPU an idle engine costs nothing and saves a start.
        lab.engines.close()
    everything = planned(lab.study)
    work = _prepare(lab, everything, datasets, on_metrics)
    failed: dict[str, str] = {}
    bases: dict[str, str] = {}
    yield from _pretrain(work, [run for run in everything if run.stage == "pretrain"], bases, failed)
    grid = []
    for run in everything:
        if run.stage != "sft":
            continue
        if run.model in failed:
            yield from _without_base(lab, run, f"its model's pretraining failed: {failed[run.model]}")
        elif run.id in work.errors:
            yield _fail(lab, run, work.errors[run.id])
        else:
            bases.setdefault(run.model, materials.base_directory(lab, run.model))
            grid.append(run)
    starts = [checkpoint_at(bases[run.model], run.id, step=0) for run in grid]
    # For `status` and `report`, which cannot tell where a base model lies and what its fingerprint is.
    known = {start.run: {"fingerprint": start.fingerprint, "path": start.path} for start in starts}
    lab.store.write_json(BASES, {**(lab.store.read_json(BASES) or {}), **known})
    yield from starts
    yield from _train(work, grid, bases)


def _without_base(lab: Lab, run: PlannedRun, why: str) -> Iterator[Checkpoint | Run]:
    """What is left of a run whose model cannot be had now: what it has made where it is finished, else its failure."""
    if lab.store.recall("train", run.id) is None:
        yield _fail(lab, run, why)
        return
    start = stored_start(lab.store, run.id)
    yield from [start] if start is not None else []
    yield from stored_checkpoints(lab.store, run.id)
    yield as_row(run, status="finished")


def _prepare(lab: Lab, runs: Sequence[PlannedRun], datasets: Mapping[str, Result], on_metrics: OnMetrics | None) -> _Work:
    """The steps of every run, from the rows that are left of its data set; kept in the store for `status` and the report."""
    work = _Work(lab=lab, datasets=datasets, on_metrics=on_metrics)
    for model in dict.fromkeys(run.model for run in runs):
        materials.base_directory(lab, model)
    for run in runs:
        try:
            if run.dataset not in datasets:
                raise ValueError(f"data set {run.dataset!r} could not be made: {unmade(lab.store).get(run.dataset, 'see the log')}")
            work.counts[run.id] = count_rows(lab, run, datasets[run.dataset])
            work.steps[run.id] = steps_to_save(lab.study, run, work.counts[run.id].record)
            lab.last_steps[run.id] = work.steps[run.id][-1]
        except ValueError as error:
            # One impossible run is a row; the others go on.
            work.errors[run.id] = str(error)
    known = ("num_examples", "num_held_out", "num_rows", "num_dropped", "num_truncated", "template_differences")
    said = {run: {key: counts.record[key] for key in known} for run, counts in work.counts.items()}
    lab.store.write_json(LENGTHS, {run: {**counts, "steps": work.steps.get(run, ())} for run, counts in said.items()})
    return work


def _pretrain(work: _Work, runs: Sequence[PlannedRun], bases: dict[str, str], failed: dict[str, str]) -> Iterator[Run]:
    """The pretraining runs as they end; the last checkpoint of each becomes its model's base, a failure its model's reason."""
    for run in runs:
        if run.id in work.errors:
            failed[run.model] = work.errors[run.id]
            yield _fail(work.lab, run, work.errors[run.id])
    possible = [run for run in runs if run.id not in work.errors]
    for event in _train(work, possible, {run.model: materials.base_directory(work.lab, run.model) for run in possible}):
        if isinstance(event, Checkpoint):
            bases[_planned(runs, event.run).model] = event.path
            continue
        if event.status == "failed":
            failed[event.model] = event.error
        elif event.model not in bases:
            failed[event.model] = "; ".join(stored_steps(work.lab.store, event.id).lost.values())
        yield event


def _planned(runs: Sequence[PlannedRun], run: str) -> PlannedRun:
    return next(each for each in runs if each.id == run)


def _train(work: _Work, runs: Sequence[PlannedRun], bases: Mapping[str, str]) -> Iterator[Checkpoint | Run]:
    lab, jobs = work.lab, []
    for run in runs:
        job = _owed(work, run, bases[run.model])
        if job is not None:
            jobs.append(job)
            continue
        yield from stored_checkpoints(lab.store, run.id)
        yield as_row(run, status="finished")
    if not jobs:
        return
    for event in sweep.train(jobs, storage=str(lab.cache / "ray"), progress=lab.progress, on_metrics=work.on_metrics):
        if isinstance(event, Run) and event.status == "finished":
            run = _planned(runs, event.id)
            _finish(work, run, _sources(run, work.datasets, bases[run.model]))
        elif isinstance(event, Run):
            _fail(lab, _planned(runs, event.id), event.error)
        yield event


def _owed(work: _Work, run: PlannedRun, base: str) -> sweep.Job | None:
    """What is left to train of a run, from its directory of step 0; None where the store has it with every checkpoint that it saved."""
    store = work.lab.store
    done = store.find("train", run.id, _sources(run, work.datasets, base))
    if done is None:
        return _job(work, run, base)
    missing = missing_steps(done)
    if not missing:
        return None
    log.warning("%s: the checkpoints of steps %s are gone, so it is trained again; those that are there stay", run.name, list(missing))
    # The record last: when this is cut short, the run is finished still, and its checkpoints are found to be gone once more.
    store.check()
    # Nor may what it told of its steps hide that it takes them again.
    for name in (ENDED, METRICS, "record.json"):
        (Path(done.path) / name).unlink(missing_ok=True)
    return _job(work, run, base)


def _sources(run: PlannedRun, datasets: Mapping[str, Result], base: str) -> list[Result]:
    """What a run is made from: its data set, and the files of its step 0, whoever made them."""
    return [datasets[run.dataset], outside(f"step 0 of {run.model}", read_manifest(Path(base)).fingerprint)]


def _job(work: _Work, run: PlannedRun, base: str) -> sweep.Job:
    lab = work.lab
    workspace = lab.store.workspace("train", run.id, _sources(run, work.datasets, base))
    # An older failure is over: the run is tried again.
    (Path(workspace.path) / FAILED).unlink(missing_ok=True)
    return sweep.Job(
        run=as_row(run, status="owed"),
        base=base,
        examples=f"{work.datasets[run.dataset].path}/rows",
        steps=work.steps[run.id],
        training=fitted(lab.study, run),
        directory=workspace.path,
        resources=lab.study.resources.train.model_copy(update={"workers": workers_of(lab.study, run)}),
        trust_remote_code=lab.study.models[run.model].trust_remote_code,
        memory_estimate=_memory_estimate(lab.study, run),
    )


def _memory_estimate(study: Study, run: PlannedRun) -> dict[str, int]:
    """Bytes of a worker by part; nothing where the model is not known without its files."""
    found = facts(study.models[run.model])
    if found is None:
        return {}
    return asdict(memory_per_worker(found, fitted(study, run), num_workers=workers_of(study, run)))


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


def _finish(work: _Work, run: PlannedRun, sources: Sequence[Result]) -> None:
    store = work.lab.store
    workspace = store.workspace("train", run.id, sources)
    store.finish(
        workspace,
        stage="train",
        mark=run.id,
        sources=sources,
        facts={
            **counted(workspace.path),
            "name": run.name,
            "settings": training_literal(run.training),
            # Whatever becomes of their directories, these are owed.
            STEPS: list(saved_directories(Path(workspace.path))),
        },
    )


def counted(directory: str) -> dict[str, float]:
    """What a run that has ended says of itself: its rows, those that were dropped or cut, its tokens and the seconds it took."""
    ended = Path(directory) / ENDED
    own = dict(json.loads(ended.read_text())) if ended.is_file() else {}
    return {"seconds": seconds_spent(Path(directory)), **own}


def _fail(lab: Lab, run: PlannedRun, error: str) -> Run:
    lab.store.write_json(f"train-{run.id}/{FAILED}", {"name": run.name, "error": error})
    return as_row(run, status="failed", error=error)


def stored_checkpoints(store: Store, run: str) -> list[Checkpoint]:
    """The whole checkpoints of a run by step; one without a manifest does not exist, and one with a damaged one is not among them."""
    directory = Path(store.path(f"train-{run}"))
    whole = stored_steps(store, run).whole
    return [_row(str(step_directory(directory, step)), run, manifest, step=None) for step, manifest in whole.items()]


def stored_start(store: Store, run: str) -> Checkpoint | None:
    """Step 0 of a run as the store knows it, or None where nobody knows or its files are not on this machine."""
    base = (store.read_json(BASES) or {}).get(run)
    if base is None or not (Path(base["path"]) / MANIFEST).is_file():
        return None
    try:
        return checkpoint_at(base["path"], run, step=0)
    except ValueError:
        # What it scored is stored under its fingerprint; whoever asks it something new is told what is wrong with it.
        return Checkpoint(run=run, step=0, path=base["path"], num_tokens=0, fingerprint=base["fingerprint"], canary="{}")


def checkpoint_at(directory: str, run: str, *, step: int | None = None) -> Checkpoint:
    """The checkpoint of a directory as a row of `run`; `step` 0 makes another run's last checkpoint this one's start."""
    return _row(directory, run, read_manifest(Path(directory)), step=step)


def _row(directory: str, run: str, manifest: Manifest, *, step: int | None) -> Checkpoint:
    return Checkpoint(
        run=run,
        step=manifest.step if step is None else step,
        path=directory,
        num_tokens=manifest.num_tokens if step is None else 0,
        fingerprint=manifest.fingerprint,
        canary=json.dumps({"ids": manifest.canary.ids, "logprobs": manifest.canary.logprobs}),
    )
