"""Checkpoints in flight never exceed the replicas that answer, also while replicas come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ray_study.serving.admission import Admission


class Replicas:
    """As many as a test says."""

    def __init__(self, number: int) -> None:
        self.number = number

    def count(self) -> int:
        return self.number


@pytest.fixture
def replicas() -> Replicas:
    return Replicas(1)


@pytest.fixture
def asking() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def enters(admission: Admission, checkpoint: str) -> threading.Event:
    """Set once a shard of the checkpoint is let in."""
    entered = threading.Event()

    def ask() -> None:
        with admission.of(checkpoint):
            entered.set()

    threading.Thread(target=ask, daemon=True).start()
    return entered


def test_shards_of_one_checkpoint_go_in_together_and_another_waits_until_they_are_done(replicas: Replicas) -> None:
    admission = Admission(replicas.count, most_replicas=2, shards_each=4)
    with admission.of("a"), admission.of("a"):
        other = enters(admission, "b")
        assert not other.wait(0.2)
    assert other.wait(30)


def test_a_replica_that_has_come_lets_another_checkpoint_in(replicas: Replicas, asking: ExitStack) -> None:
    admission = Admission(replicas.count, most_replicas=2, shards_each=4)
    asking.enter_context(admission.of("a"))
    replicas.number = 2
    assert enters(admission, "b").wait(30)


def test_where_replicas_went_the_first_checkpoint_goes_on_and_the_second_waits(replicas: Replicas) -> None:
    replicas.number = 2
    admission = Admission(replicas.count, most_replicas=2, shards_each=4)
    with admission.of("b"), admission.of("a"):
        replicas.number = 1
        # In the order in which they came.
        assert enters(admission, "b").wait(30)
        second = enters(admission, "a")
        assert not second.wait(0.2)
    assert second.wait(30)


def test_the_first_checkpoint_is_let_in_where_no_replica_is_there_yet(replicas: Replicas, asking: ExitStack) -> None:
    replicas.number = 0
    admission = Admission(replicas.count, most_replicas=2, shards_each=4)
    asking.enter_context(admission.of("a"))
    assert enters(admission, "a").wait(30), "its other shards make the pool grow"
    assert not enters(admission, "b").wait(0.2)


def test_a_checkpoint_alone_takes_all_replicas_and_beside_another_no_more_shards_than_its_own_ones_take(asking: ExitStack) -> None:
    admission = Admission(Replicas(2).count, most_replicas=2, shards_each=2)
    first = [asking.enter_context(ExitStack()) for _ in range(4)]
    for shard in first:
        shard.enter_context(admission.of("a"))
    asking.enter_context(admission.of("b"))
    further = enters(admission, "a")
    for shard in first[:2]:
        shard.close()
        assert not further.wait(0.2), "b's replica would have to drain for it"
    assert enters(admission, "b").wait(30)
    first[2].close()
    assert further.wait(30)
