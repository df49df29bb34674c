"""Worker processes for math-verify: asked over pipes, killed at the wall clock, replaced.

Why not a process pool of a library: fork inherits the locks of a Ray worker or a threaded actor, and forkserver and spawn
import `__main__` again, which fails for a program on standard input and runs a script without a main guard twice. A plain
subprocess has neither problem, can be killed whatever it does, and can be given a memory limit.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

from ray_study.rows import Verdict

_WORKER_FILE = Path(__file__).with_name("math_worker.py")
_START_SECONDS = 300.0
_ALARM_GRACE_SECONDS = 20.0
_LOCK = threading.Lock()


def _not_started(reason: str) -> str:
    return (
        f"the math worker did not start: {reason}; expected that `{sys.executable} -c 'import math_verify'` works: "
        "install math-verify and antlr4-python3-runtime 4.13 there"
    )


class WorkerDiedError(Exception):
    """The worker process ended before it answered."""


class MathWorker:
    """One process that compares by math-verify, from its start to its kill."""

    def __init__(self) -> None:
        # -P keeps this package's directory off the path: a module here named like a library would be imported in its place.
        # The hash seed is fixed since sympy's order of work, and so now and then a verdict, depends on it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER_FILE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            start_new_session=True,  # an interrupt at the terminal is for the program; a closed input ends the worker
        )
        self._unread = b""
        try:
            hello = self._receive(time.monotonic() + _START_SECONDS)
        except WorkerDiedError as error:
            self.kill()
            raise RuntimeError(_not_started(str(error))) from error
        if hello is None:
            self.kill()
            raise RuntimeError(_not_started(f"no reply for {_START_SECONDS:g} s"))

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The process id, for whoever wants to see it or kill it."""
        return self._process.pid

    def compare(self, gold: str, answer: str | None, timeout_seconds: float) -> dict[str, Any] | None:
        """The worker's reply, or None where the time is up: then it must be killed, as its reply may still come.

        Raises:
            WorkerDiedError: The process ended before it answered.
        """
        assert self._process.stdin is not None
        request = {"gold": gold, "answer": answer, "alarm_seconds": timeout_seconds + _ALARM_GRACE_SECONDS}
        deadline = time.monotonic() + timeout_seconds
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerDiedError(self._how_it_ended()) from error
        return self._receive(deadline)

    def kill(self) -> None:
        """Ends the process, whatever it does, and frees its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was still buffered for the dead process

    def _receive(self, deadline: float) -> dict[str, Any] | None:
        """The next reply, or None at the deadline."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready = select.poll()
        ready.register(descriptor, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._unread:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not ready.poll(remaining * 1000):
                return None
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise WorkerDiedError(self._how_it_ended())
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return cast(dict[str, Any], json.loads(line))

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


class MathWorkers:
    """The worker processes of one process: started when asked for, kept between questions, at most `most` at once."""

    def __init__(self, most: int) -> None:
        self._slots = threading.BoundedSemaphore(most)
        self._idle: list[MathWorker] = []

    def ask(self, gold: str, answer: str | None, *, timeout_seconds: float) -> tuple[Verdict, str]:
        """The verdict on an answer with its explanation; without an answer `correct` where the gold parses.

        `timeout` where the worker took longer than the wall clock allows, `error` where it failed or died: neither is
        ever a wrong answer. The clock starts when the worker has the question, not while one is waited for or started.

        Raises:
            RuntimeError: No worker can be started.
        """
        with self._slots:
            worker = self._take()
            try:
                reply = worker.compare(gold, answer, timeout_seconds)
            except WorkerDiedError as error:
                worker.kill()
                return "error", f"the math worker {error} (its memory limit, perhaps)"
            except BaseException:
                worker.kill()  # interrupted: its reply, still to come, would be taken for the next one's
                raise
            if reply is None:
                worker.kill()
                return "timeout", f"math-verify took more than {timeout_seconds:g} s"
            if reply["verdict"] == "error":
                worker.kill()  # short of memory or stack, it may be in a poor state
            else:
                self._idle.append(worker)
            return cast(Verdict, reply["verdict"]), reply["explanation"]

    def idle_process_ids(self) -> list[int]:
        """The process ids of the workers that wait."""
        return [worker.process_id for worker in self._idle]

    def close(self) -> None:
        """Ends the workers that wait."""
        while self._idle:
            self._idle.pop().kill()

    def _take(self) -> MathWorker:
        while self._idle:
            try:
                worker = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if worker.is_alive:
                return worker
            worker.kill()
        return MathWorker()


def math_workers() -> MathWorkers:
    """The workers of this process, at most one a core. A forked child gets its own: two readers of one pipe mix replies."""
    with _LOCK:
        return _workers_of(os.getpid())


@functools.cache
def _workers_of(process_id: int) -> MathWorkers:
    workers = MathWorkers(most=os.cpu_count() or 1)

    def close_at_exit() -> None:
        if os.getpid() == process_id:
            workers.close()

    atexit.register(close_at_exit)
    return workers
