"""The end of an engine with its replica. Loads nothing heavy: a test runs it in plain processes."""

from __future__ import annotations

import os
import select
import signal
import threading

REPLICA = "RAY_STUDY_REPLICA"
"""Environment variable with the process id of the replica that started an engine."""


def end_with(replica: int) -> None:
    """Starts a thread that ends this process, and vLLM's own between it and the replica, when the replica is gone.

    The kernel tells at once, also after SIGKILL; without this an engine would keep its memory and its accelerator for ever.
    """
    try:
        watched = os.pidfd_open(replica)
    except ProcessLookupError:
        os._exit(1)
    parent = os.getppid()

    def wait() -> None:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        while not poll.poll():
            pass
        if parent not in (replica, 1) and os.getppid() == parent:
            os.kill(parent, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, name="end-with-replica", daemon=True).start()
