"""How a student learns: the settings of one run, each a switch of its own, and the recipes that set them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ray_study.saving import Stop
from ray_study.settings import Settings

Recipe = Literal["standard", "paper_faithful"]

PAPER_FAITHFUL: Mapping[str, Any] = {
    "batch_size": 256,
    "learning_rate": 5e-5,
    "schedule": "cosine",
    "warmup_share": 0.1,
    "schedule_from": 0,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "non_finite": "skip",
    "max_length": 20000,
    "over_long": "truncate",
    "end_token": "tokenizer",
    "shuffle": False,
    "precision": "bf16",
    "master_weights": "bf16",
    "loss_aggregation": "micro_batch_token_mean",
    "layout_workers": 8,
    "layout_rows": 4,
}
"""What the study's trainer does, read from its code (github.com/Nebularaid2000/rethink_sft_generalization at 3378e2b,
`verl/trainer/fsdp_sft_trainer_ours.py`, `verl/utils/dataset/sft_dataset.py`, `training_scripts/`)."""


class Training(Settings):
    """How a student learns. The defaults are the study's recipe with an exact loss and fp32 master weights."""

    recipe: Recipe = "standard"
    """Sets defaults, and a key that is given beside it wins. `paper_faithful` does all that the study's own trainer does."""
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    """Exactly one of `epochs` and `steps`."""
    batch_size: int = Field(256, ge=1)
    """Rows in one optimizer step, over all workers."""
    learning_rate: float = Field(5e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: float = Field(0.1, ge=0, le=1)
    """Share of all steps during which the learning rate rises linearly from 0; constant runs warm up too."""
    schedule_from: Literal[0, 1] = 1
    """The time at which the first step takes its learning rate. PyTorch's usual schedulers count from 0, so that the first step of a
    warm-up has a rate of 0 and moves nothing."""
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this norm over all parameters and workers."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What a loss or gradient norm that is no number does: ends the run, or leaves out the step."""
    max_length: int = Field(20000, ge=8)
    """Most tokens of prompt and response together."""
    over_long: Literal["drop", "truncate"] = "drop"
    """What happens to rows over `max_length`; a truncated row has no end token to learn from. The number is recorded."""
    end_token: Literal["tokenizer", "template"] = "tokenizer"
    """What closes a response: the tokenizer's own EOS, or the token that the chat template ends a turn with. Evaluation stops at both."""
    shuffle: bool = True
    """Another order each epoch, from the run's seed."""
    held_out: int = Field(0, ge=0)
    """Examples of the data set that the run never learns from; its loss on them is measured at each checkpoint. Whole problems are taken in
    the order of a hash of their ids until there are so many. None by default, since the study learns from every row."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the forward and backward pass."""
    master_weights: Literal["fp32", "bf16"] = "fp32"
    """Of the weights that the optimizer moves, their gradients and moments; `bf16` keeps no fp32 copy of anything."""
    loss_aggregation: Literal["token_mean", "micro_batch_token_mean"] = "token_mean"
    """How tokens' losses become one: their mean over the batch, or their mean in each micro-batch of the stated layout, summed over a
    worker's micro-batches and averaged over workers."""
    layout_workers: int = Field(8, ge=1)
    """Workers of the layout that `micro_batch_token_mean` is computed for, whatever the real one is."""
    layout_rows: int = Field(4, ge=1)
    """Rows in a micro-batch of that layout."""
    gradient_checkpointing: bool = False
    engine: Literal["torch", "deepspeed"] = "torch"
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed splits over the workers: 1 the optimizer's part, 2 gradients too, 3 weights too."""
    micro_batch_size: int = Field(4, ge=1)
    """Rows that one worker holds at once where they are padded. Neither this, nor `zero_stage`, nor `gradient_checkpointing` changes the
    gradient, so none of them identifies a run, and where accelerators train, those that are left out are chosen so that the run fits."""
    packing: bool = True
    """Rows one after the other without padding, none seeing another; they are padded all the same where a model cannot take them so.
    Does not identify a run."""
    micro_batch_tokens: int | None = Field(None, ge=8)
    """Tokens that one worker holds at once where rows are packed, or as many as the longest row of the step has; does not identify a
    run. Empty takes as many as `micro_batch_size` rows of `max_length` have."""

    stop: Stop = Stop()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key, value in recipe_settings(self.recipe).items():
            if key not in self.model_fields_set:
                # Past pydantic, which would count the key as one that the file gives.
                self.__dict__[key] = value
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            found = "both" if self.epochs is not None else "neither"
            raise ValueError(f"expected exactly one of `epochs` and `steps`, found {found}")
        if self.engine == "torch" and self.zero_stage != 0:
            raise ValueError(f"zero_stage={self.zero_stage} needs `engine: deepspeed`")
        if self.precision == "fp32" and self.master_weights == "bf16":
            raise ValueError("master_weights: bf16 with precision: fp32 computes in more than it keeps; set precision: bf16")
        at_once = self.layout_workers * self.layout_rows
        if self.loss_aggregation == "micro_batch_token_mean" and self.batch_size % at_once:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of the {at_once} rows that the layout of `micro_batch_token_mean` holds at "
                f"once (layout_workers {self.layout_workers} x layout_rows {self.layout_rows}); change one of the three"
            )
        return self

    @property
    def tokens_at_once(self) -> int:
        """Most tokens of a micro-batch, padding included."""
        if self.packing and self.micro_batch_tokens is not None:
            return max(self.micro_batch_tokens, self.max_length)
        return self.micro_batch_size * self.max_length


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """The value of every key that a recipe sets."""
    if recipe == "paper_faithful":
        return dict(PAPER_FAITHFUL)
    return {key: Training.model_fields[key].default for key in PAPER_FAITHFUL}


def recipe_differences(training: Training) -> list[tuple[str, Any, Any]]:
    """The switches in which a run differs from the recipe that it does not use: key, value here, value there."""
    there = recipe_settings("standard" if training.recipe == "paper_faithful" else "paper_faithful")
    own = recipe_settings(training.recipe)
    return [(key, getattr(training, key), value) for key, value in there.items() if getattr(training, key) != value and own[key] != value]


def set_beside(training: Training) -> list[tuple[str, Any, Any]]:
    """What of a recipe's settings a run has otherwise: key, value here, the recipe's value."""
    own = recipe_settings(training.recipe)
    return [(key, getattr(training, key), value) for key, value in own.items() if getattr(training, key) != value]
