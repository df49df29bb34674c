"""Many shards of one checkpoint at a time, nobody while weights are swapped, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from ray_study.serving.lock import CheckpointLock


class Weights:
    """What an engine holds, and how often it was changed."""

    def __init__(self) -> None:
        self.lock = CheckpointLock()
        self.holds = ""
        self.swaps: list[str] = []
        self.inside = 0

    def load(self, checkpoint: str) -> Callable[[], Awaitable[None]]:
        async def swap() -> None:
            assert self.inside == 0, "weights are changed under a running shard"
            self.holds = "half of each"
            await asyncio.sleep(0.001)
            assert self.inside == 0
            self.holds = checkpoint
            self.swaps.append(checkpoint)

        return swap

    async def shard(self, checkpoint: str, seconds: float = 0.001) -> str:
        async with self.lock.hold(checkpoint, self.load(checkpoint)):
            self.inside += 1
            for _ in range(3):
                assert self.holds == checkpoint
                await asyncio.sleep(seconds)
            self.inside -= 1
        return checkpoint


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, timeout=30))


def test_a_running_shard_never_gets_another_checkpoints_weights() -> None:
    async def work() -> None:
        weights, order = Weights(), random.Random(0)

        async def later(checkpoint: str) -> None:
            await asyncio.sleep(order.random() * 0.2)
            await weights.shard(checkpoint, order.random() * 0.005)

        await asyncio.gather(*(later(order.choice("abc")) for _ in range(200)))
        assert weights.inside == 0

    run(work())


def test_shards_of_one_checkpoint_run_together_after_one_swap() -> None:
    async def work() -> None:
        weights = Weights()
        running = [asyncio.create_task(weights.shard("a", 0.01)) for _ in range(5)]
        await asyncio.sleep(0.015)
        assert weights.inside == 5
        await asyncio.gather(*running)
        assert weights.swaps == ["a"]

    run(work())


def test_a_swap_is_not_starved_by_a_stream_of_shards_of_the_loaded_checkpoint() -> None:
    async def work() -> None:
        weights = Weights()
        stop = False

        async def stream() -> None:
            while not stop:
                await weights.shard("a")

        streams = [asyncio.create_task(stream()) for _ in range(4)]
        await asyncio.sleep(0.02)
        await asyncio.wait_for(weights.shard("b"), timeout=5)
        stop = True
        await asyncio.gather(*streams)

    run(work())


def test_two_checkpoints_that_take_turns_swap_once_a_turn() -> None:
    async def work() -> None:
        weights = Weights()
        await weights.shard("a")
        await asyncio.gather(*(weights.shard(checkpoint) for checkpoint in "abababab"))
        assert weights.swaps == ["a", "b", "a"]

    run(work())


def test_after_a_failed_swap_nothing_counts_as_loaded_and_others_go_on() -> None:
    async def work() -> None:
        weights = Weights()
        await weights.shard("a")

        async def refuse() -> None:
            raise ValueError("damaged")

        async def broken() -> None:
            async with weights.lock.hold("b", refuse):
                raise AssertionError("not reached")

        with pytest.raises(ValueError, match="damaged"):
            await broken()
        assert weights.lock.loaded is None
        await weights.shard("a")
        assert weights.swaps == ["a", "a"]

    run(work())


def test_a_shard_that_gives_up_waiting_leaves_no_trace() -> None:
    async def work() -> None:
        for pause in (0.0, 0.0005, 0.001, 0.003, 0.006):
            weights = Weights()
            first = asyncio.create_task(weights.shard("a"))
            second = asyncio.create_task(weights.shard("b"))
            third = asyncio.create_task(weights.shard("c"))
            await asyncio.sleep(pause)
            second.cancel()
            await asyncio.gather(first, second, third, return_exceptions=True)
            weights.inside = 0
            assert await asyncio.wait_for(weights.shard("d"), timeout=5) == "d"

    run(work())


def test_an_engine_that_died_is_loaded_again() -> None:
    async def work() -> None:
        weights = Weights()
        await weights.shard("a")
        weights.lock.forget()
        await weights.shard("a")
        assert weights.swaps == ["a", "a"]

    run(work())
