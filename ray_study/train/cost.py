"""What training a run takes: memory by part, floating-point operations, bytes on disk. Estimates, from formulas, without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ray_study.config import Training
from ray_study.models import ModelFacts

LOGITS_AT_ONCE = 2**27
"""Logits that the loss holds at once on an accelerator: those of 883 positions over a vocabulary of 152k."""

BYTES = {"bfloat16": 2, "float32": 4}

REDUCE_BUCKET = 5 * 10**8
LIVE_PARAMETERS = 10**9
"""DeepSpeed's defaults (`reduce_bucket_size`, `stage3_max_live_parameters`): gradients that are added up at once, and weights of other
workers that ZeRO-3 has here at once."""

UTILISATION = 0.4
"""Share of the peak that a time is estimated at. Published for large models: 46 % (PaLM, 2022, table 3), 38 to 43 % (Llama 3, 2024,
table 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that one worker holds, by what they are for."""

    weights: int
    """In the precision of the forward pass."""
    master_weights: int
    """In fp32, where the forward pass has others."""
    gradients: int
    optimizer: int
    """Adam's two moments."""
    activations: int
    """Rough: what the backward pass needs of one micro-batch of the longest rows."""
    logits: int
    buffers: int
    """What DeepSpeed holds of others: gradients on their way, and under ZeRO-3 the weights that are computed with."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(int(getattr(self, field.name)) for field in fields(self))


def memory_per_worker(found: ModelFacts, training: Training, *, num_workers: int) -> Memory:
    """The bytes that a worker holds at most.

    Weights, masters, gradients and moments as in Rajbhandari et al., "ZeRO" (2020), figure 1: with P parameters in mixed precision
    2P + 4P + 8P bytes and the gradients; stage 1 splits masters and moments over the workers, stage 2 gradients too, stage 3 weights
    too. Gradients are kept in fp32 here, 4P, unless everything is bf16.
    """
    parameters, stage = found.num_parameters, training.zero_stage
    pure = training.master_weights == "bf16"
    kept = 2 if pure else 4
    mixed = training.precision == "bf16" and not pure

    def split(size: int, from_stage: int) -> int:
        return -(-size // num_workers) if stage >= from_stage else size

    return Memory(
        weights=split((2 if training.precision == "bf16" else 4) * parameters, 3),
        master_weights=split(4 * parameters if mixed else 0, 1),
        gradients=split(kept * parameters, 2),
        optimizer=split(2 * kept * parameters, 1),
        activations=_activations(found, training),
        logits=_logits(found, training),
        buffers=_buffers(parameters, training) if num_workers > 1 else 0,
    )


def _buffers(parameters: int, training: Training) -> int:
    """Bytes of DeepSpeed's buffers in the precision of the forward pass; plain torch adds gradients up where they lie."""
    size = 2 if training.precision == "bf16" else 4
    reduced = min(parameters, REDUCE_BUCKET) if training.zero_stage else 0
    return size * (reduced + (min(parameters, LIVE_PARAMETERS) if training.zero_stage == 3 else 0))


def _activations(found: ModelFacts, training: Training) -> int:
    """For each token and layer: the inputs of norms and projections, queries, keys and values, and four of the MLP's width.

    Norms, those of queries and keys among them, keep their input and what they made of it in fp32; models without these keep less.
    Attention keeps nothing that grows with the square of the length (FlashAttention and its like). With gradient checkpointing a
    layer keeps its input alone, and one layer at a time is computed again (Chen et al., 2016).
    """
    queries, keys = found.num_heads * found.head_size, found.num_kv_heads * found.head_size
    size = 2 if training.precision == "bf16" else 4
    normed = 4 * (4 * found.hidden_size + 2 * queries + 2 * keys)
    layer = normed + size * (2 * found.hidden_size + 2 * queries + 2 * keys + 4 * found.intermediate_size)
    last = 4 * 2 * found.hidden_size
    tokens = training.tokens_at_once
    if training.gradient_checkpointing:
        return tokens * (size * found.num_layers * found.hidden_size + layer + last)
    return tokens * (found.num_layers * layer + last)


def _logits(found: ModelFacts, training: Training) -> int:
    """What the loss holds: a chunk's logits in the compute precision, twice in fp32 besides; and the head's gradient in fp32.

    In bf16 also the product that is added to that gradient, and a copy of the head where the weights are fp32.
    """
    at_once = min(training.tokens_at_once * found.vocab_size, LOGITS_AT_ONCE)
    head = found.vocab_size * found.hidden_size
    if training.precision == "fp32":
        return 2 * 4 * at_once + 4 * head
    return (2 + 2 * 4) * at_once + (4 + 2) * head + (2 * head if training.master_weights == "fp32" and training.engine == "torch" else 0)


def training_flops(found: ModelFacts, num_tokens: float, length: int) -> float:
    """Floating-point operations of learning from so many tokens in rows of `length`.

    Chowdhery et al., "PaLM" (2022), appendix B: 6 N + 12 L H Q T a token, for N weights that multiply, L layers, H heads of size Q and
    rows of T tokens. An embedding that is only looked up multiplies nothing.
    """
    looked_up = 0 if found.tied else found.vocab_size * found.hidden_size
    per_token = 6 * (found.num_parameters - looked_up) + 12 * found.num_layers * found.num_heads * found.head_size * length
    return float(per_token) * num_tokens


def training_seconds(flops: float, *, peak_flops_per_second: float, utilisation: float, num_workers: int) -> float:
    """Seconds that so many operations take on workers of a stated peak at a stated share of it."""
    return flops / (peak_flops_per_second * utilisation * num_workers)


def checkpoint_bytes(found: ModelFacts, dtype: str) -> int:
    """Bytes of the weights of one scored checkpoint; its other files are some megabytes at most."""
    return BYTES[dtype] * found.num_parameters


def resume_bytes(found: ModelFacts, training: Training) -> int:
    """Bytes of a run's resume state at most: two slots of weights and Adam's moments, deleted when it ends."""
    return 2 * 3 * (2 if training.master_weights == "bf16" else 4) * found.num_parameters
