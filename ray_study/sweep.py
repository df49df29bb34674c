"""Runs -> Tune trials -> checkpoints, each as soon as it is whole. A run that fails is a row with its error, and the others go on."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray import train as ray_train
from ray import tune
from ray.train import UserCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.tune.progress_reporter import TrialProgressCallback

from ray_study.config import Training, TrainResources
from ray_study.manifests import digest
from ray_study.ray_cluster import ended_for_memory, in_words
from ray_study.rows import Checkpoint, Run
from ray_study.train import shortage
from ray_study.train.imports import ONLY_FOR_ZERO, UNUSED, unseen
from ray_study.train.layout import FAILURE, begin_attempt, is_newest, write_failure
from ray_study.train.watch import OnMetrics, Watch

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
# A trial only waits for its workers. Ray refuses 0, and the default of one whole CPU would starve the workers it waits for.
_TRIAL_CPUS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run with everything that training it needs."""

    run: Run
    base: str
    """Directory of step 0."""
    examples: str
    """Directory of `Example` tables."""
    steps: tuple[int, ...]
    """The checkpoints to save, without step 0; the last is the run's last step."""
    training: Training
    """Resolved."""
    directory: str
    """Where the run's checkpoints go: `DIRECTORY/step-000010/`, with `metrics.jsonl` beside them. Every node must see it."""
    resources: TrainResources
    trust_remote_code: bool = False
    memory_estimate: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a worker by part, as `plan` estimates them; said where memory runs out."""


def train(
    jobs: Sequence[Job],
    *,
    storage: str,
    progress: Callable[[str], None] = log.info,
    on_metrics: OnMetrics | None = None,
) -> Iterator[Checkpoint | Run]:
    """Each checkpoint of the jobs as soon as its manifest is there, by step within a run, and each run when it ended or failed.

    What is there already is yielded at once, and a run that has everything starts no trial. Runs go on from their resume state.
    The caller has connected to Ray.

    Args:
        jobs: the runs; all with the same resources.
        storage: where Ray Train and Tune keep their own records; every node must see it.
        progress: told each run's step, loss and speed every few seconds, as one line.
        on_metrics: given each run's id and each new step's metrics.
    """
    watched = [Watch(run=job.run, steps=job.steps, directory=Path(job.directory), progress=progress, on_metrics=on_metrics) for job in jobs]
    for watch in watched:
        watch.forget_failure()
        yield from watch.new(at_rest=True)
    waiting = [watch for watch in watched if not watch.ended]
    if not waiting:
        return
    owed = {watch.run.id for watch in waiting}
    trials = _Trials([job for job in jobs if job.run.id in owed], storage)
    while trials.are_running:
        for watch in waiting:
            yield from watch.new(at_rest=False)
        time.sleep(POLL_SECONDS)
    errors = trials.errors()
    for watch in waiting:
        yield from watch.last(errors.get(watch.run.id))


class _Quiet(TrialProgressCallback):  # type: ignore[misc]
    """Tune's own account of its trials, unsaid: a run's progress is told by `Watch`. One that was ended for memory isn't tried again."""

    def _print(self, msg: str) -> None: ...

    def on_trial_recover(self, *_: Any, trial: Any, **info: Any) -> None:
        """Has the next attempt, or who reads the end, find why the run cannot go on where its process was ended for its memory."""
        _look_for_memory(trial)

    on_trial_error = on_trial_recover


def _look_for_memory(trial: Any) -> None:
    # Not by `get_error`, which reads the storage that Tune copies its own files to later.
    path = trial.error_file
    give_up_without_memory(trial.config["job"]["task"], Path(path).read_text() if path and Path(path).is_file() else "")


class _GiveUp(UserCallback):  # type: ignore[misc]
    """Runs in Train's controller: workers that were ended for memory are not tried again."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self._task = task

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Has the next attempt find why the run cannot go on, where a worker was ended for its memory."""
        for error in worker_exceptions.values():
            give_up_without_memory(self._task, str(error))


def give_up_without_memory(task: Mapping[str, Any], error: str) -> None:
    """Notes in a run's directory that it ran out of memory, where an error of Ray's says so: trying again would end in the same way."""
    if ended_for_memory(error):
        shortage.note(Path(task["directory"]), task["memory_estimate"])


class _Trials:
    """A Tune experiment in a thread of its own, one trial a run."""

    def __init__(self, jobs: Sequence[Job], storage: str) -> None:
        """Starts the trials."""
        # The newer output cannot be silenced.
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
        points = [_point(job, storage) for job in jobs]
        resources = jobs[0].resources
        # Made in the thread: it already looks at the storage, and what fails there is told like any failure of the sweep.
        self._tuner = partial(
            tune.Tuner,
            tune.with_resources(_trial, _room),
            param_space={"job": tune.grid_search(points)},
            tune_config=tune.TuneConfig(max_concurrent_trials=resources.concurrent_runs),
            run_config=tune.RunConfig(
                name=f"sweep-{digest([job.run.id for job in jobs])}-{time.time_ns()}",
                storage_path=str(Path(storage).absolute()),
                verbose=0,
                callbacks=[_Quiet()],
                # For a trial that trains alone, or whose own process dies. Whatever the workers of Train do is counted by Train.
                failure_config=tune.FailureConfig(max_failures=resources.max_failures),
            ),
        )
        self._runs = [job.run.id for job in jobs]
        self._attempts = resources.max_failures + 1
        self._results: Any = None
        self._error: Exception | None = None
        # A daemon: who stops listening to a sweep can end the process, and the runs go on from their states next time.
        self._thread = threading.Thread(target=self._fit, name="sweep", daemon=True)
        self._thread.start()

    @property
    def are_running(self) -> bool:
        """Whether any trial may still leave something."""
        return self._thread.is_alive()

    def errors(self) -> dict[str, str]:
        """The error of each run whose trial failed, by `Run.id`; of every run where Tune itself failed."""
        if self._error is not None:
            log.debug("the sweep stopped", exc_info=self._error)
            return dict.fromkeys(self._runs, f"the sweep stopped: {in_words(self._error)}")
        failed = [result for result in self._results if result.error is not None]
        return {each.config["job"]["run"]: _failed_in_words(self._attempts, in_words(each.error)) for each in failed}

    def _fit(self) -> None:
        try:
            self._results = self._tuner().fit()
        except Exception as error:  # noqa: BLE001 - a thread's error is told where the sweep is read
            self._error = error


def _point(job: Job, storage: str) -> dict[str, Any]:
    """What a trial is told: plain values, since Tune writes them into its records."""
    resources = job.resources
    return {
        "run": job.run.id,
        "storage": str(Path(storage).absolute()),
        "resources": resources.model_dump(mode="json"),
        "task": {
            "run": job.run.id,
            "seed": job.run.seed,
            "base": job.base,
            "examples": job.examples,
            "steps": list(job.steps),
            "training": job.training.model_dump(mode="json"),
            "directory": job.directory,
            "num_threads": max(1, int(resources.cpus_per_worker)),
            "resume_seconds": resources.resume_seconds,
            "trust_remote_code": job.trust_remote_code,
            "resume_every": resources.resume_every,
            "memory_estimate": dict(job.memory_estimate),
            "peak_teraflops": resources.peak_teraflops,
        },
    }


def _is_alone(job: Mapping[str, Any]) -> bool:
    """Whether a run has one worker and plain torch: its trial trains it itself."""
    return bool(job["resources"]["workers"] == 1 and job["task"]["training"]["engine"] == "torch")


def _room(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial takes: a worker's share where it trains itself, else next to nothing, since its workers take theirs."""
    job = config["job"]
    return tune.PlacementGroupFactory([_share(TrainResources.model_validate(job["resources"])) if _is_alone(job) else {"CPU": _TRIAL_CPUS}])


def _share(resources: TrainResources) -> dict[str, float]:
    """What one worker takes of its node."""
    gpus = {"GPU": 1.0} if resources.gpus_per_worker else {}
    # By this resource Ray marks a node of a type.
    of_type = {f"accelerator_type:{resources.accelerator_type}": 0.001} if gpus and resources.accelerator_type else {}
    return {"CPU": resources.cpus_per_worker, **gpus, **of_type}


def _trial(config: dict[str, Any]) -> None:
    """Trains one run with Ray Train; returns when it has ended, also where it has failed.

    A failure that trying again would not mend is a file in the run's directory, where the driver looks first. Whatever else goes wrong
    is tried again as often as the file says: by Tune where the trial trains alone, else by Train, and then nothing is raised, since
    Tune would try as often again.
    """
    job = config["job"]
    resources = TrainResources.model_validate(job["resources"])
    directory, token = Path(job["task"]["directory"]), uuid.uuid4().hex
    if (directory / FAILURE).is_file():
        return
    begin_attempt(directory, token)
    settings = {"task": job["task"], "attempt": token}
    if _is_alone(job):
        _alone(resources, settings, lambda: is_newest(directory, token))
        return
    trainer = _trainer(
        resources,
        train_loop_config=settings,
        run_config=ray_train.RunConfig(
            # A fresh name: the run's state is in its own directory, and Ray's records of an earlier attempt say nothing.
            name=f"run-{job['run']}-{time.time_ns()}",
            storage_path=job["storage"],
            failure_config=ray_train.FailureConfig(max_failures=resources.max_failures),
            callbacks=[_GiveUp(job["task"])],
        ),
    )
    try:
        trainer.fit()
    except ray_train.TrainingFailedError as error:
        # Where a worker has said why, as of its memory, that is the reason.
        if is_newest(directory, token) and not (directory / FAILURE).is_file():
            write_failure(directory, _failed_in_words(resources.max_failures + 1, in_words(error)))


def _failed_in_words(attempts: int, error: str) -> str:
    return f"its workers failed {attempts} times, the last time with: {error}"


def _alone(resources: TrainResources, settings: dict[str, Any], is_ours: Callable[[], bool]) -> None:
    """Trains in this process, by Train's local mode: no process of a controller, of its helpers and of a worker starts after this one."""
    if not resources.gpus_per_worker:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Or torch would take an accelerator that nobody gave to this run.
    try:
        DataParallelTrainer(_worker, train_loop_config=settings, scaling_config=ray_train.ScalingConfig(num_workers=0)).fit()
    except Exception:
        if is_ours():  # Else another attempt has the run now, and trying again would take it back.
            raise


def _trainer(resources: TrainResources, **settings: Any) -> DataParallelTrainer:
    """A trainer of Ray Train, with a process group of torch between its workers."""
    from ray.train.torch import TorchConfig, TorchTrainer  # noqa: PLC0415 - it imports torch, which the driver does without

    assert resources.workers is not None, "the number of workers is chosen before a run is a job"
    scaling = ray_train.ScalingConfig(
        num_workers=resources.workers,
        use_gpu=bool(resources.gpus_per_worker),
        resources_per_worker={key: value for key, value in _share(resources).items() if not key.startswith("accelerator_type:")},
        accelerator_type=resources.accelerator_type,
    )
    backend = TorchConfig(backend="nccl" if resources.gpus_per_worker else "gloo")
    return TorchTrainer(_worker, torch_config=backend, scaling_config=scaling, **settings)


def _worker(settings: dict[str, Any]) -> None:
    with unseen(*(ONLY_FOR_ZERO if settings["task"]["training"]["engine"] == "torch" else ())):
        with unseen(*UNUSED):
            # The driver needs nothing that the loop does, and would pay seconds for importing it.
            from ray_study.train import checkpoints, loop  # noqa: PLC0415

        checkpoints.join_attempt(Path(settings["task"]["directory"]), settings["attempt"])
        loop.worker(settings["task"])
