"""Real servers of MLflow and PostgreSQL for tests: on free ports of this machine, ended with the block."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "correct horse"


def free_port() -> int:
    """A port that nobody listened to a moment ago."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


@contextmanager
def mlflow_server(backend: str, directory: Path, environment: Mapping[str, str] | None = None, *options: str) -> Iterator[str]:
    """The URI of an MLflow server on a backend store, which keeps artifacts below `directory`; its log is there too."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(directory / "server-artifacts"), *options]
    log = directory / "server.log"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    # Jobs of judges and the like, for which the server would start further processes.
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(environment or {})}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**kept, **own}, cwd=directory, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()[-3000:])
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        # With its workers, which are processes of their own.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as found:
            return bool(found.status == 200)
    except OSError:
        return False


def _postgres_programs(copy: Path) -> Path:
    """Where `initdb` and `pg_ctl` are: of this machine's PostgreSQL, else a copy of those that a wheel carries."""
    found = shutil.which("pg_ctl")
    installed = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if installed:
        return installed[-1].parent
    wheel = importlib.util.find_spec("pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    # A copy, since the user that PostgreSQL runs as may not be allowed to read what was installed here.
    return Path(shutil.copytree(Path(wheel.origin).parent / "pginstall", copy)) / "bin"


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of an empty database without its password, which is `PASSWORD`."""
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.getuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    port = free_port()
    programs = _postgres_programs(directory / "programs")
    (directory / "password").write_text(PASSWORD)
    (directory / "log").touch()
    if user is not None:
        for path in (directory, directory / "password", directory / "log"):
            shutil.chown(path, user)

    def call(*command: str) -> None:
        # Its log, and not a pipe, which the server would keep open.
        with (directory / "log").open("a") as output:
            code = subprocess.run(command, stdout=output, stderr=output, cwd=directory, user=user, timeout=240, check=False).returncode
        assert code == 0, (directory / "log").read_text()[-3000:]

    data = str(directory / "data")
    try:
        call(str(programs / "initdb"), "-D", data, "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={directory / 'password'}", "-N")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={directory} -c fsync=off"
        call(str(programs / "pg_ctl"), "-D", data, "-w", "-t", "120", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            call(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
