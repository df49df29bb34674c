"""Worker processes for math-verify: asked over pipes, many questions in a message, killed at the wall clock, replaced.

Why not a process pool of a library: fork inherits the locks of a Ray worker or a threaded actor, and forkserver and spawn
import `__main__` again, which fails for a program on standard input and runs a script without a main guard twice. A plain
subprocess has neither problem, can be killed whatever it does, and can be given a memory limit.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from ray_study.rows import Verdict

_WORKER_FILE = Path(__file__).with_name("math_worker.py")
_START_SECONDS = 300.0
_GUARD_GRACE_SECONDS = 30.0
_GUARD_END_SECONDS = 5.0
_MOST_IN_A_MESSAGE = 32
_TOWER = re.compile(r"\^\s*\{?[^{}]{0,9}\^")
_LOCK = threading.Lock()

Question = tuple[str, str | None]
"""A gold answer and an answer; None asks whether the gold parses."""
Reply = tuple[Verdict, str]
"""A verdict and its explanation."""


def _not_started(reason: str) -> str:
    return (
        f"the math worker did not start: {reason}; expected that `{sys.executable} -c 'import math_verify'` works: "
        "install math-verify and antlr4-python3-runtime 4.13 there"
    )


class WorkerDiedError(Exception):
    """The worker process ended before it answered."""


class MathWorker:
    """One guard with its child (see `math_worker.py`), from its start to its kill."""

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
        self.computing_id = int(hello["process_id"])
        """The process id of the child that computes; another one after each child that had to be killed."""

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def compare(self, pairs: Sequence[Question], timeout_seconds: float) -> list[Reply] | None:
        """The verdict on each pair with its explanation, or None where the guard itself is stuck: then it must be killed.

        Raises:
            WorkerDiedError: The guard ended before it answered.
        """
        assert self._process.stdin is not None
        request = {"pairs": pairs, "seconds": timeout_seconds}
        deadline = time.monotonic() + timeout_seconds * len(pairs) + _GUARD_GRACE_SECONDS
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerDiedError(self._how_it_ended()) from error
        message = self._receive(deadline)
        if message is None:
            return None
        self.computing_id = int(message["process_id"])
        return [(verdict, explanation) for verdict, explanation in message["replies"]]

    def kill(self) -> None:
        """Ends guard and child, whatever they do, and frees the pipes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # The end of its input makes the guard end its child and take its exit status: a killed guard would leave a zombie
        # wherever nobody adopts orphans, as in many containers.
        with contextlib.suppress(BrokenPipeError):  # what was still buffered for a dead guard
            self._process.stdin.close()
        try:
            self._process.wait(_GUARD_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()

    def _receive(self, deadline: float) -> dict[str, Any] | None:
        """The next message, or None at the deadline."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready = select.poll()
        ready.register(descriptor, select.POLLIN | select.POLLHUP)
        while not self._unread.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not ready.poll(remaining * 1000):
                return None
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                raise WorkerDiedError(self._how_it_ended())
            self._unread += chunk
        line, self._unread = self._unread, b""
        return cast(dict[str, Any], json.loads(line))

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


class MathWorkers:
    """The workers of one process: started when asked for, kept between questions, at most `most` at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._slots = threading.BoundedSemaphore(most)
        self._idle: list[MathWorker] = []

    def ask(self, gold: str, answer: str | None, *, timeout_seconds: float) -> Reply:
        """The verdict on an answer with its explanation; without an answer `correct` where the gold parses.

        `timeout` where the comparison took longer than the wall clock allows, `error` where it failed or its process died:
        neither is ever a wrong answer. The clock starts when the worker has the question, not while one is waited for.

        Raises:
            RuntimeError: No worker can be started.
        """
        return self._asked([(gold, answer)], timeout_seconds)[0]

    def ask_many(self, questions: Iterable[Question], *, timeout_seconds: float, num_workers: int) -> dict[Question, Reply]:
        """The reply to each different question, by `num_workers` workers at once (never more than `most`).

        Questions go in messages of some dozens, with those of one gold answer together: a worker reads it once. What looks
        slow goes first, so that no worker is left alone with it at the end.
        """
        waiting = sorted(set(questions), key=lambda question: (not looks_slow(question), question[0], question[1] or ""), reverse=True)
        num_workers = max(1, min(num_workers, self.most))
        lock = threading.Lock()
        replies: dict[Question, Reply] = {}

        def work() -> None:
            while True:
                with lock:
                    if not waiting:
                        return
                    size = 1 if looks_slow(waiting[-1]) else max(1, min(_MOST_IN_A_MESSAGE, len(waiting) // (4 * num_workers)))
                    batch = [waiting.pop() for _ in range(size)]
                replies.update(zip(batch, self._asked(batch, timeout_seconds), strict=True))

        if num_workers == 1 or len(waiting) < 2:
            work()
            return replies
        # Threads only wait: the work is in the worker processes.
        with ThreadPoolExecutor(num_workers) as threads:
            for done in [threads.submit(work) for _ in range(num_workers)]:
                done.result()
        return replies

    def idle_process_ids(self) -> list[int]:
        """The ids of the computing processes of the workers that wait."""
        return [worker.computing_id for worker in self._idle]

    def close(self) -> None:
        """Ends the workers that wait."""
        while self._idle:
            self._idle.pop().kill()

    def _asked(self, questions: Sequence[Question], timeout_seconds: float) -> list[Reply]:
        with self._slots:
            worker = self._take()
            try:
                replies = worker.compare(questions, timeout_seconds)
            except WorkerDiedError as error:
                worker.kill()
                replies, reason = None, str(error)
            except BaseException:
                worker.kill()  # interrupted: its reply, still to come, would be taken for the next one's
                raise
            else:
                reason = "did not answer in time"
            if replies is not None:
                self._idle.append(worker)
                return replies
            worker.kill()
        if len(questions) == 1:
            return [("error", f"the math worker {reason}")]
        # The fault is one question's, or nobody's: each is asked again by itself.
        return [self._asked([question], timeout_seconds)[0] for question in questions]

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


def looks_slow(question: Question) -> bool:
    """Whether a question had better be asked early: towers of powers, factorials and very long answers may take all their time."""
    text = question[1] or question[0]
    return text.count("!") > 1 or text.count("^") > 8 or len(text) > 1000 or _TOWER.search(text) is not None


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
