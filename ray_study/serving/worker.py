"""The engine's own process: vLLM's worker, which also tells what it has loaded and does not outlive its replica.

vLLM imports this module by name in the processes that it starts; nothing else does.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size
from vllm.model_executor.layers.linear import ColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.platforms import current_platform

from ray_study.model_files import bit_sum
from ray_study.serving.ending import REPLICA, end_with

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as EngineWorker
else:
    from vllm.v1.worker.gpu_worker import Worker as EngineWorker


class Worker(EngineWorker):  # type: ignore[misc]  # vLLM carries no types here
    """vLLM's worker for this machine's accelerator, with two answers of ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begins as vLLM's does, and watches the replica from the start."""
        end_with(int(os.environ[REPLICA]))
        super().__init__(*args, **kwargs)

    def reload_weights(self, *args: Any, **kwargs: Any) -> None:
        """Loads other weights in place, into every copy that the kernels use."""
        super().reload_weights(*args, **kwargs)
        for module in self.get_model().modules():
            if _keeps_a_copy(module):
                # A tied output layer is not in the checkpoint's files, so vLLM 0.29 reloads its weight with the embedding's and
                # leaves the packed copy that computes the logits as it was.
                module.quant_method.process_weights_after_loading(module)

    def loaded_bit_sum(self) -> tuple[int, int]:
        """This rank's part of the checksum of the loaded weights, and how many zeros it counts whose sign cannot be read back.

        The parts of all ranks add up to the manifest's. A packed copy counts with what it has beyond the weight that it was made
        from: nothing, unless it is an old one.
        """
        rank, size = get_tensor_model_parallel_rank(), get_tensor_model_parallel_world_size()
        seen: set[int] = set()
        total = num_zeros = 0
        for module in self.get_model().modules():
            if _keeps_a_copy(module):
                copy = _read_back(module)
                total += 0 if torch.equal(copy, module.weight) else bit_sum({"copy": copy}) - bit_sum({"weight": module.weight})
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    part = _own_part(module, name, parameter, rank, size)
                    total += bit_sum(part)
                    num_zeros += sum(int((value == 0).sum()) for value in part.values()) if _is_packed(module, name) else 0
        return total % 2**64, num_zeros

    def process_id(self) -> int:
        """The process id of this rank."""
        return os.getpid()


def _own_part(module: Any, name: str, parameter: torch.Tensor, rank: int, size: int) -> dict[str, torch.Tensor]:
    """What this rank counts of a parameter: its own piece of a sharded one; a copied one is counted by the first rank."""
    packed = _is_packed(module, name)
    # Some CPU kernels keep a bias in float32, which loses nothing and is undone here.
    value = _read_back(module) if packed else parameter.to(getattr(module, "params_dtype", parameter.dtype))
    if size > 1 and isinstance(module, QKVParallelLinear) and rank % module.num_kv_head_replicas:
        value = value[: module.num_heads * module.head_size]
    sharded = isinstance(module, (ColumnParallelLinear, RowParallelLinear, VocabParallelEmbedding))
    copied = not sharded or (isinstance(module, RowParallelLinear) and name == "bias")
    return {} if copied and rank else {name: value}


def _is_packed(module: Any, name: str) -> bool:
    """Whether the CPU backend handed the weight to a packed kernel and left an empty parameter behind."""
    return name == "weight" and hasattr(module, "cpu_linear") and module.weight.numel() == 0


def _keeps_a_copy(module: Any) -> bool:
    """Whether the CPU backend multiplies with a packed copy while the weight itself is kept for look-ups."""
    if not (isinstance(module, VocabParallelEmbedding) and hasattr(module, "cpu_linear") and module.weight.numel()):
        return False
    # Only a kernel without a copy of its own looks at the weight that it is handed.
    nothing = torch.zeros(1, module.weight.shape[1], dtype=module.weight.dtype)
    return int(module.cpu_linear(nothing, module.weight[:1], None).shape[-1]) > 1


def _read_back(layer: Any) -> torch.Tensor:
    """The weight that a packed linear layer multiplies with: its product with the identity, which rounds nothing.

    A zero comes back without its sign: it is added to others.
    """
    kept = layer.weight.numel() > 0
    inputs = layer.weight.shape[1] if kept else layer.input_size_per_partition
    identity = torch.eye(int(inputs), dtype=layer.weight.dtype if kept else layer.params_dtype)
    product: torch.Tensor = layer.cpu_linear(identity, layer.weight, None)
    return product.T
