"""A driver that is killed while it asks a judge: what was paid for is not asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import judge_driver
from chat_server import Said, completion, serving

from ray_study import tables
from ray_study.ledger import Ledger
from ray_study.rows import Attempt

ROOT = Path(__file__).parents[2]


def driver(url: str, root: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "judge_driver", url, str(root)], env=environment, cwd=ROOT)


def test_a_killed_driver_asks_only_what_was_on_its_way(tmp_path: Path) -> None:
    def until_the_seventh(body: dict[str, Any], before: int) -> Said:
        return Said(body=completion("Level: 3"), wait_seconds=60 if 6 <= before < 8 else 0)

    with serving(until_the_seventh) as server:
        first = driver(server.url, tmp_path)
        deadline = time.monotonic() + 120
        while len(server.asked) < 8 or len(_paid(tmp_path)) < 6:
            assert first.poll() is None, "the driver ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        judge_driver.ask(server.url, tmp_path)
    times = Counter(body["messages"][0]["content"] for body in server.asked)
    assert sorted(times.values()) == [1] * 10 + [2] * 2, "only the two that nobody had answered were asked again"
    (book,) = (tmp_path / "small" / "judges").glob("*.jsonl")
    assert (len(Ledger(book)), Ledger(book).num_requests) == (12, 14), "what was on its way may be billed"
    replies = tables.read(tmp_path / "small" / "judgements-x" / "rows", Attempt)
    assert [reply.problem_id for reply in replies] == [f"p{shard}-{item}/0/answer" for shard in range(3) for item in range(4)]


def _paid(root: Path) -> list[str]:
    lines = [line for file in (root / "small" / "judges").glob("*.jsonl") for line in file.read_text().splitlines()]
    return [line for line in lines if line.endswith("}") and '"attempt"' in line]
