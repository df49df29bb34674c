"""MLflow, and nowhere else: an experiment a study, a parent run, a child run a trial, a logged model a checkpoint with its scores.

Everything here can be said again: a run, a model or a metric that MLflow has already is found, not doubled. So tracking is a
projection of the store, and a second `run` adds what is missing and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# MLflow asks home about its users unless told not to, and a cluster often cannot reach it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# On a server it would print two lines into the study's output for each run that ends.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.tracking import MlflowClient

from ray_study.logged_models import OURS, LoggedModels, log_metrics, now
from ray_study.rows import Checkpoint, Run, Score
from ray_study.tracking_uri import cannot_be_used, refuse_password

log = logging.getLogger(__name__)

NOTE = "mlflow.note.content"
"""The tag that the UI shows as a description, in Markdown."""

MOST_PARAMS = 90
"""Parameters and tags in one call: MLflow takes a hundred of both together."""
MOST_PARAM_CHARACTERS, MOST_TAG_CHARACTERS = 6_000, 8_000
"""Of one value; a server refuses longer ones."""

# The UI then speaks of models and training runs; otherwise it guesses, and took checkpoints for versions of an agent.
_KIND = {"mlflow.experimentKind": "custom_model_development"}

_ERROR = "ray_study.error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a run of ours looks beside its metrics."""

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    """Its description in Markdown; empty leaves it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One number at a moment: milliseconds since 1970, as MLflow keeps it."""

    time: int
    step: int
    key: str
    value: float


class Tracker:
    """An MLflow experiment for the life of a driver."""

    def __init__(self, uri: str, study: str, artifacts: str, *, connect: Callable[[str], MlflowClient] = MlflowClient) -> None:
        """Opens the experiment, making the database first: processes that make it together fail.

        Args:
            uri: a tracking URI, `sqlite:///…` or a server's.
            study: the experiment's name.
            artifacts: where artifacts go when the experiment is new (local stores); a server decides by itself.
            connect: the client of a URI.

        Raises:
            ValueError: the tracking store cannot be reached, or its URI holds a password.
        """
        refuse_password(uri)
        for name in ("mlflow", "alembic"):
            # Making the tables is told migration by migration.
            logging.getLogger(name).setLevel(logging.ERROR)
        # A server decides by itself; a database spoken to from here would have them in whatever directory this process is in.
        location = None if uri.startswith(("http:", "https:", "databricks")) else Path(artifacts).absolute().as_uri()
        try:
            with _soon():
                self._client = connect(uri)
                found = self._client.get_experiment_by_name(study)
                self._experiment = found.experiment_id if found else self._client.create_experiment(study, location, tags=_KIND)
        # A database's driver raises what it likes.
        except Exception as error:
            raise ValueError(cannot_be_used(uri, getattr(error, "message", str(error)))) from error
        self._models = LoggedModels(self._client, str(self._experiment))
        self._last_steps: dict[tuple[str, str], int] = {}
        self._last_times: dict[tuple[str, str], int] = {}
        # What tells a trial apart, by its child run: a checkpoint's logged model has it too.
        self._trials: dict[str, tuple[str, Mapping[str, str]]] = {}

    def parent(self, study: str, texts: Mapping[str, str], look: Look = Look()) -> str:
        """The study's parent run, at work, with its sweep file and plan as artifacts."""
        run = self._run(f"study {study}", study, {})
        self._client.update_run(run, status="RUNNING")
        for name, text in texts.items():
            self._client.log_text(run, text, name)
        self.show(run, look)
        return run

    def child(self, parent: str, run: Run, made: str, *, axes: Mapping[str, str] | None = None, look: Look = Look()) -> str:
        """The child run of a trial, with its axes and settings as parameters and its status as MLflow's.

        Args:
            parent: the study's run.
            run: the trial.
            made: tells one making of the run from the next: a run that is trained again is a new child.
            axes: what the sweep varies of its settings. The rest stands apart, as `settings/NAME`.
            look: what else is shown.
        """
        child = self.find_child(parent, run, made, axes=axes)
        self._error(child, run.error)
        settings = {f"settings/{key}": value for key, value in _flat(run.settings).items() if key not in (axes or {})}
        own = Look(params={**self._trials[child][1], **settings, **look.params}, tags=look.tags, note=look.note)
        self.show(child, own)
        status = {"finished": "FINISHED", "failed": "FAILED", "owed": "RUNNING"}[run.status]
        if status == "RUNNING":
            self._client.update_run(child, status="RUNNING")
        else:
            self._client.set_terminated(child, status)
        return child

    def find_child(self, parent: str, run: Run, made: str, *, axes: Mapping[str, str] | None = None) -> str:
        """The child run of one making of a trial, found or made; nothing else is said of it."""
        child = self._run(run.name, f"{run.id}/{made}", {"mlflow.parentRunId": parent, "ray_study.stage": run.stage})
        self._trials[child] = (run.name, {"model": run.model, "dataset": run.dataset, "seed": str(run.seed), **(axes or {})})
        return child

    def show(self, run: str, look: Look) -> None:
        """Adds the parameters that a run does not have yet, and sets tags and description where they are others."""
        data = self._client.get_run(run).data
        wanted = {**look.tags, **({NOTE: look.note} if look.note else {})}
        params = [Param(key, value[:MOST_PARAM_CHARACTERS]) for key, value in look.params.items() if key not in data.params]
        cut = {key: value[:MOST_TAG_CHARACTERS] for key, value in wanted.items()}
        tags = [RunTag(key, value) for key, value in cut.items() if data.tags.get(key) != value]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(run, params=params[start : start + MOST_PARAMS])
        for start in range(0, len(tags), MOST_PARAMS):
            self._client.log_batch(run, tags=tags[start : start + MOST_PARAMS])

    def _error(self, run: str, error: str) -> None:
        """Tags a run with why it failed; one that goes on or has finished has no reason."""
        if error:
            self._client.set_tag(run, _ERROR, error[:MOST_TAG_CHARACTERS])
        elif _ERROR in self._client.get_run(run).data.tags:
            self._client.delete_tag(run, _ERROR)

    def dataset(self, run: str, name: str, facts: Mapping[str, str], context: str) -> None:
        """Links a data set (training) or an exam (evaluation) to a run, once."""
        entity = DatasetEntity(name=name, digest=facts["digest"], source_type="local", source=facts["source"], profile=facts.get("profile"))
        self._client.log_inputs(run, datasets=[DatasetInput(entity, tags=[InputTag("mlflow.data.context", context)])])

    def training(self, run: str, metrics: Iterable[tuple[int, str, float]]) -> None:
        """Logs training metrics by step, those after the last step that MLflow has."""
        rows = list(metrics)
        last = {key: self._last_step(run, key) for key in {key for _, key, _ in rows}}
        log_metrics(self._client, run, [_metric(f"train/{key}", value, step) for step, key, value in rows if step > last[key]])
        for step, key, _ in rows:
            self._last_steps[run, key] = max(step, self._last_steps[run, key])

    def system(self, run: str, points: Sequence[Point]) -> None:
        """Adds what was measured of machines after the last that MLflow has of each key; the UI shows `system/…` apart, by time."""
        fresh = []
        for point in sorted(points, key=lambda point: point.time):
            if point.time > self._last_time(run, point.key):
                self._last_times[run, point.key] = point.time
                fresh.append(Metric(point.key, point.value, point.time, point.step))
        log_metrics(self._client, run, fresh)

    def checkpoint(self, run: str, checkpoint: Checkpoint) -> str:
        """The logged model of a checkpoint; made when the checkpoint is committed, found afterwards."""
        name, axes = self._trials[run]
        # The step stands first: tables cut names off at their ends.
        return self._models.checkpoint(run, checkpoint, name=f"step {checkpoint.step}, {name}", axes=axes)

    def scores(self, run: str, checkpoint: Checkpoint, scores: Sequence[Score], digests: Mapping[str, str]) -> None:
        """Ties the scores of a checkpoint to its model and to the exam, as `eval/BENCHMARK/METRIC` by step."""
        self._models.scores(run, self.checkpoint(run, checkpoint), scores, digests)

    def artifacts(self, run: str, directory: str, name: str) -> None:
        """Copies a local directory to a run's artifacts."""
        self._client.log_artifacts(run, directory, name)

    def files(self, run: str, paths: Iterable[str], name: str) -> None:
        """Copies local files to a folder of a run's artifacts; those that are not there are left out."""
        for path in paths:
            if Path(path).is_file():
                self._client.log_artifact(run, path, name)

    def finish(self, run: str, *, complete: bool) -> None:
        """Ends the parent run: failed where something is owed."""
        self._client.set_terminated(run, "FINISHED" if complete else "FAILED")

    def _run(self, name: str, ours: str, tags: Mapping[str, str]) -> str:
        found = self._client.search_runs([self._experiment], f"tags.`{OURS}` = '{ours}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        made = self._client.create_run(self._experiment, run_name=name, tags={OURS: ours, **tags})
        return str(made.info.run_id)

    def _last_step(self, run: str, key: str) -> int:
        if (run, key) not in self._last_steps:
            history = self._client.get_metric_history(run, f"train/{key}")
            self._last_steps[run, key] = max((point.step for point in history), default=-1)
        return self._last_steps[run, key]

    def _last_time(self, run: str, key: str) -> int:
        if (run, key) not in self._last_times:
            history = self._client.get_metric_history(run, key)
            self._last_times[run, key] = max((point.timestamp for point in history), default=-1)
        return self._last_times[run, key]


def _metric(key: str, value: float, step: int) -> Metric:
    return Metric(key, value, now(), step)


def _flat(settings: str) -> dict[str, str]:
    values: dict[str, Any] = json.loads(settings) if settings else {}
    return {key: str(value) for key, value in values.items()}


@contextmanager
def _soon() -> Iterator[None]:
    """A server that does not answer is tried for seconds, where MLflow would try for minutes; later a study is as patient as MLflow."""
    if MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
        yield
        return
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(2)
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.unset()
