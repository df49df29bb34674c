"""How one run's work is spread over workers: plain torch, or DeepSpeed ZeRO, behind one small interface.

Both give the gradient of the loss summed over all response tokens of the batch, each with its weight, whatever the micro-batches and
workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ray_study.config import Training
from ray_study.train import zero_state
from ray_study.train.loss import TokenLoss

Batch = Mapping[str, Any]
Weights = Iterator[tuple[str, torch.Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where this process is among the workers of its run."""

    rank: int
    num_workers: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it writes what is written once."""
        return self.rank == 0

    def take(self, batch: Batch) -> Batch:
        """A micro-batch with its tensors on this worker's device."""
        return {name: value.to(self.device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}

    def sum(self, values: torch.Tensor) -> list[float]:
        """The values added up over all workers."""
        if self.num_workers > 1:
            distributed.all_reduce(values)
        return [float(value) for value in values.tolist()]

    def of_first(self, value: float) -> float:
        """The first worker's value, on every worker: what they must agree on, such as a clock."""
        return self.sum(torch.tensor([value if self.is_first else 0.0], dtype=torch.float64, device=self.device))[0]

    def wait(self) -> None:
        """Returns when every worker is here."""
        if self.num_workers > 1:
            distributed.barrier()


def here(device: torch.device) -> Place:
    """The place of this process; alone where no process group was set up."""
    if not distributed.is_initialized():
        return Place(rank=0, num_workers=1, device=device)
    return Place(rank=distributed.get_rank(), num_workers=distributed.get_world_size(), device=device)


class Engine(Protocol):
    """What learns: holds weights and optimizer, and takes micro-batches."""

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        """After adding the gradient of the loss: the three sums of `LossHead.forward`.

        Args:
            batch: one micro-batch of this worker, from `batches.micro_batches`.
            last: whether it is this worker's last micro-batch of the step.
        """

    def measure(self, batch: Batch) -> torch.Tensor:
        """The three sums of `LossHead.forward` over one micro-batch, without dropout; nothing is learned. Every worker must call it."""

    def step(self, learning_rate: float) -> float:
        """The global gradient norm before clipping, once the weights have moved; they stay where they are if it is not finite."""

    def weights(self) -> Weights:
        """Every weight with its name, one by one, a tied one once; each is good until the next. Every worker must take them all."""

    def state(self) -> dict[str, Any]:
        """What this worker keeps to go on later: nothing but tensors, numbers, strings and containers of them; empty: others have it."""

    def load_state(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Takes up what `state` gave on every worker that kept something, in their order. Every worker must call it.

        Raises:
            ValueError: something is missing there.
        """


def make_engine(model: Any, training: Training, place: Place) -> Engine:
    """The engine that the settings name, around a model in the dtype of its master weights."""
    if training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.to(place.device).train()
    if training.engine == "torch":
        return TorchEngine(model, training, place)
    return ZeroEngine(model, training, place)


def optimizer_of(module: torch.nn.Module, training: Training) -> torch.optim.AdamW:
    """AdamW over all parameters, with the settings' weight decay on each, as in the study."""
    return torch.optim.AdamW(
        module.parameters(),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        weight_decay=training.weight_decay,
        fused=True,
    )


class TorchEngine:
    """Plain torch; with several workers each holds all weights, and gradients are added up (DDP)."""

    def __init__(self, model: Any, training: Training, place: Place) -> None:
        self._place = place
        self._training = training
        self._loss = TokenLoss(model)
        self._module: Any = DistributedDataParallel(self._loss, gradient_as_bucket_view=True) if place.num_workers > 1 else self._loss
        self._optimizer = optimizer_of(self._loss, training)
        # With bf16 masters there is nothing to cast: the whole computation is in bf16.
        self._autocast = training.precision == "bf16" and training.master_weights == "fp32"

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        """See `Engine`."""
        with nullcontext() if last or self._place.num_workers == 1 else self._module.no_sync():
            with torch.autocast(self._place.device.type, dtype=torch.bfloat16, enabled=self._autocast):
                loss, sums = self._module(**batch)
            # DDP averages over workers, and what is wanted is the sum.
            (loss * self._place.num_workers).backward()
        return sums  # type: ignore[no-any-return]

    @torch.no_grad()
    def measure(self, batch: Batch) -> torch.Tensor:
        """See `Engine`; not through DDP, which has nothing to add up here."""
        self._loss.eval()
        with torch.autocast(self._place.device.type, dtype=torch.bfloat16, enabled=self._autocast):
            _, sums = self._loss(**batch)
        self._loss.train()
        return sums  # type: ignore[no-any-return]

    def step(self, learning_rate: float) -> float:
        """See `Engine`."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._loss.parameters(), self._training.max_grad_norm))
        _set_rate(self._optimizer, learning_rate)
        if math.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def weights(self) -> Weights:
        """See `Engine`."""
        yield from tensors_of(self._loss.model)

    def state(self) -> dict[str, Any]:
        """See `Engine`; every worker has the same, so the first alone keeps it, for however many go on."""
        if not self._place.is_first:
            return {}
        return {"weights": dict(self._loss.model.state_dict()), "optimizer": self._optimizer.state_dict()}

    def load_state(self, states: Sequence[Mapping[str, Any]]) -> None:
        """See `Engine`."""
        (state,) = states
        self._loss.model.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])


class ZeroEngine:
    """DeepSpeed ZeRO: optimizer state, gradients and weights are split over the workers, by stage.

    With `precision: bf16` it computes on bf16 copies of its fp32 masters, where plain torch casts them operation by operation.
    """

    def __init__(self, model: Any, training: Training, place: Place) -> None:
        # It takes seconds to import and looks for compilers when it does; only who asks for it pays.
        import deepspeed  # noqa: PLC0415

        if place.device.type == "cpu":
            # It would compile an operation for shared memory at first use, which takes a minute or a missing compiler.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self._place = place
        self._stage = training.zero_stage
        self._loss = TokenLoss(model)
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=self._loss,
            optimizer=optimizer_of(self._loss, training),
            config=zero_config(training, place.num_workers),
            dist_init_required=False,
        )
        # It rounds them with the weights, and rotary frequencies in bf16 are wrong ones.
        for name, buffer in model.named_buffers():
            buffer.data = buffers[name].data

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        """See `Engine`."""
        # Packed steps differ in their number of micro-batches, so it is told which one is the last.
        self._engine.set_gradient_accumulation_boundary(last)
        loss, sums = self._engine(**batch)
        # It averages over workers, and what is wanted is the sum.
        self._engine.backward(loss * self._place.num_workers, scale_wrt_gas=False)
        return sums  # type: ignore[no-any-return]

    @torch.no_grad()
    def measure(self, batch: Batch) -> torch.Tensor:
        """See `Engine`."""
        self._engine.eval()
        _, sums = self._engine(**batch)
        self._engine.train()
        return sums  # type: ignore[no-any-return]

    def step(self, learning_rate: float) -> float:
        """See `Engine`."""
        _set_rate(self._optimizer, learning_rate)
        # Without ZeRO and in fp32 it keeps its norm to itself; the gradients are added up already, and whole.
        norm = torch.nn.utils.get_total_norm(self._gradients()) if self._stage == 0 else None
        self._engine.step()
        told = self._engine.get_global_grad_norm()
        return float(norm if told is None else told)  # type: ignore[arg-type]

    def _gradients(self) -> list[torch.Tensor]:
        return [parameter.grad for parameter in self._loss.parameters() if parameter.grad is not None]

    def weights(self) -> Weights:
        """See `Engine`; with stage 3 each is gathered alone, so that no worker holds more than one whole."""
        if self._stage < 3:
            yield from tensors_of(self._loss.model)
            return
        # As above: only who asks for DeepSpeed pays for it.
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters  # noqa: PLC0415

        # Small parameters stay gathered between steps; they are given up here, and gathered again at the end.
        self._optimizer.checkpoint_event_prologue()
        for name, tensor in tensors_of(self._loss.model):
            with GatheredParameters([tensor] if hasattr(tensor, "ds_id") else []):
                yield name, tensor
        self._optimizer.checkpoint_event_epilogue()

    def state(self) -> dict[str, Any]:
        """See `Engine`; each worker keeps the pieces of weights and moments that it holds (see `zero_state`)."""
        if self._stage == 0 and not self._place.is_first:
            return {}
        return zero_state.read(self._optimizer, dict(self._loss.model.named_parameters()))

    def load_state(self, states: Sequence[Mapping[str, Any]]) -> None:
        """See `Engine`."""
        zero_state.write(self._optimizer, dict(self._loss.model.named_parameters()), states)


def tensors_of(model: torch.nn.Module) -> Weights:
    """The tensors of a model's state with their names; one that has two names comes once, with the first."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def zero_config(training: Training, num_workers: int) -> dict[str, Any]:
    """The DeepSpeed settings of a run; the sizes of batches that it asks for say nothing, since it is told each step's last micro-batch."""
    config: dict[str, Any] = {
        "train_batch_size": num_workers,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": {"stage": training.zero_stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    if training.precision == "bf16":
        pure = training.master_weights == "bf16"
        config["bf16"] = {"enabled": True, "bf16_master_weights_and_grads": pure, "bf16_optimizer_states": pure}
        config["data_types"] = {"grad_accum_dtype": "bf16" if pure else "fp32"}
    return config


def _set_rate(optimizer: Any, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
