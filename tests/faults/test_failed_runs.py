"""A run that dies is a row with its error: the study goes on, the report shows it, and the exit code says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from programs import TINY, ray_study

from ray_study.analyze import read_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_run_that_diverges_is_a_row_with_its_error_and_the_others_are_scored(tmp_path: Path) -> None:
    study = yaml.safe_load(Path(TINY).read_text())
    study["name"] = "failing"
    del study["models"]["tiny"]["pretrain"], study["datasets"]["mixture"], study["datasets"]["short"], study["problems"]["mixture"]
    study["sweep"] = {"model": "tiny", "dataset": "long", "learning_rate": [1.0e-3, 1.0e30]}
    study["evaluation"]["benchmarks"] = {"sums": study["evaluation"]["benchmarks"]["sums"]}
    study["resources"] = {"overlap": True}
    path = tmp_path / "failing.yaml"
    path.write_text(yaml.safe_dump(study))

    done = ray_study("run", str(path), store=tmp_path)
    assert done.returncode == 1, done.stderr[-4000:]
    last = done.stdout.splitlines()[-1]
    assert "learning_rate=1e+30" in last
    assert "failed" in last
    tables = read_study(tmp_path / "failing")
    by_status = {run.status: run for run in tables.runs}
    assert set(by_status) == {"finished", "failed"}
    assert "diverged" in by_status["failed"].error
    assert {score.step for score in tables.scores if score.run == by_status["finished"].id} == {0, 4, 8}
    assert by_status["failed"].error in (tmp_path / "failing" / "report" / "index.html").read_text().replace("&#39;", "'")
    # With `overlap: true` the first exam is begun before the last run has ended.
    begun = min(path.stat().st_mtime for path in (tmp_path / "failing").glob("answers-*/begun.json"))
    endings = [*(tmp_path / "failing").glob("train-*/ended.json"), *(tmp_path / "failing").glob("train-*/failed.json")]
    assert len(endings) == 2
    assert begun < max(path.stat().st_mtime for path in endings)
    status = ray_study("status", str(path), store=tmp_path)
    assert status.returncode == 1
    assert "diverged" in status.stdout
