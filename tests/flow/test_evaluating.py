"""Scoring apart from training: while another job trains, and without a study at all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient
from programs import TINY, ray_study, start, wait_until_none

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
