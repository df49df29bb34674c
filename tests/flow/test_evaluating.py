"""Scoring apart from training: while another job trains, and without a study at all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient
from programs import TINY, Study, ray_study, start, wait_until_none

from ray_study.analyze import read_study

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


def test_a_checkpoint_is_scored_without_its_study_and_gets_the_scores_that_it_has_there(small_study: Study, tmp_path: Path) -> None:
    study = read_study(small_study.store)
    last = next(checkpoint for checkpoint in study.checkpoints if checkpoint.step == 8)
    found = tmp_path / "scores.json"
    done = ray_study("evaluate", "--model", last.path, "--suite", TINY, "--json", str(found), store=tmp_path)
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
