"""Scoring apart from training: while another job trains, and without a study at all."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from chat_server import Said, completion, serving
from mlflow.tracking import MlflowClient
from programs import TINY, ray_study, start, wait_until_none

from ray_study.analyze import read_study
from ray_study.config import Model, Scratch
from ray_study.model_files import prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_one_job_trains_while_another_scores_and_mlflow_has_each_thing_once(tmp_path: Path) -> None:
    raw = yaml.safe_load(Path(TINY).read_text())
    del raw["models"]["tiny"]["pretrain"], raw["datasets"]["mixture"], raw["datasets"]["short"], raw["problems"]["mixture"]
    raw["sweep"] = {"model": "tiny", "dataset": "long"}
    raw["evaluation"]["benchmarks"] = {"sums": raw["evaluation"]["benchmarks"]["sums"]}
    path = tmp_path / "apart.yaml"
    path.write_text(yaml.safe_dump({**raw, "name": "apart"}))
    store, log = tmp_path / "apart", tmp_path / "train.log"

    training = start("run", str(path), "--train-only", store=tmp_path, log=log)
    # Two clusters that start at once on two cores are slow to start; the first trial takes as long again.
    while not (store / "bases.json").exists():
        assert training.poll() is None, log.read_text()[-4000:]
        time.sleep(0.2)
    scored = ray_study("evaluate", str(path), "--follow", store=tmp_path)
    assert scored.returncode == 0, scored.stderr[-4000:]
    assert scored.stdout.splitlines()[-1] == "all that is owed is scored"
    assert training.wait(timeout=600) == 0, log.read_text()[-4000:]
    assert "all runs are trained" in log.read_text()
    assert ray_study("status", str(path), store=tmp_path).returncode == 0

    tables = read_study(store)
    assert {score.step for score in tables.scores} == {0, 4, 8}
    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("apart").experiment_id
    runs = client.search_runs([experiment])
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED"]
    (child,) = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    for metric, first in (("train/loss", 1), ("eval/sums/accuracy", 0)):
        steps = [point.step for point in client.get_metric_history(child.info.run_id, metric)]
        assert len(steps) == len(set(steps)), f"{metric} is doubled"
        assert (min(steps), max(steps)) == (first, 8)
    assert len(client.search_logged_models([experiment])) == 3
    assert wait_until_none({"RAY_STUDY_STORAGE": str(tmp_path)}) == {}


def test_any_model_sits_a_suite_whose_judge_another_file_has(tmp_path: Path) -> None:
    model = Model(scratch=Scratch(hidden_size=32, num_layers=1, num_heads=1, positions=192), dtype="float32")
    directory = prepare(model, "tiny", tmp_path / "cache")
    suite, judges, found = tmp_path / "suite.yaml", tmp_path / "judges.yaml", tmp_path / "found.json"
    exam = {"problems": "marked", "group": "safety", "judge": "policy", "num_samples": 2}
    marked = {"source": "procedural", "num_problems": 4, "options": {"tasks": {"refuse": 1}, "split": "heldout"}}
    sampling = {"max_tokens": 16}
    suite.write_text(yaml.safe_dump({"problems": {"marked": marked}, "evaluation": {"sampling": sampling, "benchmarks": {"marked": exam}}}))

    def models(path: str, headers: Mapping[str, str]) -> Said:
        return Said(body={"data": [{"id": "strict"}]})

    with serving(lambda body, before: Said(body=completion(f"Level: {1 + before % 2 * 4}")), models) as server:
        endpoint = {"url": server.url, "model": "strict", "requests_at_once": 1}
        budget = {"requests": 100}
        judges.write_text(yaml.safe_dump({"judges": {"policy": {"rubric": "policy", "endpoint": endpoint, "budget": budget}}}))
        said = ("--judges", str(judges), "--replicas", "1", "--gpus", "0", "--json", str(found))
        done = ray_study("evaluate", "--model", str(directory), "--suite", str(suite), *said, store=tmp_path)
        asked = len(server.asked)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(found.read_text())
    assert told["exams"]["marked"]["judges"] == [{"name": "policy", "rubric": "policy", "model": "strict"}]
    by_metric = {score["metric"]: score for score in told["scores"]}
    answered = 1 - by_metric["share_no_answer"]["value"] - by_metric["share_unfinished"]["value"]
    # Equal answers to one request are asked about once.
    assert 0 < asked <= round(8 * answered)
    assert by_metric["share_level_5"]["num_items"] <= 4
    assert 0 < by_metric["mean_level"]["value"] <= 5
    assert wait_until_none({"RAY_STUDY_STORAGE": str(tmp_path)}) == {}
