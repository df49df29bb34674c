"""`kill -9` of the driver while a teacher is asked in rounds, then again: what was whole is kept, and the same attempts are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Said, completion, serving
from programs import ROOT, kill_when
from studies import changed

from ray_study import tables
from ray_study.rows import Attempt

pytestmark = pytest.mark.slow  # Three programs that import all that a study needs.

PROGRAM = """
import json, sys
from pathlib import Path
from ray_study.attempts import make_attempts
from ray_study.config import Study
from ray_study.engines import Engines
from ray_study.materials import Lab
from ray_study.store import Store

raw, storage = json.loads(sys.argv[1]), sys.argv[2]
study, store, engines = Study.model_validate(raw), Store(storage, "small"), Engines(print, shard_size=4, owner=storage)
lab = Lab(study=study, store=store, engines=engines, cache=Path(storage), progress=print)
made = make_attempts(lab, "sums", "one")
print(json.dumps({key: made.record[key] for key in ("num_rows", "num_saved", "rounds")}))
"""


def command(server: ChatServer, storage: Path) -> list[str]:
    teacher = {
        "by": "endpoint",
        "endpoint": {"url": server.url, "model": "m", "requests_at_once": 2},
        "num_attempts": 2,
        "until_correct": 1,
        "at_most": 6,
        "sampling": {"max_tokens": 64},
        "shard_size": 4,
    }
    raw = changed({"problems/sums/num_problems": 12, "teachers/one": teacher, "datasets/cot/teacher": "one"})
    return [sys.executable, "-c", PROGRAM, json.dumps(raw), str(storage)]


def by_seed(body: dict[str, Any], _: int = 0) -> Said:
    """Right for a quarter of the seeds: a function of the request."""
    numbers = [int(word) for word in body["messages"][-1]["content"].replace("?", " ").replace("=", " ").split() if word.isdigit()]
    return Said(body=completion(f"The answer is \\boxed{{{sum(numbers)}}}." if body["seed"] % 4 == 0 else "\\boxed{-1}"))


def finish(server: ChatServer, storage: Path) -> dict[str, Any]:
    done = subprocess.run(command(server, storage), capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(storage: Path) -> dict[tuple[str, int], tuple[int, str]]:
    (made,) = storage.glob("small/attempts-*")
    return {(row.problem_id, row.sample): (row.seed, row.text) for row in tables.read(made / "rows", Attempt)}


def test_a_driver_killed_in_the_second_round_goes_on_where_it_was(tmp_path: Path) -> None:
    log, storage = tmp_path / "log.txt", tmp_path / "killed"
    hold = threading.Event()

    def holds(body: dict[str, Any], before: int) -> Said:
        # The first round and one shard of the second are answered; then the server keeps the driver waiting.
        if before >= 30:
            hold.wait(60)
        return by_seed(body)

    with serving(holds) as server:
        with log.open("w") as output:
            process = subprocess.Popen(command(server, storage), stdout=output, stderr=output, text=True, cwd=ROOT, env=dict(os.environ))
        kill_when(process, lambda: len(server.asked) > 30, log, timeout=600)
        hold.set()
    (unfinished,) = storage.glob("small/attempts-*")
    assert not (unfinished / "record.json").exists()
    whole = {path: path.stat().st_mtime_ns for path in unfinished.glob("rows/*.parquet")}
    kept = {row.seed for row in tables.read(unfinished / "rows", Attempt)}
    assert any(path.name.startswith("r001-") for path in whole), "the second round had begun"

    with serving(by_seed) as server:
        again = finish(server, storage)
    assert not kept & server.seeds, "a whole shard was asked again"
    assert {path: path.stat().st_mtime_ns for path in whole} == whole
    with serving(by_seed) as server:
        undisturbed = finish(server, tmp_path / "undisturbed")
    assert again == undisturbed
    assert rows(storage) == rows(tmp_path / "undisturbed")
    assert again["num_saved"] > 0
