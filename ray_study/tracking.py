"""MLflow, and nowhere else: an experiment a study, a parent run, a child run a trial, a logged model a checkpoint with its scores.

Everything here can be said again: a run, a model or a metric that MLflow has already is found, not doubled. So tracking is a
projection of the store, and a second `run` adds what is missing and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# MLflow asks home about its users unless told not to, and a cluster often cannot reach it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ray_study.rows import Checkpoint, Run, Score

log = logging.getLogger(__name__)

OURS = "ray_study.id"
"""The tag by which a run or model of ours is found again."""

MOST_METRICS = 900
"""Metrics in one call: MLflow takes a thousand."""

# The UI then speaks of models and training runs; otherwise it guesses, and took checkpoints for versions of an agent.
_KIND = {"mlflow.experimentKind": "custom_model_development"}


_ERROR = "ray_study.error"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """The last that MLflow was told of a score."""

    value: float
    digest: str | None
    timestamp: int

    def is_about(self, value: float, digest: str | None) -> bool:
        return self.value == value and self.digest == digest


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
            ValueError: the tracking store cannot be reached.
        """
        self.uri = uri
        for name in ("mlflow", "alembic"):
            # Making the tables is told migration by migration.
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            self._client = connect(uri)
            found = self._client.get_experiment_by_name(study)
            location = Path(artifacts).as_uri() if uri.startswith("sqlite:") else None
            self._experiment = found.experiment_id if found else self._client.create_experiment(study, location, tags=_KIND)
        except MlflowException as error:
            raise ValueError(f"tracking: {uri} cannot be used ({error.message}); check the URI and that its server runs") from error
        self._models: dict[tuple[str, int], str] = {}
        # By logged model and metric. Each history is read once, since a driver is the only one that adds to it.
        self._scored: dict[str, dict[str, _Said]] = {}
        self._last_steps: dict[tuple[str, str], int] = {}

    def parent(self, study: str, texts: Mapping[str, str]) -> str:
        """The study's parent run, at work, with its sweep file and plan as artifacts."""
        run = self._run(f"study {study}", study, {})
        self._client.update_run(run, status="RUNNING")
        for name, text in texts.items():
            self._client.log_text(run, text, name)
        return run

    def child(self, parent: str, run: Run, made: str) -> str:
        """The child run of a trial, with its axes and settings as parameters and its status as MLflow's.

        `made` tells one making of the run from the next: a run that is trained again is a new child.
        """
        child = self.find_child(parent, run, made)
        self._error(child, run.error[:4000])
        self.params(child, {"model": run.model, "dataset": run.dataset, "seed": str(run.seed), **_flat(run.settings)})
        status = {"finished": "FINISHED", "failed": "FAILED", "owed": "RUNNING"}[run.status]
        if status == "RUNNING":
            self._client.update_run(child, status="RUNNING")
        else:
            self._client.set_terminated(child, status)
        return child

    def find_child(self, parent: str, run: Run, made: str) -> str:
        """The child run of one making of a trial, found or made; nothing else is said of it."""
        return self._run(run.name, f"{run.id}/{made}", {"mlflow.parentRunId": parent, "ray_study.stage": run.stage})

    def params(self, run: str, wanted: Mapping[str, str], tags: Mapping[str, str] | None = None) -> None:
        """Adds the parameters that a run does not have yet, and sets its tags."""
        known = self._client.get_run(run).data.params
        fresh = [Param(key, value[:500]) for key, value in wanted.items() if key not in known]
        self._client.log_batch(run, params=fresh, tags=[RunTag(key, value[:4000]) for key, value in (tags or {}).items()])

    def _error(self, run: str, error: str) -> None:
        """Tags a run with why it failed; one that goes on or has finished has no reason."""
        if error:
            self._client.set_tag(run, _ERROR, error)
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
        self._log(run, [_metric(f"train/{key}", value, step) for step, key, value in rows if step > last[key]])
        for step, key, _ in rows:
            self._last_steps[run, key] = max(step, self._last_steps[run, key])

    def checkpoint(self, run: str, checkpoint: Checkpoint) -> str:
        """The logged model of a checkpoint; made when the checkpoint is committed, found afterwards."""
        key = (run, checkpoint.step)
        if key not in self._models:
            self._models[key] = self._find_model(run, checkpoint) or self._create_model(run, checkpoint)
        return self._models[key]

    def scores(self, run: str, checkpoint: Checkpoint, scores: Sequence[Score], digests: Mapping[str, str]) -> None:
        """Ties the scores of a checkpoint to its model and to the exam, as `eval/BENCHMARK/METRIC` by step.

        A score is told again when its value or the exam's digest is another than was told last: the newest is what MLflow shows.
        """
        model = self.checkpoint(run, checkpoint)
        if model not in self._scored:
            self._scored[model] = self._known_scores(model)
        known = self._scored[model]
        fresh = []
        for score in scores:
            digest = digests.get(score.benchmark)
            for suffix, value in (("", score.value), ("/standard_error", score.standard_error)):
                key = f"eval/{score.benchmark}/{score.metric}{suffix}"
                said = known.get(key)
                if value is None or (said is not None and said.is_about(value, digest)):
                    continue
                # Of two points of one step MLflow shows the later one.
                at = max(_now(), said.timestamp + 1 if said is not None else 0)
                known[key] = _Said(value=value, digest=digest, timestamp=at)
                tied = {"model_id": model, "dataset_name": score.benchmark, "dataset_digest": digest}
                fresh.append(Metric(key, value, at, score.step, run_id=run, **tied))
        self._log(run, fresh)

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

    def _find_model(self, run: str, checkpoint: Checkpoint) -> str | None:
        wanted = f"tags.`{OURS}` = '{run}/{checkpoint.step}'"
        found = self._client.search_logged_models([self._experiment], filter_string=wanted, max_results=1)
        if not found:
            return None
        if found[0].status != LoggedModelStatus.READY:
            # A driver was killed between making the model and tying it to its run.
            self._commit_model(run, str(found[0].model_id), checkpoint.step)
        return str(found[0].model_id)

    def _create_model(self, run: str, checkpoint: Checkpoint) -> str:
        model = self._client.create_logged_model(
            self._experiment,
            name=f"step-{checkpoint.step}",
            source_run_id=run,
            tags={OURS: f"{run}/{checkpoint.step}", "mlflow.model.isExternal": "true", "ray_study.path": checkpoint.path},
            params={"step": str(checkpoint.step), "num_tokens": str(checkpoint.num_tokens), "fingerprint": checkpoint.fingerprint},
            model_type="checkpoint",
        )
        self._commit_model(run, str(model.model_id), checkpoint.step)
        return str(model.model_id)

    def _commit_model(self, run: str, model: str, step: int) -> None:
        self._client.log_outputs(run, [LoggedModelOutput(model, step)])
        # Last, so that a model that is ready is tied to its run.
        self._client.finalize_logged_model(model, LoggedModelStatus.READY)

    def _known_scores(self, model: str) -> dict[str, _Said]:
        """The last that was told of each score of a logged model: unlike a run's history, its metrics know their exam."""
        points = self._client.get_logged_model(model).metrics or []
        told = sorted((point for point in points if point.key.startswith("eval/")), key=lambda point: point.timestamp)
        return {point.key: _Said(value=point.value, digest=point.dataset_digest, timestamp=point.timestamp) for point in told}

    def _last_step(self, run: str, key: str) -> int:
        if (run, key) not in self._last_steps:
            history = self._client.get_metric_history(run, f"train/{key}")
            self._last_steps[run, key] = max((point.step for point in history), default=-1)
        return self._last_steps[run, key]

    def _log(self, run: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])


def _metric(key: str, value: float, step: int) -> Metric:
    return Metric(key, value, _now(), step)


def _now() -> int:
    return int(time.time() * 1000)


def _flat(settings: str) -> dict[str, str]:
    values: dict[str, Any] = json.loads(settings) if settings else {}
    return {key: str(value) for key, value in values.items()}


def default_uri(store: str) -> str:
    """The tracking URI of a store that names none: a SQLite file in it.

    Raises:
        ValueError: the store is no local directory, so SQLite cannot live there.
    """
    if "://" in store:
        raise ValueError(f"the store {store} is not a local directory, and SQLite needs one; set `tracking` to an MLflow server's URI")
    return f"sqlite:///{Path(store) / 'mlflow.db'}"
