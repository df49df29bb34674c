"""Which checkpoint sits which exams next: the most urgent of those that are owed, as soon as a thread is free."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from ray_study.config import Study
from ray_study.engines import num_beside
from ray_study.evaluators import num_identities
from ray_study.grid import planned
from ray_study.rows import Checkpoint

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Owed(Generic[T]):
    rank: int
    number: int
    work: Callable[[], T] = field(compare=False)
    future: Future[T] = field(compare=False)


class Sittings(Generic[T]):
    """Work in lanes that do not wait for each other, each with as many threads; of what waits in a lane, the lowest rank is next."""

    def __init__(self, at_once: int, stop: Callable[[], None]) -> None:
        """Nothing is owed yet; `at_once` threads a lane. `stop` makes what is under way end soon."""
        self._at_once = at_once
        self._stop = stop
        self._threads: dict[Hashable, ThreadPoolExecutor] = {}
        self._waiting: dict[Hashable, list[_Owed[T]]] = defaultdict(list)
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def owe(self, lane: Hashable, rank: int, work: Callable[[], T]) -> Future[T]:
        """What the work will have given; among equal ranks the first that was owed is done first."""
        future: Future[T] = Future()
        with self._lock:
            heapq.heappush(self._waiting[lane], _Owed(rank, next(self._numbers), work, future))
            threads = self._threads.setdefault(lane, ThreadPoolExecutor(max_workers=self._at_once))
        # Whichever is the most urgent when a thread is free, which need not be this one.
        threads.submit(self._do_next, lane)
        return future

    def _do_next(self, lane: Hashable) -> None:
        with self._lock:
            owed = heapq.heappop(self._waiting[lane])
        try:
            owed.future.set_result(owed.work())
        # Whatever it is, it is for whoever asks for the result.
        except BaseException as error:  # noqa: BLE001
            owed.future.set_exception(error)

    def __enter__(self) -> Self:
        """The open sittings."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Waits for all that is owed; when the block ends early, begins nothing more and stops what is under way, which may have hours."""
        for threads in self._threads.values():
            threads.shutdown(wait=error is None, cancel_futures=error is not None)
        if error is not None:
            self._stop()
            for threads in self._threads.values():
                threads.shutdown()


def lanes(study: Study) -> Callable[[Checkpoint], str]:
    """What a checkpoint waits with: those of its model where every model has engines of its own, else all, in the order of events."""
    models = {run.id: run.model for run in planned(study)}
    apart = len(study.sweep.model) <= num_beside(study.resources.evaluate, num_identities(study))
    return lambda checkpoint: models[checkpoint.run] if apart else ""
