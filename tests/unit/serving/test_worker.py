"""What the ranks of a tensor-parallel engine count of their weights adds up to the checkpoint's checksum: layers cut as vLLM cuts them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch

from ray_study.model_files import bit_sum

# vLLM takes longer to import than all of the fast tests of this folder.
pytestmark = pytest.mark.slow

HIDDEN, HEAD, VOCABULARY, INNER = 8, 4, 11, 12
Shards = Sequence[torch.nn.Module]
"""One layer of each rank."""


def worker() -> Any:
    """The module at test, with vLLM's layers in it: imported when a slow test runs, and not when the fast ones are collected."""
    return importlib.import_module("ray_study.serving.worker")


def tensor(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def shard(kind: type[Any], tensors: Mapping[str, torch.Tensor], **facts: int) -> torch.nn.Module:
    """One of vLLM's layers with these weights: without its constructor, which needs ranks that talk to each other."""
    made: torch.nn.Module = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    for name, value in tensors.items():
        made.register_parameter(name, torch.nn.Parameter(value.clone(), requires_grad=False))
    for name, fact in facts.items():
        setattr(made, name, fact)
    return made


def qkv(size: int, num_kv_heads: int) -> tuple[dict[str, torch.Tensor], Shards]:
    """Attention's inputs: query heads are split; key and value heads too, or several ranks hold the same where they are fewer."""
    num_heads = 4
    counts = {"q": num_heads, "k": num_kv_heads, "v": num_kv_heads}
    whole = {f"{part}.weight": tensor(count * HEAD, HIDDEN, seed=count + place) for place, (part, count) in enumerate(counts.items())}
    whole |= {f"{part}.bias": tensor(count * HEAD, seed=20 + count + place) for place, (part, count) in enumerate(counts.items())}
    replicas = max(1, size // num_kv_heads)

    def of(rank: int, name: str) -> torch.Tensor:
        queries = whole[f"q.{name}"].chunk(size)[rank]
        parts = [whole[f"{part}.{name}"].chunk(size // replicas)[rank // replicas] for part in "kv"]
        return torch.cat([queries, *parts])

    facts = {"num_kv_head_replicas": replicas, "num_heads": num_heads // size, "head_size": HEAD}
    return whole, [
        shard(worker().QKVParallelLinear, {name: of(rank, name) for name in ("weight", "bias")}, **facts) for rank in range(size)
    ]


def column(size: int) -> tuple[dict[str, torch.Tensor], Shards]:
    """A layer that is split by its outputs, its bias too."""
    whole = {"weight": tensor(INNER, HIDDEN, seed=1), "bias": tensor(INNER, seed=2)}
    return whole, [
        shard(worker().ColumnParallelLinear, {name: value.chunk(size)[rank] for name, value in whole.items()}) for rank in range(size)
    ]


def row(size: int) -> tuple[dict[str, torch.Tensor], Shards]:
    """A layer that is split by its inputs; every rank holds its bias."""
    whole = {"weight": tensor(HIDDEN, INNER, seed=3), "bias": tensor(HIDDEN, seed=4)}
    parts = whole["weight"].chunk(size, dim=1)
    return whole, [shard(worker().RowParallelLinear, {"weight": part, "bias": whole["bias"]}) for part in parts]


def embedding(size: int) -> tuple[dict[str, torch.Tensor], Shards]:
    """A vocabulary that does not divide: the last rank's part is filled up with zeros."""
    whole = {"weight": tensor(VOCABULARY, HIDDEN, seed=5)}
    filled = torch.nn.functional.pad(whole["weight"], (0, 0, 0, -VOCABULARY % size))
    return whole, [shard(worker().VocabParallelEmbedding, {"weight": part}) for part in filled.chunk(size)]


def norm(size: int) -> tuple[dict[str, torch.Tensor], Shards]:
    """What every rank holds whole."""
    whole = {"weight": tensor(HIDDEN, seed=6)}
    return whole, [shard(torch.nn.Module, whole) for _ in range(size)]


def counted(shards: Shards) -> int:
    parts = [
        bit_sum(worker()._own_part(layer, name, parameter, rank, len(shards)))
        for rank, layer in enumerate(shards)
        for name, parameter in layer.named_parameters(recurse=False)
    ]
    return sum(parts) % 2**64


LAYERS: dict[str, Callable[[int], tuple[dict[str, torch.Tensor], Shards]]] = {
    "attention with a key head each": lambda size: qkv(size, num_kv_heads=4),
    "attention with one key head for all": lambda size: qkv(size, num_kv_heads=1),
    "attention with two key heads": lambda size: qkv(size, num_kv_heads=2),
    "column": column,
    "row": row,
    "embedding": embedding,
    "norm": norm,
}


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_ranks_parts_add_up_to_the_checksum_of_the_whole(layer: str, size: int) -> None:
    whole, shards = LAYERS[layer](size)
    assert counted(shards) == bit_sum(whole)


@pytest.mark.parametrize("layer", [name for name in LAYERS if name != "norm"])
def test_weights_that_one_rank_kept_of_another_checkpoint_are_noticed(layer: str) -> None:
    whole, shards = LAYERS[layer](2)
    kept = next(shards[1].parameters())
    kept.data[0] += 1
    assert counted(shards) != bit_sum(whole)
