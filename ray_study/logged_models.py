"""Checkpoints as MLflow's logged models: what the table of models shows of each, and its scores, tied to it and to the exam."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.entities.logged_model import LoggedModel
from mlflow.tracking import MlflowClient

from ray_study.rows import Checkpoint, Score

OURS = "ray_study.id"
"""The tag by which a run or model of ours is found again."""

MOST_METRICS = 900
"""Metrics in one call: MLflow takes a thousand."""

STEP, NUM_TOKENS = "checkpoint/step", "checkpoint/num_tokens"
"""Metrics of every checkpoint: the table of models sorts by metrics, as numbers, and by parameters not at all."""

_NOT_IN_A_NAME = str.maketrans(dict.fromkeys("/:.%\"'", "_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """The last that MLflow was told of a score."""

    value: float
    digest: str | None
    timestamp: int

    def is_about(self, value: float, digest: str | None) -> bool:
        return self.value == value and self.digest == digest


class LoggedModels:
    """The logged models of an experiment, for the life of a driver."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        """Of an experiment, by its id; nothing is asked yet."""
        self._client = client
        self._experiment = experiment
        self._models: dict[tuple[str, int], str] = {}
        # By logged model and metric. Each history is read once, since a driver is the only one that adds to it.
        self._scored: dict[str, dict[str, _Said]] = {}

    def checkpoint(self, run: str, checkpoint: Checkpoint, *, name: str, axes: Mapping[str, str]) -> str:
        """The id of a checkpoint's logged model, found or made.

        Args:
            run: the child run of its trial.
            checkpoint: whose model it is.
            name: for people.
            axes: what tells its trial from others, shown as parameters beside its step.
        """
        key = (run, checkpoint.step)
        if key not in self._models:
            wanted = f"tags.`{OURS}` = '{run}/{checkpoint.step}'"
            found = self._client.search_logged_models([self._experiment], filter_string=wanted, max_results=1)
            model = found[0] if found else self._create(run, checkpoint, name, axes)
            if model.status != LoggedModelStatus.READY:
                # It is new, or a driver was killed between making it and tying it to its run.
                self._commit(run, model, checkpoint)
            self._models[key] = str(model.model_id)
        return self._models[key]

    def scores(self, run: str, model: str, scores: Sequence[Score], digests: Mapping[str, str]) -> None:
        """Tells the scores of a model, each tied to it and to the exam of this digest, as `eval/BENCHMARK/METRIC` by step.

        A score is told again when its value or the exam's digest is another than was told last: the newest is what MLflow shows.
        """
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
                at = max(now(), said.timestamp + 1 if said is not None else 0)
                known[key] = _Said(value=value, digest=digest, timestamp=at)
                tied = {"model_id": model, "dataset_name": score.benchmark, "dataset_digest": digest}
                fresh.append(Metric(key, value, at, score.step, run_id=run, **tied))
        log_metrics(self._client, run, fresh)

    def _create(self, run: str, checkpoint: Checkpoint, name: str, axes: Mapping[str, str]) -> LoggedModel:
        counts = {"step": str(checkpoint.step), "num_tokens": str(checkpoint.num_tokens), "fingerprint": checkpoint.fingerprint}
        return self._client.create_logged_model(
            self._experiment,
            name=name.translate(_NOT_IN_A_NAME),
            source_run_id=run,
            tags={OURS: f"{run}/{checkpoint.step}", "mlflow.model.isExternal": "true", "ray_study.path": checkpoint.path},
            params={**axes, **counts},
            model_type="checkpoint",
        )

    def _commit(self, run: str, model: LoggedModel, checkpoint: Checkpoint) -> None:
        # Said twice, a number of one moment is one number.
        at, model_id = int(model.creation_timestamp), str(model.model_id)
        tied = ((STEP, checkpoint.step), (NUM_TOKENS, checkpoint.num_tokens))
        log_metrics(self._client, run, [Metric(key, float(value), at, checkpoint.step, model_id, run_id=run) for key, value in tied])
        self._client.log_outputs(run, [LoggedModelOutput(model_id, checkpoint.step)])
        # Last, so that a model that is ready is tied to its run.
        self._client.finalize_logged_model(model_id, LoggedModelStatus.READY)

    def _known_scores(self, model: str) -> dict[str, _Said]:
        """The last that was told of each score of a logged model: unlike a run's history, its metrics know their exam."""
        points = self._client.get_logged_model(model).metrics or []
        told = sorted((point for point in points if point.key.startswith("eval/")), key=lambda point: point.timestamp)
        return {point.key: _Said(value=point.value, digest=point.dataset_digest, timestamp=point.timestamp) for point in told}


def log_metrics(client: MlflowClient, run: str, metrics: Sequence[Metric]) -> None:
    """Logs metrics, as many at a time as MLflow takes."""
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
