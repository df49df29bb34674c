"""What the benchmarks of training learn from: models of random weights with a tokenizer of bytes, and rows of chosen lengths."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ray_study import model_files
from ray_study.config import Scratch
from ray_study.rows import Example

SPREAD = 0.8
"""Of the logarithm of a chain of thought's length."""


def save_model(name: str, directory: Path) -> Path:
    """A directory with a model of random weights in fp32: `smollm2-135m` by shape, or `qwen3-tiny`, 0.9M parameters."""
    model, tokenizer = model_files.scratch_model(Scratch())
    if name == "smollm2-135m":
        config = LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            num_hidden_layers=30,
            intermediate_size=1536,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    model_files.save(model, tokenizer, directory, model_files.Stamp(run=name, step=0, num_tokens=0, settings={}))
    return directory


def lengths(number: int, longest: int, *, spread: bool) -> list[int]:
    """Tokens of each row: all the longest, or log-normal with a mean of a quarter of it and none beyond it."""
    if not spread:
        return [longest] * number
    chosen = random.Random(0)
    found: list[int] = []
    while len(found) < number:
        length = round(chosen.lognormvariate(0.0, SPREAD) * longest / 4 / 1.377)  # exp(SPREAD^2 / 2) = 1.377: the mean of the first factor.
        if 40 <= length <= longest:
            found.append(length)
    return found


def example(index: int, length: int, prompt_tokens: int) -> Example:
    """An example of so many tokens, prompt, response and end token together: a byte is a token."""
    letters = random.Random(index).choices("abcdefghijklmnopqrstuvwxyz ", k=length - prompt_tokens - 1)
    return Example(problem_id=f"p{index}", prompt="What is it?", response="".join(letters), num_tokens=0)
