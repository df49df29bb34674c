from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from labs import answer, attempts, make_datasets, make_exams, make_lab, train_here
from mlflow.entities import Run as MlflowRun
from mlflow.tracking import MlflowClient

from ray_study import machine, runs
from ray_study.chat import Chat
from ray_study.grid import planned
from ray_study.making import make_each
from ray_study.materials import Lab, base_directory
from ray_study.publish import BATCH_STEPS, Publisher, SweepFile
from ray_study.results import Found, findings, write_report
from ray_study.rows import Example, Run
from ray_study.runs import as_row, checkpoint_at
from ray_study.store import Result
from ray_study.train.layout import METRICS
from ray_study.train.tokenizing import tokenize

SMALL = {"models/tiny/scratch/hidden_size": 32, "models/tiny/scratch/num_layers": 1, "training/max_length": 256}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One tracking database for all: making its tables is what takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


def lab_of(directory: Path, uri: str, name: str, changes: Mapping[str, Any] | None = None) -> Lab:
    """A study with an experiment of its own in the shared database."""
    return make_lab(directory, {**SMALL, "tracking": uri, "name": name, **(changes or {})})


def publisher_of(lab: Lab, datasets: dict[str, Result]) -> Publisher:
    """What a driver starts with; it knows nothing of what an earlier one has said."""
    publisher = Publisher(SweepFile(study=lab.study, text=""), lab.store)
    publisher.materials(datasets, make_exams(lab))
    return publisher


def client_of(lab: Lab) -> MlflowClient:
    return MlflowClient(tracking_uri=lab.study.tracking)


def child_of(lab: Lab, run: str) -> MlflowRun:
    client = client_of(lab)
    experiment = client.get_experiment_by_name(lab.study.name)
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`ray_study.id` LIKE '{run}/%'")
    return found


def steps_of(lab: Lab, run: str) -> list[int]:
    return [point.step for point in client_of(lab).get_metric_history(child_of(lab, run).info.run_id, "train/loss")]


def test_training_metrics_are_published_while_a_run_trains_and_never_doubled(tmp_path: Path, uri: str) -> None:
    lab = lab_of(tmp_path, uri, "batches")
    datasets = make_datasets(lab)
    run = planned(lab.study)[0]
    rows = [{"step": step, "loss": 1.0 / step, "tokens": 7} for step in range(1, 2 * BATCH_STEPS + 51)]
    publisher = publisher_of(lab, datasets)
    for row in rows[:-10]:
        publisher.metrics(run.id, row)
    before = steps_of(lab, run.id)
    assert len(before) >= 2 * BATCH_STEPS
    assert before == list(range(1, len(before) + 1))
    assert child_of(lab, run.id).info.status == "RUNNING"

    # Its driver is killed; the next one hears all of them again, and then the run's end.
    second = publisher_of(lab, datasets)
    for row in rows:
        second.metrics(run.id, row)
    lab.store.write_bytes(f"train-{run.id}/{METRICS}", "".join(json.dumps(row) + "\n" for row in rows).encode())
    assert list(second.passing([as_row(run, status="finished")]))
    assert steps_of(lab, run.id) == [row["step"] for row in rows]
    tokens = client_of(lab).get_metric_history(child_of(lab, run.id).info.run_id, "train/tokens")
    assert [point.step for point in tokens] == [row["step"] for row in rows]
    assert child_of(lab, run.id).info.status == "FINISHED"


def test_a_child_shows_how_many_rows_it_learnt_from_and_where_its_template_differs(tmp_path: Path, uri: str) -> None:
    """Traps T2 and T3."""
    look = lab_of(tmp_path / "look", uri, "look")
    chat = Chat(base_directory(look, "tiny"))
    found = tokenize(make_datasets(look)["cot"].rows(Example), chat, max_length=10**6, over_long="drop").rows
    longest = max(len(row.ids) for row in found)
    limit = max(len(row.ids) for row in found if len(row.ids) < longest)

    lab = lab_of(tmp_path, uri, "counted", {"training/max_length": limit, "sweep/dataset": "cot"})
    datasets = make_datasets(lab)
    (run,) = planned(lab.study)
    work = runs._prepare(lab, [run], datasets, None)
    train_here(runs._job(work, run, base_directory(lab, "tiny")))
    publisher = publisher_of(lab, datasets)
    events = publisher.passing(runs.train(lab, datasets, publisher.metrics))
    next(iter(events))
    child = child_of(lab, run.id)
    assert child.info.status == "RUNNING", "it is known from the start of a run"
    counts = {key: int(child.data.params[f"data/{key}"]) for key in ("num_rows", "num_dropped", "num_truncated")}
    assert counts["num_dropped"] > 0
    assert (counts["num_rows"] + counts["num_dropped"], counts["num_truncated"]) == (64, 0)
    assert "ends the response with" in child.data.tags["ray_study.template_differences"]
    list(events)
    assert child_of(lab, run.id).info.status == "FINISHED"
    assert steps_of(lab, run.id) == list(range(1, 9))


def told(lab: Lab) -> dict[str, Any]:
    """Points of each metric, tags and parameters of each run of the study, and its models."""
    client = client_of(lab)
    experiment = client.get_experiment_by_name(lab.study.name).experiment_id
    found: dict[str, Any] = {model.model_id: model.params for model in client.search_logged_models([experiment])}
    for run in client.search_runs([experiment]):
        points = {key: len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}
        found[run.info.run_id] = (run.info.status, run.data.params, run.data.tags, points)
    return found


def test_the_report_gives_a_trial_its_verdicts_and_the_study_its_answer_and_can_be_told_again(tmp_path: Path, uri: str) -> None:
    lab = lab_of(tmp_path, uri, "reported", {"sweep/dataset": "cot", "sweep/learning_rate": [1e-3]})
    datasets, suite = make_datasets(lab), make_exams(lab)
    (run,) = planned(lab.study)
    work = runs._prepare(lab, [run], datasets, None)
    job = runs._job(work, run, base_directory(lab, "tiny"))
    train_here(job)
    for path in (Path(job.directory) / f"node-0{machine.SUFFIX}", Path(lab.store.path(machine.DIRECTORY)) / f"run{machine.SUFFIX}"):
        with machine.measured(path, every_seconds=1e4):
            pass

    def tell() -> None:
        publisher = publisher_of(lab, datasets)
        found = Found()
        for event in publisher.passing(runs.train(lab, datasets, publisher.metrics)):
            (found.runs if isinstance(event, Run) else found.checkpoints).append(event)  # type: ignore[arg-type]
        for checkpoint in found.checkpoints:
            # It falls to nothing at step 2 and comes back: every item but two is right at the other steps.
            right = 0 if checkpoint.step == 2 else len(suite[0].items) - 2
            texts = [f"\\boxed{{{item.answer if number < right else '-7'}}}" for number, item in enumerate(suite[0].items)]
            found.cells.append(answer(lab, suite[0], checkpoint, attempts(suite[0], texts, asked_of=checkpoint.fingerprint)))
            publisher.scored(found.cells)
        findings_ = findings(lab, found, suite, datasets, "")
        publisher.report(write_report(lab.store, findings_), findings_)

    tell()
    client, child = client_of(lab), child_of(lab, run.id)
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert child.data.params.items() >= {"model": "tiny", "dataset": "cot", "seed": "0", "learning_rate": "0.001"}.items()
    assert child.data.params["settings/batch_size"] == "8"
    assert (child.data.tags["group/sums"], child.data.tags["verdict/sums"]) == ("in_domain", "dip_and_recovery")
    note = child.data.tags["mlflow.note.content"]
    assert "0.875 at step 0 | 0.875 at step 8 | dip_and_recovery | 87.5 [" in note
    assert "Data set `cot`" in note
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("# Does written thinking help with sums?")
    assert "- In domain (sums), the one comparison of a last step with its first" in note
    assert "| sums | in\\_domain |" in note or "| sums | in_domain | `eval/sums/accuracy` | 16 |" in note
    assert (parent.data.tags["ray_study.status"], parent.info.status) == ("complete", "FINISHED")
    assert [len(client.get_metric_history(each.info.run_id, "system/cpu_utilization_percentage")) for each in (parent, child)] == [1, 1]
    plan = json.loads(Path(client.download_artifacts(parent.info.run_id, "plan.json", str(tmp_path))).read_text())
    assert plan["runs"][0]["axes"] == {"model": "tiny", "dataset": "cot", "seed": 0, "learning_rate": "0.001"}
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"sweep.yaml", "plan.txt", "plan.json", "datasets", "report"}

    before = told(lab)
    tell()
    assert told(lab) == before


def test_a_run_without_a_data_set_is_a_failed_child_with_the_reason_and_the_other_is_not(tmp_path: Path, uri: str) -> None:
    lab = lab_of(tmp_path, uri, "unmade")
    whole = make_datasets(lab)

    def make(name: str) -> Result:
        if name == "cot":
            raise ValueError("0 of 32 problems have a correct attempt")
        return whole[name]

    datasets = make_each(lab.store, lab.study.datasets, make)
    cot, nocot = planned(lab.study)
    work = runs._prepare(lab, [nocot], datasets, None)
    train_here(runs._job(work, nocot, base_directory(lab, "tiny")))
    publisher = publisher_of(lab, datasets)
    list(publisher.passing(runs.train(lab, datasets, publisher.metrics)))
    failed = child_of(lab, cot.id)
    assert failed.info.status == "FAILED"
    assert "0 of 32 problems have a correct attempt" in failed.data.tags["ray_study.error"]
    assert child_of(lab, nocot.id).info.status == "FINISHED"


def test_a_driver_that_only_scores_finds_the_runs_and_models_of_the_one_that_trains_and_says_nothing_of_training(
    tmp_path: Path, uri: str
) -> None:
    lab = lab_of(tmp_path, uri, "apart")
    datasets, suite = make_datasets(lab), make_exams(lab)
    run = planned(lab.study)[0]
    start = checkpoint_at(base_directory(lab, "tiny"), run.id, step=0)
    training = publisher_of(lab, datasets)
    list(training.passing([start, as_row(run, status="finished")]))

    scoring = Publisher(SweepFile(study=lab.study, text=""), lab.store, trains=False)
    scoring.exams(suite)
    # It has read the run's state from the store before the other driver said that it has ended.
    list(scoring.passing([start, as_row(run, status="owed")]))
    cell = answer(lab, suite[0], start, attempts(suite[0], ["\\boxed{7}"] * len(suite[0].items), asked_of=start.fingerprint))
    for _ in range(2):
        scoring.scored([cell])
    client, child = client_of(lab), child_of(lab, run.id)
    assert child.info.status == "FINISHED"
    assert len(client.get_metric_history(child.info.run_id, "eval/sums/accuracy")) == 1
    experiment = client.get_experiment_by_name(lab.study.name).experiment_id
    assert len(client.search_logged_models([experiment])) == 1
    assert len(client.search_runs([experiment])) == 1 + len(planned(lab.study))
