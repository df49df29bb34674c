"""MLflow, and nowhere else: an experiment a study, a parent run, a child run a trial, a logged model a checkpoint with its scores.

Everything here can be said again: a run, a model or a metric that MLflow has already is found, not doubled. So tracking is a
projection of the store, and a second `run` adds what is missing and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
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


class Tracker:
    """An MLflow experiment for the life of a driver."""

    def __init__(self, uri: str, study: str, artifacts: str) -> None:
        """Opens the experiment, making the database first: processes that make it together fail.

        Args:
            uri: a tracking URI, `sqlite:///…` or a server's.
            study: the experiment's name.
            artifacts: where artifacts go when the experiment is new (local stores); a server decides by itself.

        Raises:
            ValueError: the tracking store cannot be reached.
        """
        self.uri = uri
        for name in ("mlflow", "alembic"):
            # Making the tables is told migration by migration.
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(study)
            location = Path(artifacts).as_uri() if uri.startswith("sqlite:") else None
            self._experiment = found.experiment_id if found else self._client.create_experiment(study, location, tags=_KIND)
        except MlflowException as error:
            raise ValueError(f"tracking: {uri} cannot be used ({error.message}); check the URI and that its server runs") from error
        self._models: dict[tuple[str, int], str] = {}
        self._scored: dict[str, set[tuple[str, int]]] = {}

    def parent(self, study: str, texts: Mapping[str, str]) -> str:
        """The study's parent run, with its sweep file and plan as artifacts."""
        run = self._run(f"study {study}", study, {})
        for name, text in texts.items():
            self._client.log_text(run, text, name)
        return run

    def child(self, parent: str, run: Run, made: str) -> str:
        """The child run of a trial, with its axes and settings as parameters and its status as MLflow's.

        `made` tells one making of the run from the next: a run that is trained again is a new child.
        """
        child = self._run(run.name, f"{run.id}/{made}", {"mlflow.parentRunId": parent, "ray_study.stage": run.stage})
        known = self._client.get_run(child).data.params
        wanted = {"model": run.model, "dataset": run.dataset, "seed": str(run.seed), **_flat(run.settings)}
        fresh = [Param(key, value[:500]) for key, value in wanted.items() if key not in known]
        self._client.log_batch(child, params=fresh, tags=[RunTag("ray_study.error", run.error[:4000])] if run.error else [])
        status = {"finished": "FINISHED", "failed": "FAILED", "owed": "RUNNING"}[run.status]
        if status == "RUNNING":
            self._client.update_run(child, status="RUNNING")
        else:
            self._client.set_terminated(child, status)
        return child

    def dataset(self, run: str, name: str, facts: Mapping[str, str], context: str) -> None:
        """Links a data set (training) or an exam (evaluation) to a run, once."""
        entity = DatasetEntity(name=name, digest=facts["digest"], source_type="local", source=facts["source"], profile=facts.get("profile"))
        self._client.log_inputs(run, datasets=[DatasetInput(entity, tags=[InputTag("mlflow.data.context", context)])])

    def training(self, run: str, metrics: Iterable[tuple[int, str, float]]) -> None:
        """Logs training metrics by step, those after the last step that MLflow has."""
        rows = list(metrics)
        last = {key: self._last_step(run, key) for key in {key for _, key, _ in rows}}
        self._log(run, [_metric(f"train/{key}", value, step) for step, key, value in rows if step > last[key]])

    def checkpoint(self, run: str, checkpoint: Checkpoint) -> str:
        """The logged model of a checkpoint; made when the checkpoint is committed, found afterwards."""
        key = (run, checkpoint.step)
        if key not in self._models:
            self._models[key] = self._find_model(run, checkpoint) or self._create_model(run, checkpoint)
        return self._models[key]

    def scores(self, run: str, checkpoint: Checkpoint, scores: Sequence[Score], digests: Mapping[str, str]) -> None:
        """Ties the scores of a checkpoint to its model and to the exam, as `eval/BENCHMARK/METRIC` by step."""
        model = self.checkpoint(run, checkpoint)
        known = self._scored.setdefault(run, self._known_scores(run))
        fresh = []
        for score in scores:
            for suffix, value in (("", score.value), ("/standard_error", score.standard_error)):
                key = f"eval/{score.benchmark}/{score.metric}{suffix}"
                if value is None or (key, score.step) in known:
                    continue
                known.add((key, score.step))
                tied = {"model_id": model, "dataset_name": score.benchmark, "dataset_digest": digests.get(score.benchmark)}
                fresh.append(Metric(key, value, _now(), score.step, run_id=run, **tied))
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

    def _known_scores(self, run: str) -> set[tuple[str, int]]:
        keys = [key for key in self._client.get_run(run).data.metrics if key.startswith("eval/")]
        return {(key, point.step) for key in keys for point in self._client.get_metric_history(run, key)}

    def _last_step(self, run: str, key: str) -> int:
        return max((point.step for point in self._client.get_metric_history(run, f"train/{key}")), default=-1)

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
