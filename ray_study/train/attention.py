"""Causal attention inside each row of a packed micro-batch and never across rows, as transformers models call it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

log = logging.getLogger(__name__)

NAME = "ray_study_packed"
"""Under which transformers knows it. No mask is known under it, so a padded micro-batch is refused rather than taken for a packed one."""

_LEAK = {torch.float32: 1e-5}
"""Least relative change of a row by another one that counts as a leak; 0.02 in bf16. Most models give exactly 0 where nothing leaks, but
experts round otherwise in other company."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How packed rows attend: what a model tells besides queries, keys and values."""

    lengths: tuple[int, ...]
    scaling: float | None
    dropout: float
    sliding_window: int | None


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **told: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of packed rows.

    Args:
        module: the attention layer that asks.
        query: 1 x heads x tokens x head size; key and value may have fewer heads, each for a group of queries.
        key: see query.
        value: see query.
        attention_mask: none; where rows end says all.
        told: `document_lengths`, tokens of each row in order; `scaling` of the products, 1 / sqrt(head size) where it is empty;
            `dropout`, share of attention weights that are dropped; `sliding_window`, how many tokens one sees, itself included.

    Returns:
        1 x tokens x heads x head size, and no weights.

    Raises:
        ValueError: nobody said where the rows end.
    """
    if told.get("document_lengths") is None or attention_mask is not None:
        raise ValueError(f"a model that attends by {NAME!r} takes packed rows with `document_lengths` and without a mask")
    how = _How(
        lengths=told["document_lengths"],
        scaling=told.get("scaling"),
        dropout=told.get("dropout", 0.0),
        sliding_window=told.get("sliding_window"),
    )
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        # Norms and rotations under autocast leave queries and keys in fp32.
        query, key, value = (part.to(torch.get_autocast_dtype(kind)) for part in (query, key, value))
    # FlashAttention has neither fp32 nor, here, dropout.
    in_one = kind == "cuda" and query.dtype != torch.float32 and not how.dropout
    return (_in_one_call if in_one else _row_by_row)(query, key, value, how), None


def _in_one_call(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, how: _How) -> torch.Tensor:
    """All rows in one call of FlashAttention, which knows where each ends; on CUDA only."""
    ends = pad(torch.tensor(how.lengths).cumsum(0, dtype=torch.int32), (1, 0)).to(query.device, non_blocking=True)
    longest = max(how.lengths)
    queries, keys, values = (part[0].transpose(0, 1) for part in (query, key, value))
    found = varlen_attn(
        *(queries, keys, values, ends, ends, longest, longest),
        scale=how.scaling,
        window_size=(-1 if how.sliding_window is None else how.sliding_window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, torch.Tensor)
    return found[None]


def _row_by_row(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, how: _How) -> torch.Tensor:
    """A call for each row, or for neighbours of one length, so that nothing is computed that a mask would throw away."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    runs = [(length, len(list(rows))) for length, rows in groupby(how.lengths)]
    # Split, and not sliced: the gradients of slices would each fill a tensor of all rows.
    sizes = [length * number for length, number in runs]
    split = (torch.split(part[0], sizes, dim=1) for part in (query, key, value))
    found = []
    for (length, number), *parts in zip(runs, *split, strict=True):
        cut = how.sliding_window is not None and how.sliding_window < length
        mask = _window(length, how.sliding_window or 0, query.device) if cut else None
        # heads x tokens of all x head size -> rows x heads x tokens of each x head size.
        queries, keys, values = (part.unflatten(1, (number, length)).transpose(0, 1) for part in parts)
        rows = scaled_dot_product_attention(queries, keys, values, mask, dropout_p=how.dropout, is_causal=mask is None, scale=how.scaling)
        found.append(rows.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None]


def _window(length: int, width: int, device: torch.device) -> torch.Tensor:
    back = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    return (back >= 0) & (back < width)


AttentionInterface.register(NAME, packed_attention)


def take_packed(model: Any) -> bool:
    """Whether a model now takes packed rows; it stays as it was, and the log says why, where its class cannot keep rows apart."""
    reason = _refusal(model)
    if not reason:
        before = model.config._attn_implementation
        try:
            model.set_attn_implementation(NAME)
            if not _leaks(model):
                return True
            reason = "one row of a pack changes another"
        except (TypeError, ValueError) as error:
            reason = str(error)
        model.set_attn_implementation(before)
    log.warning("rows are padded and not packed: a model of type %r cannot take them so (%s)", model.config.model_type, reason)
    return False


def _refusal(model: Any) -> str:
    if not (getattr(model, "_supports_attention_backend", False) and getattr(model, "_supports_sdpa", False)):
        return "its class has its own attention"
    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        return "it caps the logits of its attention"
    return ""


def _leaks(model: Any) -> bool:
    """Whether the second of two packed rows changes with the first: through attention, a state, a convolution, or whatever a class has."""
    device = model.get_input_embeddings().weight.device
    was_training = model.training
    model.eval()
    try:
        one, other = [_second_row(model, first, device) for first in (1, 2)]
    finally:
        model.train(was_training)
    return bool((one - other).norm() > _LEAK.get(model.dtype, 0.02) * one.norm())


@torch.no_grad()
def _second_row(model: Any, first: int, device: torch.device) -> torch.Tensor:
    """The last hidden states of a row of four tokens behind another of four."""
    ids = torch.tensor([[first] * 4 + [1, 2, 2, 1]], device=device)
    positions = torch.tensor([[0, 1, 2, 3] * 2], device=device)
    found = model.base_model(input_ids=ids, position_ids=positions, use_cache=False, document_lengths=(4, 4)).last_hidden_state
    states: torch.Tensor = found[0, 4:].float()
    return states
