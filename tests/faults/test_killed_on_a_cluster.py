"""A driver that is killed on a cluster which goes on: Serve keeps its pool, and the next run of the study ends that first."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from heads import Head, head_of_its_own
from programs import TINY, kill_when, ray_study, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Its own process, since Ray is connected to once a process; a line an answer.
LOOK = """
import json, sys
import ray
from ray import serve
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
for line in sys.stdin:
    found = serve.status().applications
    print(json.dumps({name: str(found[name].status) for name in found}), flush=True)
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    with head_of_its_own(tmp_path) as opened:
        yield opened


@pytest.fixture
def pools(head: Head) -> Iterator[Callable[[], dict[str, str]]]:
    """The Serve applications of the cluster with their states, as somebody else who is connected sees them."""
    command = [sys.executable, "-c", LOOK, head.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=head.values) as look:

        def ask() -> dict[str, str]:
            assert look.stdin is not None
            assert look.stdout is not None
            look.stdin.write("now\n")
            look.stdin.flush()
            return dict(json.loads(look.stdout.readline()))

        yield ask
        look.kill()


def test_a_killed_drivers_pool_is_ended_by_the_next_run_which_leaves_none(
    head: Head, pools: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    study = yaml.safe_load(Path(TINY).read_text())
    study["name"] = "orphans"
    del study["models"]["tiny"]["pretrain"], study["datasets"]["mixture"], study["datasets"]["short"], study["problems"]["mixture"]
    study["sweep"] = {"model": "tiny", "dataset": "long"}
    study["problems"]["sums_held_out"]["num_problems"] = 64
    study["evaluation"]["benchmarks"] = {"sums": study["evaluation"]["benchmarks"]["sums"]}
    study["evaluation"]["sampling"]["max_tokens"] = 100
    study["evaluation"]["shard_size"] = 1
    sweep, log = tmp_path / "orphans.yaml", tmp_path / "log.txt"
    sweep.write_text(yaml.safe_dump(study))
    values = {key: value for key, value in head.values.items() if key.startswith("RAY_AUTH")} | {"RAY_ADDRESS": head.address}
    store = tmp_path / "orphans"

    process = start("run", str(sweep), store=tmp_path, log=log, **values)
    kill_when(process, lambda: len(list(store.glob("answers-*/rows/*.parquet"))) >= 2, log)
    (left,) = pools()
    assert not list(store.glob("answers-*/record.json")), "killed in the middle of the first exam"

    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            seen.add(len(pools()))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    done = ray_study("run", str(sweep), "-v", store=tmp_path, **values)
    ended.set()
    watching.join()
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all that is owed is scored"
    assert f"ended {left}, which a driver of this study had left" in done.stderr
    assert seen <= {0, 1}, "two pools at a time would ask for the accelerators twice"
    assert pools() == {}
