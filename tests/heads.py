"""A Ray head of a test's own, as `ray start --head` makes one: a cluster that a driver finds and does not end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    ports = [f"--port={port}", f"--dashboard-port={dashboard}"]
    command = [RAY, "start", "--head", "--block", *ports, "--num-cpus=8", "--disable-usage-stats"]
    with (directory / "head.txt").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=values, start_new_session=True)
    try:
        _wait_for(dashboard, directory / "head.txt")
        yield Head(address=f"127.0.0.1:{port}", dashboard=f"http://127.0.0.1:{dashboard}", values=values)
    finally:
        # By its own process group: `ray stop` would end every Ray of the machine.
        os.killpg(head.pid, signal.SIGTERM)
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(f"the head did not come up:\n{log.read_text()[-3000:]}")
