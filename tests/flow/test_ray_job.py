"""`ray job submit` against `ray start --head`, as on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from heads import RAY, head_of_its_own
from programs import ROOT, TINY

from ray_study.analyze import read_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head of our own; the environment says where its jobs go."""
    with head_of_its_own(tmp_path) as head:
        yield {**head.values, "RAY_ADDRESS": head.dashboard}


def submit(values: dict[str, str], sweep: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    runtime = json.dumps({"env_vars": variables, "excludes": [".venv", ".git", "results"]})
    program = str(Path(sys.executable).parent / "ray-study")
    command = [RAY, "job", "submit", "--working-dir", ".", "--runtime-env-json", runtime, "--", program, "run", sweep]
    deadline = time.monotonic() + 180
    while True:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=values, timeout=900, check=False)
        # The dashboard answers before the head's agent is there to take a job.
        if "No available agent" not in done.stdout + done.stderr or time.monotonic() > deadline:
            return done
        time.sleep(3)


def test_a_study_runs_as_a_ray_job_and_a_relative_store_is_refused_there(cluster: dict[str, str], tmp_path: Path) -> None:
    study = yaml.safe_load(Path(TINY).read_text())
    study["name"] = "job"
    del study["models"]["tiny"]["pretrain"], study["datasets"]["mixture"], study["datasets"]["short"], study["problems"]["mixture"]
    study["sweep"] = {"model": "tiny", "dataset": "long"}
    study["checkpoints"] = {"steps": [8]}
    sweep = tmp_path / "job.yaml"
    sweep.write_text(yaml.safe_dump(study))

    refused = submit(cluster, str(sweep), {})
    assert refused.returncode != 0
    assert "is relative, and a Ray job runs in a copy" in refused.stdout + refused.stderr

    larger = tmp_path / "larger.yaml"
    larger.write_text(yaml.safe_dump({**study, "resources": {"train": {"cpus_per_worker": 64}}}))
    refused = submit(cluster, str(larger), {"RAY_STUDY_STORAGE": str(tmp_path)})
    assert refused.returncode != 0
    assert "the cluster has 8 logical CPUs, the study needs 67" in refused.stdout + refused.stderr

    done = submit(cluster, str(sweep), {"RAY_STUDY_STORAGE": str(tmp_path)})
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "all that is owed is scored" in done.stdout + done.stderr
    assert {score.step for score in read_study(tmp_path / "job").scores} == {0, 8}
