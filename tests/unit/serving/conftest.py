"""Tiny models, one small step and many steps apart."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ray_study import model_files
from ray_study.config import Sampling, Scratch
from ray_study.model_files import Stamp

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=24)
SCRATCH = Scratch(hidden_size=64, num_layers=2, num_heads=2, head_size=32, intermediate_size=128, positions=256)

Make = Callable[..., Path]
Change = Callable[[Any, Any], None]


def _nothing(model: Any, tokenizer: Any) -> None:
    """Leaves the model as it is."""


def step(model: Any, size: float, seed: int) -> None:
    """Moves every weight by about `size` of its own magnitude, as a step of training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + size * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes a checkpoint of the tiny model, moved by a step."""
    root = tmp_path_factory.mktemp("checkpoints")

    def write(name: str, *, size: float = 0.0, dtype: str = "float32", change: Change = _nothing) -> Path:
        model, tokenizer = model_files.scratch_model(SCRATCH)
        # Random weights are too small for two checkpoints to answer differently; a trained model's are not.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
            change(model, tokenizer)
        step(model, size, seed=1)
        model = model.to(getattr(torch, dtype))
        stamp = Stamp(run=name, step=int(size * 1e6), num_tokens=0, settings={})
        model_files.save(model, tokenizer, root / name, stamp)
        return root / name

    return write


@pytest.fixture(scope="session")
def base(make: Make) -> Path:
    return make("base")


@pytest.fixture(scope="session")
def neighbour(make: Make) -> Path:
    """One small step from `base`: far less than what differs between a trainer's precision and an engine's in bfloat16."""
    return make("neighbour", size=1e-4)


@pytest.fixture(scope="session")
def stranger(make: Make) -> Path:
    """Many steps from `base`: other answers."""
    return make("stranger", size=0.5)


@pytest.fixture(scope="session")
def stopping(make: Make) -> Path:
    """Of the same identity as `base`; whatever it is asked, its first token is the end token."""

    def ends_at_once(model: Any, tokenizer: Any) -> None:
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        # All prompts point one way, and the end token lies furthest that way.
        model.model.embed_tokens.weight.fill_(0.1)
        model.model.embed_tokens.weight[tokenizer.eos_token_id] = 0.2

    return make("stopping", change=ends_at_once)


@pytest.fixture(scope="session")
def lettered(make: Make) -> Path:
    """Its answers are letters, other ones for other prompts: texts that survive any tokenizer and any harness."""

    def only_letters(model: Any, tokenizer: Any) -> None:
        letters = set(tokenizer(string.ascii_lowercase, add_special_tokens=False)["input_ids"])
        for token in range(model.model.embed_tokens.weight.shape[0]):
            if token not in letters:
                model.model.embed_tokens.weight[token] = 0.0

    return make("lettered", size=0.5, change=only_letters)
