"""The loss of a micro-batch: a weighted sum over response tokens, so that any split of a batch adds up to the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ray_study.train.batches import IGNORED
from ray_study.train.cost import LOGITS_AT_ONCE

_LOGITS_ON_CPU = 2**25
"""Logits that are held at once on a CPU: those of 682 positions over a vocabulary of 49k."""
_BLOCK = 16
"""Rows of logits that a CPU passes over at a time: 3 MB over a vocabulary of 49k, which stays in its cache."""

_MULTIPLIED = frozenset({"cohere", "cohere2"})
"""Types of model whose `logit_scale` multiplies the logits."""
_DIVIDED = frozenset({"granite", "granitemoe", "granitemoeshared"})
"""Types of model whose `logits_scaling` divides them."""
_UNKNOWN = ("logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transform:
    """What becomes of a head's output x before the softmax: x * scale, then cap * tanh(x / cap) where there is a cap."""

    scale: float
    cap: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What one call of `_LinearCrossEntropy` computes, beside the hidden states and the head."""

    targets: torch.Tensor
    weights: torch.Tensor
    dtype: torch.dtype
    """Of the matrix products; everything between them is fp32."""
    transform: _Transform
    with_gradient: bool
    at_once: int
    """Logits that exist at the same time."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Head and cross-entropy in one, a chunk of positions at a time.

    The gradient is made in the forward pass, where a chunk's logits are at hand: d loss / d logits is w (softmax - onehot), and what it
    gives for the hidden states and the head's weight is kept instead of the logits. Nothing is computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        asked: _Asked,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `LossHead.forward`."""
        head = weight.to(asked.dtype)
        totals = torch.zeros(4, dtype=torch.float64, device=hidden.device)
        grads = _Gradients(hidden, weight, bias) if asked.with_gradient else None
        rows = max(1, asked.at_once // len(weight))
        for start in range(0, len(asked.targets), rows):
            chunk = slice(start, start + rows)
            inputs = hidden[chunk].to(asked.dtype)
            logits = torch.mm(inputs, head.t())
            if bias is not None:
                logits += bias
            totals += _to_gradient(logits, asked.targets[chunk], asked.weights[chunk], asked.transform)
            if grads is not None:
                grads.add(chunk, logits, inputs, head)
        ctx.grads = grads
        loss, told = totals[0].float(), totals[1:].float()
        ctx.mark_non_differentiable(told)
        return loss, told

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients that the forward pass made, times that of the loss; they are used up."""
        grads, ctx.grads = ctx.grads, None
        assert grads is not None, "this loss keeps its gradient for one backward pass"
        return (*grads.times(upstream[0]), None)


class _Gradients:
    """The gradients of hidden states, head weight and bias; the last two are added up in fp32."""

    def __init__(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._hidden = torch.empty_like(hidden)
        self._weight = torch.zeros_like(weight, dtype=torch.float32)
        self._bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        self._dtype = weight.dtype

    def add(self, chunk: slice, logits: torch.Tensor, inputs: torch.Tensor, head: torch.Tensor) -> None:
        """Adds what a chunk's gradient by its logits (rows x vocabulary) gives."""
        self._hidden[chunk] = torch.mm(logits, head)
        if logits.dtype == torch.float32:
            self._weight.addmm_(logits.t(), inputs)
        else:
            self._weight += torch.mm(logits.t(), inputs)
        if self._bias is not None:
            self._bias += logits.sum(dim=0, dtype=torch.float32)

    def times(self, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """All of them times a number, in the dtypes of what they belong to."""
        bias = None if self._bias is None else self._bias.mul_(factor).to(self._dtype)
        return self._hidden.mul_(factor), self._weight.mul_(factor).to(self._dtype), bias


def _to_gradient(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, transform: _Transform) -> torch.Tensor:
    """Replaces a chunk's logits by the gradient of its loss by them.

    Returns:
        Weighted and unweighted sum of the negative log-likelihood, number of targets hit, sum of the entropies: fp64, nats.
    """
    totals = torch.zeros(4, dtype=torch.float64, device=logits.device)
    rows = _BLOCK if logits.device.type == "cpu" else len(logits)
    for start in range(0, len(logits), rows):
        block = slice(start, start + rows)
        wide = logits[block].float()
        totals += _block_to_gradient(wide, targets[block, None], weights[block, None], transform)
        if logits.dtype != torch.float32:
            logits[block] = wide
    return totals


def _block_to_gradient(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, transform: _Transform) -> torch.Tensor:
    """`_to_gradient` of fp32 logits (rows x vocabulary), with targets and weights as columns."""
    slope = _transform(logits, transform)
    highest, best = logits.max(dim=-1, keepdim=True)
    logits -= highest
    at_target = logits.gather(1, targets)
    masses = logits.exp()
    mass = masses.sum(dim=-1, keepdim=True)
    # With p = masses / mass, the entropy -sum p log p is log mass - sum p logits.
    expected = torch.bmm(masses[:, None, :], logits[:, :, None])[:, 0] / mass
    nll, entropy = mass.log() - at_target, mass.log() - expected
    torch.mul(masses, weights / mass, out=logits)
    logits.scatter_add_(1, targets, -weights)
    if slope is not None:
        logits *= slope
    hits = (best == targets).double()
    return torch.stack([(nll * weights).double().sum(), nll.double().sum(), hits.sum(), entropy.double().sum()])


def _transform(logits: torch.Tensor, transform: _Transform) -> torch.Tensor | None:
    """Transforms logits in place; its derivative where it isn't 1, by the chain rule: scale * (1 - tanh^2)."""
    if transform.scale != 1.0:
        logits *= transform.scale
    if transform.cap is None:
        return None if transform.scale == 1.0 else torch.full_like(logits[:1], transform.scale)
    squashed = (logits / transform.cap).tanh_()
    torch.mul(squashed, transform.cap, out=logits)
    return squashed.square_().neg_().add_(1.0).mul_(transform.scale)


def logit_transform(config: Any) -> _Transform:
    """What a model's configuration does to the output of its head.

    Raises:
        ValueError: it does something that is not known here and would be left out.
    """
    config = config.get_text_config()
    kind, scale = config.model_type, 1.0
    left = {key for key in _UNKNOWN if getattr(config, key, None) not in (None, 1.0)}
    if kind in _MULTIPLIED:
        scale, left = float(config.logit_scale), left - {"logit_scale"}
    elif kind in _DIVIDED:
        scale, left = 1.0 / float(config.logits_scaling), left - {"logits_scaling"}
    if left:
        raise ValueError(f"a model of type {kind!r} changes its logits by {sorted(left)}, which training does not do yet")
    return _Transform(scale=scale, cap=getattr(config, "final_logit_softcapping", None))


class LossHead(torch.nn.Linear):
    """A model's own head that can give the loss in place of logits.

    It is a module of the model, so that whoever splits the weights over workers sees when this one is needed: once a micro-batch,
    whatever number of targets a worker has.
    """

    def __init__(self, head: torch.nn.Linear, transform: _Transform, *, at_once: int | None) -> None:
        """A head with the parameters of `head`, tied or not; `at_once` as in `TokenLoss`."""
        super().__init__(head.in_features, head.out_features, bias=head.bias is not None, device="meta")
        self.weight, self.bias = head.weight, head.bias
        self._transform = transform
        self._at_once = at_once

    def forward(  # type: ignore[override]
        self, hidden: torch.Tensor, targets: torch.Tensor | None = None, weights: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The logits of hidden states; with targets, their loss instead.

        Args:
            hidden: positions x hidden size.
            targets: for each position the token that follows it.
            weights: for each position what its negative log-likelihood counts in the loss.

        Returns:
            The weighted sum of the negative log-likelihoods (fp32), and without a gradient their plain sum, the number of targets
            that had the highest logit, and the sum of the entropies of the predictions, in nats (fp32, 3).
        """
        if targets is None or weights is None:
            return super().forward(hidden)
        kind = hidden.device.type
        asked = _Asked(
            targets=targets,
            weights=weights,
            dtype=torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.weight.dtype,
            transform=self._transform,
            at_once=self._at_once or (_LOGITS_ON_CPU if kind == "cpu" else LOGITS_AT_ONCE),
            with_gradient=torch.is_grad_enabled() and (hidden.requires_grad or self.weight.requires_grad),
        )
        with torch.autocast(kind, enabled=False):
            found: tuple[torch.Tensor, torch.Tensor] = _LinearCrossEntropy.apply(hidden, self.weight, self.bias, asked)  # type: ignore[no-untyped-call]
        return found


class TokenLoss(torch.nn.Module):
    """A causal language model whose output is its loss. Logits over a large vocabulary are never held for a whole micro-batch."""

    def __init__(self, model: Any, *, at_once: int | None = None) -> None:
        """Wraps a transformers model, whose head becomes a `LossHead` of the same parameters.

        Args:
            model: the model.
            at_once: logits that exist at the same time, to the whole position; empty takes what suits the device.

        Raises:
            ValueError: the model does something to its logits that would be left out here.
        """
        super().__init__()
        head = model.get_output_embeddings()
        if type(head) not in (torch.nn.Linear, LossHead):
            raise ValueError(f"the head of a model of type {model.config.model_type!r} is {type(head).__name__}; expected a linear layer")
        if not isinstance(head, LossHead):
            model.set_output_embeddings(LossHead(head, logit_transform(model.config), at_once=at_once))
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, **rest: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and the three sums of `LossHead.forward`, over the positions that have a label.

        Args:
            input_ids: rows x length.
            labels: of the same shape: the token that follows, `IGNORED` where nothing is learnt.
            weights: of the same shape: what a position's negative log-likelihood counts in the loss.
            rest: what else the model needs to know of the rows: a mask of padding, or how they are packed.
        """
        hidden = self.model.base_model(input_ids=input_ids, use_cache=False, **rest).last_hidden_state
        supervised = labels != IGNORED
        found: tuple[torch.Tensor, torch.Tensor] = self.model.get_output_embeddings()(
            hidden[supervised], labels[supervised], weights[supervised]
        )
        return found
