"""The same tracking through an MLflow server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from servers import PASSWORD, free_port, mlflow_server, postgres
from test_tracking import checkpoint, everything, publish, run_row, score

from ray_study.tracking import MOST_TAG_CHARACTERS, Look, Point, Tracker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server."""
    directory = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with mlflow_server(f"sqlite:///{directory / 'mlflow.db'}", directory) as uri:
            yield uri
        return
    with postgres() as backend, mlflow_server(backend, directory, {"PGPASSWORD": PASSWORD}) as uri:
        yield uri


def test_a_study_that_is_told_twice_to_a_server_is_there_once_and_its_best_checkpoint_is_one_sort(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(tracking_uri=server)
    publish(server, tmp_path)
    before = everything(client)
    publish(server, tmp_path)
    assert everything(client) == before
    assert len(before) == 3, "the parent, one child, and the models"
    assert capsys.readouterr().out == "", "what a study prints is its own"
    experiment = client.get_experiment_by_name("study")
    assert experiment.artifact_location.startswith("mlflow-artifacts:"), "the server keeps them, whatever this machine can reach"
    best = client.search_logged_models(
        [experiment.experiment_id], order_by=[{"field_name": "metrics.eval/sums/accuracy", "ascending": False, "dataset_name": "sums"}]
    )[0]
    assert (best.params["step"], best.params["dataset"]) == ("10", "cot")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`ray_study.id` = 'study'")
    text = client.download_artifacts(parent.info.run_id, "sweep.yaml", str(tmp_path))
    assert Path(text).read_text() == "name: study\n"
    assert not (tmp_path / "artifacts").exists()


def test_a_server_takes_long_errors_many_settings_many_steps_and_measurements_of_machines_once(server: str, tmp_path: Path) -> None:
    settings = json.dumps({f"key_{number}": "v" * 200 for number in range(250)})
    for _ in range(2):
        tracker = Tracker(server, "large", str(tmp_path))
        parent = tracker.parent("large", {}, Look(tags={f"group/{number}": "general" for number in range(150)}, note="n" * 20_000))
        row = run_row(status="failed", error="because " * 3_000)
        child = tracker.child(parent, type(row)(**{**{key: getattr(row, key) for key in row.__slots__}, "settings": settings}), "made-1")
        tracker.training(child, [(step, "loss", 1.0 / step) for step in range(1, 1501)])
        tracker.system(child, [Point(time=1000 * second, step=second, key="system/cpu", value=float(second)) for second in range(1, 1501)])
    client = MlflowClient(tracking_uri=server)
    found = client.get_run(child)
    assert len([key for key in found.data.params if key.startswith("settings/")]) == 250
    assert len(found.data.tags["ray_study.error"]) == len(client.get_run(parent).data.tags["mlflow.note.content"]) == MOST_TAG_CHARACTERS
    assert len([key for key in client.get_run(parent).data.tags if key.startswith("group/")]) == 150
    for key in ("train/loss", "system/cpu"):
        assert len(client.get_metric_history(child, key)) == 1500


def test_a_score_that_changed_is_shown_anew_by_a_server(server: str, tmp_path: Path) -> None:
    for value in (0.9, 0.9, 0.3):
        tracker = Tracker(server, "changed", str(tmp_path))
        child = tracker.child(tracker.parent("changed", {}), run_row(), "made-1")
        tracker.scores(child, checkpoint(5), [score(5, value)], {"sums": "e1"})
    client = MlflowClient(tracking_uri=server)
    assert [point.value for point in client.get_metric_history(child, "eval/sums/accuracy")] == [0.9, 0.3]
    assert client.get_run(child).data.metrics["eval/sums/accuracy"] == 0.3


def test_a_server_that_is_not_there_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    uri, began = f"http://127.0.0.1:{free_port()}", time.monotonic()
    with pytest.raises(ValueError, match=f"tracking: {uri} cannot be used .*check the URI and that its server runs"):
        Tracker(uri, "study", "artifacts")
    assert time.monotonic() - began < 60
