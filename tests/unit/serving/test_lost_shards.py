"""A shard that goes with its replica is asked again, its replies are given once, and what is told says which shard that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ray_study.config import Sampling
from ray_study.manifests import read_manifest
from ray_study.serving import EngineLost, PoolUnavailable, Reply, Request
from ray_study.serving.handle import Handle

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=8)
ASKED = [Request(problem_id=f"sums-{number}", sample=0, prompt_ids=(1, 2), max_tokens=8, seed=number) for number in (4, 5)]


@dataclass
class Replicas:
    """Stands for the handle of Serve's: the first `num_lost` shards go with their replica."""

    num_lost: int
    asked: list[tuple[str, Sequence[Request]]] = field(default_factory=list)

    def options(self, *, multiplexed_model_id: str) -> Replicas:
        self.fingerprint = multiplexed_model_id
        return self

    @property
    def answer(self) -> Replicas:
        return self

    def remote(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> Replicas:
        del sampling
        self.asked.append((checkpoint, requests))
        return self

    def result(self, timeout_s: float) -> list[Reply]:
        del timeout_s
        if len(self.asked) <= self.num_lost:
            raise EngineLost("the engine died while it answered")
        common: dict[str, Any] = {"text": "", "num_tokens": 1, "finish_reason": "stop", "served": self.fingerprint, "conditions": "{}"}
        return [Reply(problem_id=each.problem_id, sample=each.sample, seconds=0.0, **common) for each in self.asked[-1][1]]


def test_a_lost_shard_is_asked_again_and_what_is_told_names_benchmark_checkpoint_and_item(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replicas = Replicas(num_lost=2)
    replies = Handle(replicas=replicas, serving=read_manifest(base)).ask(str(base), ASKED, GREEDY, label="math_500")
    assert [reply.problem_id for reply in replies] == ["sums-4", "sums-5"]
    assert replicas.asked == [(str(base), ASKED)] * 3
    lost = f"a shard of math_500 of {base} from 'sums-4' on was lost with its replica"
    assert caplog.messages == [f"{lost} ({number} of 4): the engine died while it answered" for number in (1, 2)]


def test_a_shard_that_is_lost_again_and_again_is_given_up_by_its_name(base: Path) -> None:
    replicas = Replicas(num_lost=4)
    said = f"a shard of 2 prompts of math_500 of {base}, from 'sums-4' to 'sums-5', was lost with its replica 4 times"
    with pytest.raises(PoolUnavailable, match=said):
        Handle(replicas=replicas, serving=read_manifest(base)).ask(str(base), ASKED, GREEDY, label="math_500")
    assert len(replicas.asked) == 4
