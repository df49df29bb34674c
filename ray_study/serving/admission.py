"""Which shards may be asked now: of no more checkpoints at a time than there are replicas, so that no two swap to and fro.

A checkpoint that is alone fills every replica. Where there are several, each gets no more shards than its own replicas take: one more would
go to another's, which would have to drain and to swap for it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 5.0
"""How soon a replica that has come or gone is noticed."""


class Admission:
    """Lets in shards of at most as many checkpoints at a time as there are live replicas."""

    def __init__(self, live: Callable[[], int], *, most_replicas: int, shards_each: int) -> None:
        """Nobody is in flight.

        Args:
            live: counts the replicas that answer now.
            most_replicas: as many as there may be.
            shards_each: how many shards a replica takes.
        """
        self._live = live
        self._most_replicas = most_replicas
        self._shards_each = shards_each
        self._asked: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, checkpoint: str) -> Iterator[None]:
        """The checkpoint is in flight for the length of the block."""
        with self._changed:
            while not self._may_enter(checkpoint):
                self._changed.wait(timeout=POLL_SECONDS)
            self._asked[checkpoint] += 1
        try:
            yield
        finally:
            with self._changed:
                self._asked[checkpoint] -= 1
                if not self._asked[checkpoint]:
                    del self._asked[checkpoint]
                self._changed.notify_all()

    def _may_enter(self, checkpoint: str) -> bool:
        # In the order in which they came in: where replicas went, the first go on and the others wait until there is room.
        place = list(self._asked).index(checkpoint) if checkpoint in self._asked else len(self._asked)
        # Where none is left or none is needed yet, one will come for the first.
        if place and place >= self._live():
            return False
        number = max(len(self._asked), place + 1)
        part = self._most_replicas // number + (place < self._most_replicas % number)
        return number == 1 or self._asked[checkpoint] < max(1, part) * self._shards_each
