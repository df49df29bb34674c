"""The loss of a micro-batch: summed over response tokens, so that any split of a batch adds up to the same."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ray_study.train.batches import IGNORED

_SCALED_HEADS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class TokenLoss(torch.nn.Module):
    """A causal language model whose output is its summed loss.

    The head is applied to the supervised positions only, and to `chunk` of them at a time: logits over a large vocabulary,
    not weights, are what fills an accelerator at long rows.
    """

    def __init__(self, model: Any, *, chunk: int | None) -> None:
        """Wraps a transformers model.

        Args:
            model: the model.
            chunk: supervised positions whose logits exist at once; None for all, where every worker must make equally many calls.

        Raises:
            ValueError: the model does something to its logits that would be left out here.
        """
        super().__init__()
        scaled = [key for key in _SCALED_HEADS if getattr(model.config, key, None)]
        if scaled:
            raise ValueError(f"a model of type {model.config.model_type!r} changes its logits by {scaled}, which training does not do yet")
        self.model = model
        self._chunk = chunk

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The negative log-likelihood summed over the targets (fp32), and how many of them had the highest logit."""
        hidden = self.model.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        supervised = labels != IGNORED
        hidden, targets = hidden[supervised], labels[supervised]
        if self._chunk is None or len(targets) <= self._chunk:
            return self._head(hidden, targets)
        parts = [
            checkpoint(self._head, hidden[start : start + self._chunk], targets[start : start + self._chunk], use_reentrant=False)
            for start in range(0, len(targets), self._chunk)
        ]
        return torch.stack([loss for loss, _ in parts]).sum(), torch.stack([correct for _, correct in parts]).sum()

    def _head(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.model.get_output_embeddings()(hidden).float()
        correct = (logits.detach().argmax(dim=-1) == targets).sum()
        return cross_entropy(logits, targets, reduction="sum"), correct
