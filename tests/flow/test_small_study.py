"""A whole study on the CPU, with a real engine, real training and a real tracking store."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from nbclient import NotebookClient
from programs import ROOT, Study, ray_study, wait_until_none

from ray_study.analyze import read_study
from ray_study.problems import read_examples

pytestmark = pytest.mark.slow


def made(store: Path) -> dict[str, str]:
    """When each finished result of a store was made."""
    return {path.parent.name: json.loads(path.read_text())["made"] for path in store.glob("*/record.json")}


def test_all_that_is_owed_is_scored(small_study: Study) -> None:
    assert small_study.code == 0, small_study.errors[-4000:]
    assert small_study.output.splitlines()[-1] == "all that is owed is scored"


def test_every_checkpoint_sat_every_exam_step_0_included(small_study: Study) -> None:
    study = read_study(small_study.store)
    runs = {run.id: run for run in study.runs if run.stage == "sft"}
    assert {run.dataset for run in runs.values()} == {"long", "short"}
    cells = {(score.run, score.step, score.benchmark) for score in study.scores}
    assert cells == {(run, step, name) for run in runs for step in (0, 4, 8) for name in ("sums", "reversing", "copying", "marked")}


def test_step_0_is_the_pretrained_model_and_was_asked_once(small_study: Study) -> None:
    study = read_study(small_study.store)
    starts = {checkpoint.fingerprint for checkpoint in study.checkpoints if checkpoint.step == 0}
    assert len(starts) == 1
    records = [json.loads(path.read_text()) for path in small_study.store.glob("answers-*/record.json")]
    # One base model and two checkpoints of each of two runs, at four exams.
    assert len(records) == (1 + 2 * 2) * 4
    assert sum(record["inputs"]["checkpoint"] in starts for record in records) == 4


def test_every_attempt_is_counted_and_carries_its_own_cap(small_study: Study) -> None:
    study = read_study(small_study.store)
    attempts = [attempt for cell in study.attempts for attempt in cell.attempts]
    assert len(attempts) == 2 * 3 * 4 * 8
    assert all(0 < attempt.num_tokens <= attempt.cap <= 32 for attempt in attempts)


def test_the_same_items_are_asked_with_the_same_seeds_at_every_checkpoint(small_study: Study) -> None:
    study = read_study(small_study.store)
    exams: dict[str, set[tuple[tuple[str, int, int, str], ...]]] = {}
    for cell in study.attempts:
        asked = tuple((each.problem_id, each.sample, each.seed, each.prompt_hash) for each in cell.attempts)
        exams.setdefault(cell.benchmark, set()).add(asked)
    assert all(len(forms) == 1 for forms in exams.values())


def test_a_second_run_makes_nothing_again_and_doubles_no_metric(small_study: Study) -> None:
    before, metrics = made(small_study.store), tracked(small_study)
    again = ray_study("run", small_study.sweep, store=small_study.storage)
    assert again.returncode == 0, again.stderr[-4000:]
    assert made(small_study.store) == before
    assert tracked(small_study) == metrics


def test_a_checkpoint_that_is_deleted_is_trained_again_to_the_same_files_and_nothing_is_asked_again(small_study: Study) -> None:
    run = next(run for run in read_study(small_study.store).runs if run.stage == "sft")
    directory = small_study.store / f"train-{run.id}" / "step-000008"
    files, before, metrics = json.loads((directory / "manifest.json").read_text())["files"], made(small_study.store), tracked(small_study)
    shutil.rmtree(directory)
    said = ray_study("status", small_study.sweep, store=small_study.storage)
    assert said.returncode == 1
    assert f"lost: step 8 of {run.name}: {directory} has no manifest.json" in said.stdout
    again = ray_study("run", small_study.sweep, store=small_study.storage)
    assert again.returncode == 0, again.stderr[-4000:]
    assert again.stdout.splitlines()[-1] == "all that is owed is scored"
    assert json.loads((directory / "manifest.json").read_text())["files"] == files
    now = made(small_study.store)
    assert {name for name in now if now[name] != before.get(name)} == {f"train-{run.id}"}
    assert tracked(small_study) == metrics


def tracked(study: Study) -> dict[str, int]:
    """How many points each metric of each run has in the tracking store; what drivers measure of their machine grows, and never doubles."""
    client = MlflowClient(tracking_uri=f"sqlite:///{study.store}/mlflow.db")
    found = {}
    for run in client.search_runs([client.get_experiment_by_name("tiny").experiment_id]):
        for key in run.data.metrics:
            points = client.get_metric_history(run.info.run_id, key)
            if key.startswith("system/"):
                assert len({point.timestamp for point in points}) == len(points), key
            else:
                found[f"{run.info.run_id}/{key}"] = len(points)
    return found


def test_mlflow_has_a_child_run_a_trial_and_a_scored_model_a_checkpoint(small_study: Study) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{small_study.store}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = client.search_runs([experiment])
    parent = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parent) == 1
    assert len(children) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all("train/loss" in run.data.metrics for run in children)
    sft = [run for run in children if run.data.tags["ray_study.stage"] == "sft"]
    assert all("eval/sums/accuracy" in run.data.metrics for run in sft)
    models = client.search_logged_models([experiment])
    names = ("sums", "reversing", "copying", "marked")
    exams = [{metric.dataset_name for metric in model.metrics if metric.key.startswith("eval/")} for model in models]
    assert [each for each in exams if each] == 2 * 3 * [set(names)]
    assert {key for run in sft for key in run.data.tags if key.startswith("verdict/")} == {
        f"verdict/{name}" for name in ("sums", "reversing", "copying", "marked")
    }
    assert all("system/cpu_utilization_percentage" in run.data.metrics for run in runs), "the study's node, and each trial's workers"


def test_status_says_that_nothing_is_owed(small_study: Study) -> None:
    said = ray_study("status", small_study.sweep, store=small_study.storage)
    assert said.returncode == 0, said.stdout
    assert said.stdout.splitlines()[-1] == "cells: # scored 24"


def test_stored_attempts_judged_again_have_exactly_the_same_scores(small_study: Study) -> None:
    before = made(small_study.store)
    again = ray_study("rescore", small_study.sweep, store=small_study.storage)
    assert again.returncode == 0, again.stdout + again.stderr
    # One base model and two checkpoints of each of two runs, at four exams of eight items.
    assert again.stdout.splitlines()[-1] == "160 attempts judged again: none of them otherwise"
    assert made(small_study.store) == before


def test_every_checkpoint_has_its_accuracy_under_smaller_caps(small_study: Study) -> None:
    done = ray_study("rescore", small_study.sweep, "--cap", "4", "--cap", "16", store=small_study.storage)
    assert done.returncode == 0, done.stderr
    with (small_study.store / "caps.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 4 * 3
    scores = {(score.step, score.benchmark, score.value) for score in read_study(small_study.store).scores}
    assert {(int(row["step"]), row["benchmark"], float(row["value"])) for row in rows if row["cap"] == "32"} <= scores


def test_a_finished_study_passes_its_checks(small_study: Study) -> None:
    done = ray_study("check", small_study.sweep, store=small_study.storage)
    failed = re.findall(r"^check (\w+): fail", done.stdout, re.MULTILINE)
    # A model of twenty steps may not have learned to stop, and that is said.
    assert set(failed) <= {"base_model_stops"}, done.stdout
    assert done.returncode == len(failed), done.stdout + done.stderr
    assert "check samples_received: pass: 160 stored attempts" in done.stdout


def test_evaluating_a_finished_study_asks_nothing_again_and_doubles_no_metric(small_study: Study) -> None:
    before, metrics = made(small_study.store), tracked(small_study)
    again = ray_study("evaluate", small_study.sweep, "--follow", store=small_study.storage)
    assert again.returncode == 0, again.stderr[-4000:]
    assert again.stdout.splitlines()[-1] == "all that is owed is scored"
    assert "starting an inference engine" not in again.stderr
    assert made(small_study.store) == before
    assert tracked(small_study) == metrics


def test_the_report_stands_alone_and_can_be_made_again(small_study: Study) -> None:
    page = small_study.store / "report" / "index.html"
    text = page.read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "phrase match, not judged" in text
    page.unlink()
    again = ray_study("report", small_study.sweep, store=small_study.storage)
    assert again.returncode == 0, again.stderr
    assert page.exists()


def test_a_report_that_was_never_written_is_made_from_the_stored_rows_alone(small_study: Study, tmp_path: Path) -> None:
    # As after `kill -9`: everything is stored, and no report is there.
    copied = tmp_path / "tiny"
    shutil.copytree(small_study.store, copied, ignore=shutil.ignore_patterns("report", "mlflow.db", "*.safetensors"))
    before = read_study(small_study.store)
    answers = {path.parent.name.removeprefix("answers-") for path in copied.glob("answers-*/record.json")}
    judged = {path.parent: json.loads(path.read_text())["inputs"]["attempts"] for path in copied.glob("verdicts-*/record.json")}
    one = next(path for path, attempts in judged.items() if attempts in answers)
    assert ray_study("report", small_study.sweep, store=tmp_path).returncode == 0
    again = read_study(copied)
    assert sorted(map(repr, again.scores)) == sorted(map(repr, before.scores))
    assert {run.status for run in again.runs} == {"finished"}
    assert again.facts["owed"] == []

    # One cell's verdicts are gone: it is owed and drawn as missing, and the others stay.
    shutil.rmtree(one)
    shutil.rmtree(copied / "report")
    assert ray_study("report", small_study.sweep, store=tmp_path).returncode == 0
    lost = read_study(copied)
    assert 0 < len(lost.scores) < len(before.scores)
    assert all("not scored yet; run the study again" in line for line in lost.facts["owed"])
    assert lost.facts["owed"]


def test_every_data_set_has_a_card_and_can_be_exported_and_read_back(small_study: Study, tmp_path: Path) -> None:
    made = [path.parent for path in small_study.store.glob("dataset-*/record.json")]
    assert len(made) == 3
    for directory in made:
        card = (directory / "card.md").read_text()
        assert "## Sources and licences" in card
        assert (directory / "card.json").is_file()
    target = tmp_path / "long.parquet"
    done = ray_study("export", small_study.sweep, "long", str(target), store=small_study.storage)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(target)
    assert table.column_names == ["data_source", "question", "answer", "message", "response", "response_length", "advantage"]
    rows, _ = read_examples("parquet", str(target), revision=None, split="train", columns={"prompt": "message", "response": "response"})
    assert len(rows) == table.num_rows == 64
    assert all("<think>" in row.response for row in rows)


def test_a_checkpoint_is_scored_without_its_study_and_gets_the_scores_that_it_has_there(small_study: Study, tmp_path: Path) -> None:
    study = read_study(small_study.store)
    last = next(checkpoint for checkpoint in study.checkpoints if checkpoint.step == 8)
    found = tmp_path / "scores.json"
    done = ray_study("evaluate", "--model", last.path, "--suite", small_study.sweep, "--json", str(found), store=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    scores = {(each["benchmark"], each["metric"]): each["value"] for each in json.loads(found.read_text())["scores"]}
    expected = {(each.benchmark, each.metric): each.value for each in study.scores if (each.run, each.step) == (last.run, 8)}
    assert scores.keys() == expected.keys()
    # The same items, seeds and weights; another engine may round a token otherwise.
    shares = [key for key in scores if key[1] in ("accuracy", "share_refused", "share_finished")]
    assert len(shares) == 2 * 4
    assert all(abs(scores[key] - expected[key]) <= 0.25 for key in shares)
    assert "sums  accuracy: " in done.stdout
    assert (tmp_path / f"evaluate-{Path(last.path).parent.name}").is_dir()


def test_no_process_is_left_behind(small_study: Study) -> None:
    assert wait_until_none({"RAY_STUDY_STORAGE": str(small_study.storage)}) == {}


def test_the_notebook_draws_the_curves_and_the_final_table_of_this_study(small_study: Study) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "1_trajectories.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = f"store = {str(small_study.store)!r}"
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    assert any("sums" in output.get("data", {}).get("text/html", "") for output in outputs)
