"""An engine ends with its replica, however that ends. On a CPU both are one process, so it is shown with plain ones."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

ENGINE = """
import os, sys, time
from ray_study.serving.ending import end_with
end_with(int(sys.argv[1]))
print("engine", os.getpid(), flush=True)
time.sleep(600)
"""

# What stands between a replica and its engine's ranks: vLLM's own process. It starts a rank for each program that it is given.
BETWEEN = """
import os, subprocess, sys, time
for program in sys.argv[2:]:
    subprocess.Popen([sys.executable, "-c", program, sys.argv[1]])
print("between", os.getpid(), flush=True)
time.sleep(600)
"""

REPLICA = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid()), *sys.argv[2:]])
time.sleep(600)
"""


@pytest.fixture
def started() -> Iterator[dict[str, int]]:
    """Processes by name; whatever of them still lives is ended afterwards."""
    found: dict[str, int] = {}
    yield found
    for process in found.values():
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def start(started: dict[str, int], *programs: str) -> subprocess.Popen[str]:
    """A replica with its descendants, once all of them have said who they are."""
    replica = subprocess.Popen([sys.executable, "-c", REPLICA, *programs], stdout=subprocess.PIPE, text=True)
    started["replica"] = replica.pid
    assert replica.stdout is not None
    for _ in programs:
        name, _, process = replica.stdout.readline().rpartition(" ")
        started[name] = int(process)
    return replica


def ends(process: int) -> bool:
    """Whether the process is gone within a minute."""
    try:
        watched = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([watched], [], [], 60)
    os.close(watched)
    return bool(ready)


def test_an_engine_ends_when_its_replica_is_killed(started: dict[str, int]) -> None:
    replica = start(started, ENGINE)
    replica.kill()
    replica.wait()
    assert ends(started["engine"]), "an engine outlived its replica"


def test_the_process_between_a_replica_and_its_engine_ends_too(started: dict[str, int]) -> None:
    replica = start(started, BETWEEN, ENGINE)
    assert set(started) == {"replica", "between", "engine"}
    replica.kill()
    replica.wait()
    assert ends(started["engine"]), "an engine outlived its replica"
    assert ends(started["between"]), "vLLM's own process outlived its replica"


def test_all_ranks_of_a_tensor_parallel_engine_end_with_its_replica(started: dict[str, int]) -> None:
    ranks = [ENGINE.replace('"engine"', f'"rank {number}"') for number in range(2)]
    replica = start(started, BETWEEN, *ranks)
    assert set(started) == {"replica", "between", "rank 0", "rank 1"}
    replica.kill()
    replica.wait()
    assert [name for name, process in started.items() if name != "replica" and not ends(process)] == []


def test_an_engine_whose_replica_is_gone_before_it_looks_does_not_begin(started: dict[str, int]) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, gone.stdout.strip()], stdout=subprocess.PIPE, text=True)
    started["engine"] = engine.pid
    assert engine.communicate(timeout=120)[0] == ""
    assert engine.returncode == 1
