"""Running the program as a user does: another process, its own process group, a store of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STARTED: list[subprocess.Popen[str]] = []
TINY = str(Path(__file__).parent / "flow" / "tiny.yaml")


@dataclass(frozen=True)
class Study:
    """A study that was run: its sweep file, where it is stored and what the run said."""

    sweep: str
    storage: Path
    code: int
    output: str
    errors: str

    @property
    def store(self) -> Path:
        return self.storage / "tiny"


def environment(store: Path, **more: str) -> dict[str, str]:
    """The environment of a run with its own store; no cluster of anybody else's."""
    kept = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_STUDY_STORAGE", "MLFLOW_TRACKING_URI")}
    return {**kept, "RAY_STUDY_STORAGE": str(store), "OMP_NUM_THREADS": "1", **more}


def ray_study(*arguments: str, store: Path, timeout: float = 900, **more: str) -> subprocess.CompletedProcess[str]:
    """A finished run of the command line."""
    command = [sys.executable, "-m", "ray_study", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(store, **more), timeout=timeout, check=False)


def start(*arguments: str, store: Path, log: Path, **more: str) -> subprocess.Popen[str]:
    """A run of the command line that goes on in the background, in a process group of its own."""
    command = [sys.executable, "-m", "ray_study", *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, text=True, cwd=ROOT, env=environment(store, **more), start_new_session=True
        )
    STARTED.append(process)
    return process


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool], log: Path, timeout: float = 1200) -> None:
    """Sends SIGKILL to the driver as soon as the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"the run ended before it could be killed:\n{log.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"nothing to kill in {timeout} s:\n{log.read_text()[-4000:]}"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


# Ray's own: they notice by a heartbeat that their node is gone, and hold neither a model nor a file of the study.
RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


def processes_of(environment_marks: Mapping[str, str]) -> dict[int, str]:
    """The living processes whose environment has these values, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            values = (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if (
            state != "Z"
            and not command.startswith(RAYS_AGENTS)
            and all(f"{key}={value}".encode() in values for key, value in environment_marks.items())
        ):
            found[int(entry.name)] = command
    return found


def wait_until_none(environment_marks: Mapping[str, str], timeout: float = 60) -> dict[int, str]:
    """What is left of the processes with these marks when they have had `timeout` seconds to end."""
    deadline = time.monotonic() + timeout
    while (left := processes_of(environment_marks)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left
