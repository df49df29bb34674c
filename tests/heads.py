"""A Ray head of a test's own, as `ray start --head` makes one: a cluster that a driver finds and does not end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from programs import environment

RAY = str(Path(sys.executable).parent / "ray")


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a head is reached, and the environment in which its programs run."""

    address: str
    dashboard: str
    values: dict[str, str]


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def head_of_its_own(directory: Path) -> Iterator[Head]:
    """A head for the length of the block. Both sides use one token file, whatever an earlier Ray left."""
    port, dashboard, token = free_port(), free_port(), directory / "token"
    token.write_text("0" * 64)
    values = environment(directory, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    del values["RAY_STUDY_STORAGE"]
    # Two tests may each have a head at once: the agent's own port is the only one that Ray would otherwise take for granted.
    ports = [f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-agent-listen-port=0"]
    command = [RAY, "start", "--head", "--block", *ports, "--num-cpus=8", "--disable-usage-stats"]
    log = directory / "head.txt"
    for _ in range(3):
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=values, start_new_session=True)
        if _has_started(process, dashboard, log):
            break
        # A machine that is too busy for Ray's own half a minute, after which it gives up.
        _end(process)
    try:
        assert process.poll() is None, f"the head did not come up:\n{log.read_text()[-3000:]}"
        yield Head(address=f"127.0.0.1:{port}", dashboard=f"http://127.0.0.1:{dashboard}", values=values)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a head by its own process group: `ray stop` would end every Ray of the machine."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


def _has_started(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if "Ray runtime started" in log.read_text() and probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.5)
    return False
