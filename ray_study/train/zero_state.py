"""What DeepSpeed's optimizers hold, as pieces of parameters: each worker keeps its own, and any number of workers takes them up.

The form is our own, since DeepSpeed's checkpoints (Universal Checkpointing among them) are read back with `weights_only=False`,
which runs whatever code a file holds. A piece says which elements of which parameter it is, so it does not matter who held it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Elements `start` to `start + length` of a flattened parameter, as the optimizer holds them."""

    name: str
    start: int
    length: int
    flat: torch.Tensor
    """What the optimizer steps, and the key of its state: a partition of many parameters, or a parameter."""
    offset: int
    """Where in `flat` the piece begins."""

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The piece in `flat`, or in a moment of its shape: a view of shape [length]."""
        return tensor.detach().view(-1).narrow(0, self.offset, self.length)


def read(optimizer: Any, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Any]:
    """This worker's pieces by parameter, as views: master weights, moments and the number of steps.

    Args:
        optimizer: what `deepspeed.initialize` made around an AdamW that has stepped.
        parameters: of the model, by name.
    """
    moments = _inner(optimizer).state
    kept: dict[str, Any] = {}
    num_steps = None
    for piece in _pieces(optimizer, parameters):
        state = moments[piece.flat]
        num_steps = state["step"]
        kept[piece.name] = {
            "start": piece.start,
            "weights": piece.of(piece.flat),
            **{name: piece.of(state[name]) for name in MOMENTS},
        }
    return {"pieces": kept, "num_steps": num_steps}


def write(optimizer: Any, parameters: Mapping[str, torch.nn.Parameter], states: Sequence[Mapping[str, Any]]) -> None:
    """Puts the pieces of all workers that `read` them, however many they were, into this worker's optimizer and model.

    Every worker must call it.

    Raises:
        ValueError: the states do not hold every element that this worker needs.
    """
    inner = _inner(optimizer)
    num_steps = next(state["num_steps"] for state in states if state["num_steps"] is not None)
    for piece in _pieces(optimizer, parameters):
        state = inner.state[piece.flat]
        if not state:
            state["step"] = num_steps.clone().to(piece.flat.device)
            state.update({name: torch.zeros_like(piece.flat) for name in MOMENTS})
        targets = {"weights": piece.of(piece.flat), **{name: piece.of(state[name]) for name in MOMENTS}}
        num_found = sum(_copy(targets, piece, kept["pieces"].get(piece.name)) for kept in states)
        if num_found != piece.length:
            raise ValueError(
                f"the resume state holds {num_found} of the {piece.length} elements of {piece.name} that this worker needs; delete "
                "the run's `resume` directory to start it again"
            )
    _refresh(optimizer)


def _copy(targets: Mapping[str, torch.Tensor], piece: _Piece, kept: Mapping[str, Any] | None) -> int:
    """How many elements of a piece were copied from one that was kept."""
    if kept is None:
        return 0
    begin = max(piece.start, kept["start"])
    length: int = min(piece.start + piece.length, kept["start"] + kept["weights"].numel()) - begin
    if length <= 0:
        return 0
    for name, target in targets.items():
        target.narrow(0, begin - piece.start, length).copy_(kept[name].narrow(0, begin - kept["start"], length))
    return length


def _inner(optimizer: Any) -> torch.optim.Optimizer:
    found = optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer.optimizer
    assert isinstance(found, torch.optim.Optimizer), type(found)
    return found


def _pieces(optimizer: Any, parameters: Mapping[str, torch.nn.Parameter]) -> Iterator[_Piece]:
    """What this worker holds: whole parameters without ZeRO, one partition of each with stage 3, else what lies in its partition."""
    for name, parameter in parameters.items():
        if optimizer is _inner(optimizer):
            yield _Piece(name=name, start=0, length=parameter.numel(), flat=parameter, offset=0)
        elif hasattr(parameter, "ds_id"):
            yield from _of_stage_3(optimizer, name, parameter)
        elif parameter._hp_mapping is not None:  # type: ignore[attr-defined]
            mapping: Any = parameter._hp_mapping  # type: ignore[attr-defined]
            held, place = mapping.lp_fragment_address, mapping.hp_fragment_address
            flat = _flats(optimizer)[mapping.param_group_index]
            yield _Piece(name=name, start=held.start, length=held.numel, flat=flat, offset=place.start)


def _of_stage_3(optimizer: Any, name: str, parameter: Any) -> Iterator[_Piece]:
    """The worker's equal share of a parameter, without the padding that the last ones have; nothing where it is all padding."""
    group, offset, size = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = size * torch.distributed.get_rank(parameter.ds_process_group)
    length = min(size, parameter.ds_numel - start)
    if length > 0:
        yield _Piece(name=name, start=start, length=length, flat=optimizer.fp32_partitioned_groups_flat[group], offset=offset)


def _flats(optimizer: Any) -> Sequence[torch.Tensor]:
    """The partitions that stages 1 and 2 step; their bf16 form with fp32 gradients is another class with another name for them."""
    found = getattr(optimizer, "single_partition_of_fp32_groups", None)
    return optimizer.fp32_groups_flat_partition if found is None else found  # type: ignore[no-any-return]


def _refresh(optimizer: Any) -> None:
    """Makes the weights that the model computes with from the masters, over all workers."""
    if hasattr(optimizer, "update_lp_params"):
        optimizer.update_lp_params()
    elif hasattr(optimizer, "fp32_partitioned_groups_flat"):
        # Small parameters stay gathered between steps: they are given up first, and gathered again from what was loaded.
        optimizer.checkpoint_event_prologue()
        for group in range(len(optimizer.fp32_partitioned_groups_flat)):
            optimizer._reassign_or_swap_out_partitioned_parameters(group)
        optimizer.checkpoint_event_epilogue()
