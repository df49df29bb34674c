from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.tracking import MlflowClient

from ray_study.rows import Checkpoint, Run, Score
from ray_study.tracking import Look, Point, Tracker
from ray_study.tracking_uri import default_uri

STEPS = (0, 5, 10)
AXES = {"learning_rate": "0.1"}


def run_row(name: str = "a", status: str = "finished", error: str = "") -> Run:
    settings = json.dumps({"learning_rate": 0.1, "steps": 10})
    return Run(
        id=f"id-{name}",
        name=f"tiny {name}",
        stage="sft",
        model="tiny",
        dataset="cot",
        seed=0,
        settings=settings,
        status=status,  # type: ignore[arg-type]
        error=error,
    )


def checkpoint(step: int, name: str = "a") -> Checkpoint:
    return Checkpoint(run=f"id-{name}", step=step, path=f"/c/{step}", num_tokens=step * 7, fingerprint=f"f{name}{step}", canary="{}")


def score(step: int, value: float | None, name: str = "a") -> Score:
    return Score(
        run=f"id-{name}",
        step=step,
        benchmark="sums",
        group="in_domain",
        metric="accuracy",
        value=value,
        standard_error=None if value is None else 0.01,
        low=None,
        high=None,
        num_items=16,
        num_unjudged=0,
    )


def publish(uri: str, directory: Path, name: str = "a") -> None:
    """What a study says about one run, from a process that knows nothing of what was said before."""
    tracker = Tracker(uri, "study", str(directory / "artifacts"))
    parent = tracker.parent("study", {"sweep.yaml": "name: study\n"})
    tracker.dataset(parent, "cot", {"digest": "d1", "source": "/store/cot", "profile": "{}"}, "training")
    tracker.child(parent, run_row(name, status="owed"), "made-1", axes=AXES)
    child = tracker.child(parent, run_row(name), "made-1", axes=AXES, look=Look(tags={"group/sums": "in_domain"}, note="*what it is*"))
    tracker.dataset(child, "cot", {"digest": "d1", "source": "/store/cot", "profile": "{}"}, "training")
    tracker.training(child, [(step, "loss", 1.0 / (step + 1)) for step in range(10)])
    for step in STEPS:
        tracker.checkpoint(child, checkpoint(step, name))
        tracker.scores(child, checkpoint(step, name), [score(step, 0.1 * step / 10 + 0.2, name)], {"sums": "e1"})
    tracker.finish(parent, complete=True)


class CountingClient(MlflowClient):
    """A client that counts what it is asked to read."""

    def __init__(self, uri: str) -> None:
        super().__init__(tracking_uri=uri)
        self.calls: Counter[str] = Counter()

    def get_metric_history(self, run_id: str, key: str) -> Any:
        self.calls["history"] += 1
        return super().get_metric_history(run_id, key)

    def get_logged_model(self, model_id: str) -> Any:
        self.calls["model"] += 1
        return super().get_logged_model(model_id)


def everything(client: MlflowClient) -> dict[str, object]:
    """All that the tracking store holds, for comparison."""
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    facts: dict[str, object] = {}
    for run in runs:
        history = {
            key: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics
        }
        inputs = [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs]
        outputs = sorted(output.model_id for output in (run.outputs.model_outputs if run.outputs else []))
        tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
        facts[run.info.run_id] = (run.info.run_name, run.info.status, run.data.params, history, inputs, outputs, tags)
    facts["models"] = sorted(model.model_id for model in client.search_logged_models([experiment.experiment_id]))
    return facts


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A tracking store with one published study; making its tables is what takes seconds."""
    directory = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{directory / 'mlflow.db'}"
    publish(uri, directory)
    return uri, directory


@pytest.fixture
def client(database: tuple[str, Path]) -> Iterator[MlflowClient]:
    return MlflowClient(tracking_uri=database[0])


def test_the_ui_is_told_that_these_are_trained_models(client: MlflowClient) -> None:
    assert client.get_experiment_by_name("study").tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_second_publication_doubles_nothing(database: tuple[str, Path], client: MlflowClient) -> None:
    before = everything(client)
    publish(*database)
    assert everything(client) == before
    assert len(before) == 3, "the parent, one child, and the models"


def test_a_child_belongs_to_its_parent_and_shows_settings_and_metrics(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("study")
    child = client.search_runs([experiment.experiment_id], "tags.`ray_study.id` = 'id-a/made-1'")[0]
    parent = client.search_runs([experiment.experiment_id], "tags.`ray_study.id` = 'study'")[0]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {"model": "tiny", "dataset": "cot", "seed": "0", "learning_rate": "0.1", "settings/steps": "10"}
    assert [point.step for point in client.get_metric_history(child.info.run_id, "train/loss")] == list(range(10))
    points = client.get_metric_history(child.info.run_id, "eval/sums/accuracy")
    assert [(point.step, round(point.value, 6)) for point in points] == [(0, 0.2), (5, 0.25), (10, 0.3)]
    assert parent.info.status == child.info.status == "FINISHED"


def test_the_best_checkpoint_is_found_by_a_search_that_sorts_by_score(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("study")
    order = [{"field_name": "metrics.eval/sums/accuracy", "ascending": False, "dataset_name": "sums", "dataset_digest": "e1"}]
    best = client.search_logged_models([experiment.experiment_id], order_by=order)[0]
    assert best.params["step"] == "10"
    assert best.params["fingerprint"] == "fa10"
    assert best.tags["ray_study.path"] == "/c/10"
    assert best.status == LoggedModelStatus.READY
    good = client.search_logged_models([experiment.experiment_id], filter_string="metrics.`eval/sums/accuracy` > 0.24")
    assert sorted(model.params["step"] for model in good) == ["10", "5"]


def test_a_missing_score_is_not_published_as_a_number(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "missing", str(database[1] / "artifacts"))
    child = tracker.child(tracker.parent("missing", {}), run_row(), "made-1")
    tracker.scores(child, checkpoint(5), [score(5, None)], {"sums": "e1"})
    assert [key for key in client.get_run(child).data.metrics if key.startswith("eval/")] == []


def test_a_model_that_a_killed_driver_left_half_made_is_completed(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "killed", str(database[1] / "artifacts"))
    child = tracker.child(tracker.parent("killed", {}), run_row(), "made-1")
    experiment = client.get_experiment_by_name("killed").experiment_id
    half = client.create_logged_model(experiment, name="step-5", source_run_id=child, tags={"ray_study.id": f"{child}/5"})
    model = tracker.checkpoint(child, checkpoint(5))
    assert model == half.model_id
    assert client.get_logged_model(model).status == LoggedModelStatus.READY
    assert [output.model_id for output in client.get_run(child).outputs.model_outputs] == [model]


def test_a_run_that_is_trained_again_is_a_new_child_and_a_failed_one_shows_its_error(
    database: tuple[str, Path], client: MlflowClient
) -> None:
    tracker = Tracker(database[0], "again", str(database[1] / "artifacts"))
    parent = tracker.parent("again", {})
    first = tracker.child(parent, run_row(status="failed", error="loss is not finite"), "made-1")
    assert tracker.child(parent, run_row(status="owed"), "made-2") != first
    failed = client.get_run(first)
    assert failed.info.status == "FAILED"
    assert failed.data.tags["ray_study.error"] == "loss is not finite"


def test_more_metrics_than_one_call_takes_all_arrive_and_only_new_steps_are_added(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "many", str(database[1] / "artifacts"))
    child = tracker.child(tracker.parent("many", {}), run_row(), "made-1")
    rows = [(step, "loss", float(step)) for step in range(1500)]
    tracker.training(child, rows[:1000])
    tracker.training(child, rows)
    assert [point.step for point in client.get_metric_history(child, "train/loss")] == list(range(1500))


def test_two_processes_publish_to_one_database_at_once_after_the_driver_made_it(database: tuple[str, Path], client: MlflowClient) -> None:
    program = "import sys; sys.path[:0] = sys.argv[3:]; from test_tracking import publish; from pathlib import Path; " + (
        "publish(sys.argv[1], Path(sys.argv[1].removeprefix('sqlite:///')).parent, sys.argv[2])"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    started = [
        subprocess.Popen([sys.executable, "-c", program, database[0], name, *folders], stderr=subprocess.PIPE, text=True)
        for name in ("b", "c")
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    experiment = client.get_experiment_by_name("study").experiment_id
    for name in ("b", "c"):
        child = client.search_runs([experiment], f"tags.`ray_study.id` = 'id-{name}/made-1'")
        assert len(child) == 1
        assert [point.step for point in client.get_metric_history(child[0].info.run_id, "train/loss")] == list(range(10))
        models = client.search_logged_models([experiment], filter_string=f"source_run_id = '{child[0].info.run_id}'")
        assert len(models) == len(STEPS)


def test_the_card_of_a_data_set_is_among_the_artifacts_and_can_be_said_again(
    database: tuple[str, Path], client: MlflowClient, tmp_path: Path
) -> None:
    tracker = Tracker(database[0], "cards", str(tmp_path / "artifacts"))
    parent = tracker.parent("cards", {})
    (tmp_path / "card.md").write_text("# Data set `cot`\n")
    (tmp_path / "lengths.png").write_bytes(b"picture")
    for _ in range(2):
        tracker.files(parent, [str(tmp_path / name) for name in ("card.md", "lengths.png", "missing.json")], "datasets/cot")
    assert [file.path for file in client.list_artifacts(parent, "datasets/cot")] == ["datasets/cot/card.md", "datasets/cot/lengths.png"]
    assert Path(client.download_artifacts(parent, "datasets/cot/card.md", str(tmp_path))).read_text() == "# Data set `cot`\n"


def test_a_trial_is_linked_to_the_data_set_that_it_trained_on_by_its_digest(database: tuple[str, Path], client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("study")
    for ours in ("id-a/made-1", "study"):
        run = client.search_runs([experiment.experiment_id], f"tags.`ray_study.id` = '{ours}'")[0]
        assert ("cot", "d1") in [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs]


def test_a_store_that_is_no_local_directory_needs_a_server(tmp_path: Path) -> None:
    assert default_uri(str(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(ValueError, match=r"SQLite needs one; set `tracking`"):
        default_uri("s3://bucket/study")


def test_a_tracking_store_that_cannot_be_used_is_named() -> None:
    with pytest.raises(ValueError, match="tracking: nonsense://x cannot be used"):
        Tracker("nonsense://x", "study", "artifacts")


def eval_points(client: MlflowClient, child: str) -> list[float]:
    return [point.value for point in client.get_metric_history(child, "eval/sums/accuracy")]


def test_a_score_is_told_again_when_its_value_or_its_exam_is_another_and_never_doubled(
    database: tuple[str, Path], client: MlflowClient
) -> None:
    def tell(*told: tuple[float, str]) -> str:
        """What a driver says that knows nothing of an earlier one."""
        tracker = Tracker(database[0], "stale", str(database[1] / "artifacts"))
        child = tracker.child(tracker.parent("stale", {}), run_row(), "made-1")
        for value, digest in told:
            tracker.scores(child, checkpoint(5), [score(5, value)], {"sums": digest})
        return child

    child = tell((0.2, "e1"), (0.2, "e1"), (0.9, "e2"))
    assert eval_points(client, child) == [0.2, 0.9]
    assert client.get_run(child).data.metrics["eval/sums/accuracy"] == 0.9
    tell((0.9, "e2"))
    assert eval_points(client, child) == [0.2, 0.9], "a driver that is started again doubles nothing"
    tell((0.9, "e3"))
    tell((0.3, "e3"), (0.3, "e3"))
    assert eval_points(client, child) == [0.2, 0.9, 0.9, 0.3]
    assert client.get_run(child).data.metrics["eval/sums/accuracy"] == 0.3, "the newest is shown, although it is smaller"
    (model,) = client.search_logged_models([client.get_experiment_by_name("stale").experiment_id])
    assert [point.dataset_digest for point in model.metrics if point.key == "eval/sums/accuracy"] == ["e1", "e2", "e3", "e3"]


def test_what_was_told_before_is_read_once_for_each_checkpoint_and_each_metric(database: tuple[str, Path]) -> None:
    clients: list[CountingClient] = []

    def connect(uri: str) -> MlflowClient:
        clients.append(CountingClient(uri))
        return clients[-1]

    tracker = Tracker(database[0], "counted", str(database[1] / "artifacts"), connect=connect)
    child = tracker.child(tracker.parent("counted", {}), run_row(), "made-1")
    for _ in range(5):
        for step in STEPS:
            tracker.scores(child, checkpoint(step), [score(step, 0.5)], {"sums": "e1"})
    assert clients[0].calls == {"model": len(STEPS)}
    for last in range(1, 6):
        tracker.training(child, [(step, key, 1.0) for step in range(last) for key in ("loss", "tokens")])
    assert clients[0].calls["history"] == 2


def test_a_run_that_failed_and_is_tried_again_has_no_error_any_more(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "mended", str(database[1] / "artifacts"))
    parent = tracker.parent("mended", {})
    child = tracker.child(parent, run_row(status="failed", error="loss is not finite"), "made-1")
    assert tracker.child(parent, run_row(status="owed"), "made-1") == child
    assert (client.get_run(child).info.status, "ray_study.error" in client.get_run(child).data.tags) == ("RUNNING", False)
    tracker.child(parent, run_row(status="failed", error="again"), "made-1")
    tracker.child(parent, run_row(status="finished"), "made-1")
    assert (client.get_run(child).info.status, "ray_study.error" in client.get_run(child).data.tags) == ("FINISHED", False)


def test_a_study_that_is_run_again_is_at_work_until_it_ends(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "rerun", str(database[1] / "artifacts"))
    parent = tracker.parent("rerun", {})
    tracker.finish(parent, complete=False)
    assert client.get_run(parent).info.status == "FAILED"
    assert Tracker(database[0], "rerun", str(database[1] / "artifacts")).parent("rerun", {}) == parent
    assert client.get_run(parent).info.status == "RUNNING"


def test_models_are_filtered_by_their_trial_and_sorted_by_step_as_numbers(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("study").experiment_id
    order = [{"field_name": "metrics.checkpoint/step", "ascending": True}]
    models = client.search_logged_models(
        [experiment], filter_string="params.learning_rate = '0.1' AND params.dataset = 'cot'", order_by=order
    )
    assert [model.params["step"] for model in models if model.name.endswith(", tiny a")] == ["0", "5", "10"]
    assert models[0].params.items() >= {"model": "tiny", "seed": "0", "num_tokens": "0"}.items()
    assert client.search_logged_models([experiment], filter_string="params.learning_rate = '0.2'") == []


def test_measurements_of_machines_keep_their_moments_and_are_never_doubled(database: tuple[str, Path], client: MlflowClient) -> None:
    def point(second: int, key: str = "system/cpu") -> Point:
        return Point(time=1_700_000_000_000 + 1000 * second, step=second, key=key, value=float(second))

    def tell(*points: Point) -> str:
        tracker = Tracker(database[0], "machines", str(database[1] / "artifacts"))
        child = tracker.child(tracker.parent("machines", {}), run_row(), "made-1")
        tracker.system(child, points)
        tracker.system(child, points)
        return child

    tell(point(1), point(2))
    child = tell(point(1), point(2), point(3), point(1, "system/gpu"))
    history = client.get_metric_history(child, "system/cpu")
    assert sorted((each.timestamp - 1_700_000_000_000, each.step, each.value) for each in history) == [
        (1000, 1, 1.0),
        (2000, 2, 2.0),
        (3000, 3, 3.0),
    ]
    assert len(client.get_metric_history(child, "system/gpu")) == 1


def test_a_name_that_mlflow_refuses_in_a_model_is_written_otherwise(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "names", str(database[1] / "artifacts"))
    row = replace(run_row(), name="tiny a lr=0.001 x/y: 50%")
    child = tracker.child(tracker.parent("names", {}), row, "made-1")
    assert client.get_logged_model(tracker.checkpoint(child, checkpoint(5))).name == "step 5, tiny a lr=0_001 x_y_ 50_"
    assert client.get_run(child).info.run_name == "tiny a lr=0.001 x/y: 50%"


def test_tags_and_the_description_are_what_was_said_last(database: tuple[str, Path], client: MlflowClient) -> None:
    tracker = Tracker(database[0], "looks", str(database[1] / "artifacts"))
    parent = tracker.parent("looks", {}, Look(tags={"verdict/sums": "flat"}, note="*first*"))
    tracker.show(parent, Look(tags={"verdict/sums": "monotone"}, note="*second*"))
    tracker.show(parent, Look())
    tags = client.get_run(parent).data.tags
    assert (tags["verdict/sums"], tags["mlflow.note.content"]) == ("monotone", "*second*")


@pytest.mark.parametrize(
    "uri", ["https://me:pa55word@mlflow.example/x", "postgresql://me:pa55word@host/db", "postgresql://host/db?user=me&password=pa55word"]
)
def test_a_uri_with_a_password_is_refused_and_the_password_is_nowhere(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="holds a password") as refused:
        Tracker(uri, "study", "artifacts")
    assert "pa55word" not in str(refused.value) + caplog.text
    assert "PGPASSWORD" in str(refused.value) or "MLFLOW_TRACKING_PASSWORD" in str(refused.value)


def test_a_server_that_asks_who_one_is_gets_a_sentence_that_says_where_to_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"You are not authenticated.")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pa55word")
        with pytest.raises(ValueError, match=f"tracking: {uri} cannot be used .*set MLFLOW_TRACKING_USERNAME") as refused:
            Tracker(uri, "study", "artifacts")
        server.shutdown()
    assert "pa55word" not in str(refused.value)
