"""A small study at work with everything real but the engine: what answers is a function of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ray_study.config import Sampling
from ray_study.evaluate import Cell, Exam, score_checkpoint
from ray_study.manifests import read_manifest
from ray_study.materials import Lab
from ray_study.rows import Checkpoint
from ray_study.serving import Reply, Request, Scored

Answer = Callable[[str, Sequence[Request]], list[Reply]]

EXAMS = {
    "sums": {"problems": "held_out", "group": "in_domain", "items": 8},
    "more": {"problems": "held_out", "group": "general", "items": 12},
}


def replies(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
    """An answer to each request."""
    served = read_manifest(Path(checkpoint)).fingerprint
    return [
        Reply(
            problem_id=request.problem_id,
            sample=request.sample,
            text="\\boxed{7}",
            num_tokens=3,
            finish_reason="stop",
            served=served,
            conditions="{}",
            seconds=0.0,
        )
        for request in requests
    ]


class Scoring:
    """Stands for the pool of a reward model, which likes long conversations; one of a thousand tokens is too long for it."""

    def submit(self, conversations: Sequence[tuple[int, ...]], *, label: str) -> Future[list[Scored]]:
        del label
        done: Future[list[Scored]] = Future()
        done.set_result([self._scored(len(ids)) for ids in conversations])
        return done

    def _scored(self, length: int) -> Scored:
        too_long = "" if length < 1000 else f"the conversation has {length} tokens"
        return Scored(value=None if too_long else length / 10, num_tokens=length, conditions="{}", explanation=too_long)


@dataclass(kw_only=True)
class Answering:
    """Stands for `Engines` and for the pool that they open; shards are answered one after another, in the order of asking."""

    answer: Answer = replies
    num_asked: int = 0
    num_left: int = 0
    """Shards that were neither answered nor cancelled when the pool was given back."""
    asked_of: list[str] = field(default_factory=list)
    beside: set[tuple[str, int]] = field(default_factory=set)
    """The models whose pools were used, and beside how many they were said to stand."""
    opened_with: frozenset[str] = frozenset()
    stopped: threading.Event = field(default_factory=threading.Event)
    submitted: list[Future[list[Reply]]] = field(default_factory=list)

    @contextmanager
    def use(self, *of: object, name: str, identities: int) -> Iterator[Answering]:
        del of
        self.beside.add((name, identities))
        self.submitted.clear()
        with ThreadPoolExecutor(1) as self._threads:
            try:
                yield self
            finally:
                self.num_left = sum(not future.done() for future in self.submitted)

    @contextmanager
    def use_scorer(self, directory: str, *of: object, name: str, identities: int) -> Iterator[Scoring]:
        del of
        self.beside.add((name, identities))
        self.asked_of.append(directory)
        yield Scoring()

    def close(self) -> None:
        self.opened_with = frozenset()

    def stop(self) -> None:
        self.stopped.set()

    def submit(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling, *, label: str) -> Future[list[Reply]]:
        del sampling, label
        self.submitted.append(self._threads.submit(self._ask, checkpoint, requests))
        return self.submitted[-1]

    def _ask(self, checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        self.num_asked += 1
        self.asked_of.append(checkpoint)
        return self.answer(checkpoint, requests)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A lab with its exams, and checkpoints of its first run."""

    lab: Lab
    engines: Answering
    exams: list[Exam]
    checkpoints: dict[int, Checkpoint]

    def score(self, step: int) -> dict[str, Cell]:
        return {cell.exam: cell for cell in score_checkpoint(self.lab, self.checkpoints[step], self.exams)}


Open = Callable[..., Bench]
"""Opens a bench, whose study has other settings where a test says so."""
