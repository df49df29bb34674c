"""Who may use a replica's weights: many shards of one checkpoint at a time, and nobody while they are swapped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class _Waiter:
    checkpoint: str
    turn: asyncio.Future[None]


class CheckpointLock:
    """A shared lock for each checkpoint, of which one at a time is loaded. One event loop uses it.

    First come, first served: a shard of the loaded checkpoint that comes after one of another waits behind it, so no swap is
    starved. A swap lets in all who wait for that checkpoint by then, so two checkpoints that take turns swap once a turn.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self.loaded: str | None = None
        self._users = 0
        self._swapping = False
        self._waiting: deque[_Waiter] = deque()

    @asynccontextmanager
    async def hold(self, checkpoint: str, swap: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """The checkpoint stays loaded for the length of the block.

        Args:
            checkpoint: its fingerprint.
            swap: loads it; called with nobody else inside, and only where it is not loaded. If it raises, nothing counts as loaded.
        """
        if self._waiting or self._swapping or self.loaded != checkpoint:
            await self._queue(checkpoint)
        else:
            self._users += 1
        # From here on this shard counts as a user, so no other swap can begin.
        try:
            if self.loaded != checkpoint:
                await self._swap(checkpoint, swap)
            yield
        finally:
            self._users -= 1
            self._admit()

    def forget(self) -> None:
        """What is loaded is no longer known (the engine died); the next shard loads its checkpoint again."""
        self.loaded = None

    async def _queue(self, checkpoint: str) -> None:
        waiter = _Waiter(checkpoint=checkpoint, turn=asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._admit()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled():
                self._leave_before_entering()
            self._admit()
            raise

    async def _swap(self, checkpoint: str, swap: Callable[[], Awaitable[None]]) -> None:
        self._swapping = True
        self.loaded = None
        try:
            await swap()
            self.loaded = checkpoint
            for waiter in [each for each in self._waiting if each.checkpoint == checkpoint and not each.turn.done()]:
                self._waiting.remove(waiter)
                self._enter(waiter)
        finally:
            self._swapping = False

    def _admit(self) -> None:
        while self._waiting and not self._swapping:
            head = self._waiting[0]
            if self._users and head.checkpoint != self.loaded:
                return
            self._waiting.popleft()
            # One who gave up is still in the queue until its own task runs again.
            if not head.turn.done():
                self._swapping = head.checkpoint != self.loaded
                self._enter(head)

    def _enter(self, waiter: _Waiter) -> None:
        self._users += 1
        waiter.turn.set_result(None)

    def _leave_before_entering(self) -> None:
        self._users -= 1
        self._swapping = False
