"""What a sweep file may say. A `Study` cannot be built wrong: every key is known, typed and checked against the others.

Literals in the file identify results; what only says *where* something runs (`resources`, `storage`, `tracking`,
`training.micro_batch_size`, ...) never does.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

# Named again, since they are part of what a sweep file may say.
from ray_study.resources import Resources as Resources
from ray_study.resources import ServeResources as ServeResources
from ray_study.resources import TrainResources as TrainResources
from ray_study.rows import Group
from ray_study.settings import Name, Settings, explain, refuse_secrets
from ray_study.teaching import Dataset as Dataset
from ray_study.teaching import Decontaminate as Decontaminate
from ray_study.teaching import Endpoint as Endpoint
from ray_study.teaching import Problems as Problems
from ray_study.teaching import Recorded as Recorded
from ray_study.teaching import Sampling as Sampling
from ray_study.teaching import Select as Select
from ray_study.teaching import Teacher as Teacher
from ray_study.teaching import WorkedExample as WorkedExample


class Training(Settings):
    """How a student learns. The defaults are the study's recipe with an exact loss and fp32 master weights."""

    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    """Exactly one of `epochs` and `steps`."""
    batch_size: int = Field(256, ge=1)
    """Rows in one optimizer step, over all workers."""
    learning_rate: float = Field(5e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: float = Field(0.1, ge=0, le=1)
    """Share of all steps during which the learning rate rises linearly from 0; constant runs warm up too."""
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int = Field(20000, ge=8)
    """Most tokens of prompt and response together."""
    over_long: Literal["drop", "truncate"] = "drop"
    """What happens to rows over `max_length`; a truncated row has no end token to learn from. The number is recorded."""
    shuffle: bool = True
    """Another order each epoch, from the run's seed."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the forward and backward pass."""
    master_weights: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    engine: Literal["torch", "deepspeed"] = "torch"
    zero_stage: Literal[0, 1, 2, 3] = 0
    micro_batch_size: int = Field(4, ge=1)
    """Rows that one worker holds at once where they are padded; never changes the gradient, so it does not identify a run."""
    packing: bool = True
    """Rows one after the other, none seeing another, where a model can take them so; does not identify a run."""
    micro_batch_tokens: int | None = Field(None, ge=8)
    """Tokens that one worker holds at once where rows are packed; empty takes `micro_batch_size` rows of `max_length`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            found = "both" if self.epochs is not None else "neither"
            raise ValueError(f"expected exactly one of `epochs` and `steps`, found {found}")
        if self.engine == "torch" and self.zero_stage != 0:
            raise ValueError(f"zero_stage={self.zero_stage} needs `engine: deepspeed`")
        if self.precision == "fp32" and self.master_weights == "bf16":
            raise ValueError("master_weights: bf16 with precision: fp32 computes in more than it keeps; set precision: bf16")
        return self

    @property
    def tokens_at_once(self) -> int:
        """Most tokens of a micro-batch, padding included."""
        budget = self.micro_batch_tokens if self.packing else None
        return self.micro_batch_size * self.max_length if budget is None else max(budget, self.max_length)


class Scratch(Settings):
    """A small Qwen3-architecture model with random weights and a byte-level tokenizer."""

    hidden_size: int = Field(128, ge=32)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    head_size: Literal[32, 64, 128] = 32
    intermediate_size: int = Field(384, ge=32)
    positions: int = Field(512, ge=32)
    seed: int = 0


class Pretrain(Settings):
    """One ordinary run before the grid, whose last checkpoint is step 0 of every SFT run of the model."""

    dataset: Name
    training: Training
    seed: int = 0


class Model(Settings):
    """A student or a teacher: exactly one of `hub`, `path`, `asset` and `scratch` says where its weights come from."""

    hub: str | None = None
    revision: str | None = None
    path: str | None = None
    asset: str | None = None
    scratch: Scratch | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """In which checkpoints are saved and served."""
    max_model_len: int | None = Field(None, ge=16)
    """Positions that the server keeps; the model's own where it is empty."""
    trust_remote_code: bool = False
    pretrain: Pretrain | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key in ("hub", "path", "asset", "scratch") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of hub, path, asset and scratch, found {given or 'none'}")
        if self.revision is not None and self.hub is None:
            raise ValueError("`revision` goes with `hub`")
        return self


AXES = ("model", "dataset", "seed")
SCHEDULERS = ("scheduler", "stopper", "early_stopping")
"""Refused with the reason, wherever a sweep file has them."""

NO_SCHEDULER = (
    "`{key}` is refused: stopping runs on an evaluation score (ASHA, median stopping) kills them at the dip, which is "
    "the phenomenon under study; leave it out"
)


class SearchSpace(Settings):
    """A sampled axis, drawn in the driver from the study's seed before Tune starts: exactly one of the keys."""

    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    choice: tuple[Any, ...] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key in ("uniform", "loguniform", "choice") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of uniform, loguniform and choice, found {given or 'none'}")
        bounds = self.uniform or self.loguniform
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"expected [low, high] with low < high, found {list(bounds)}")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform needs bounds above 0, found {list(self.loguniform)}")
        return self


def _check_axis(key: str, value: object) -> None:
    if isinstance(value, list) and not value:
        raise ValueError(f"axis `{key}` is an empty list; give it a value, or leave it out")
    if isinstance(value, dict):
        try:
            SearchSpace.model_validate(value)
        except ValidationError as error:
            raise ValueError(f"axis `{key}`: {explain(error, ', '.join(SearchSpace.model_fields))}") from error


class Sweep(Settings):
    """The grid: every list is an axis, a search space is drawn `num_samples` times, and any key of `training` may be an axis."""

    model_config = ConfigDict(extra="allow")

    model: tuple[Name, ...]
    dataset: tuple[Name, ...]
    seed: tuple[int, ...] = (0,)
    num_samples: int = Field(1, ge=1)

    @field_validator("model", "dataset", mode="before", json_schema_input_type=Name | tuple[Name, ...])
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        return value if isinstance(value, (list, tuple)) else (value,)

    @field_validator("seed", mode="before", json_schema_input_type=int | tuple[int, ...])
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return value if isinstance(value, (list, tuple)) else (value,)

    @property
    def training_axes(self) -> dict[str, Any]:
        """The further axes, as the file has them: a list, a search space's mapping, or one value."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in SCHEDULERS:
            if key in self.training_axes:
                raise ValueError(NO_SCHEDULER.format(key=f"sweep.{key}"))
        for key, value in self.training_axes.items():
            _check_axis(key, value)
        for key in AXES:
            values = getattr(self, key)
            if len(set(values)) != len(values) or not values:
                raise ValueError(f"axis `{key}` needs one or more different values, found {list(values)}")
        return self


class Checkpoints(Settings):
    """At which steps a run is saved and scored; step 0, the base model itself, always is, and so is the last step."""

    steps: tuple[int, ...] | None = None
    every: int | None = Field(None, ge=1)
    log_spaced: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key in ("steps", "every", "log_spaced") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of steps, every and log_spaced, found {given or 'none'}")
        if self.steps is not None and (list(self.steps) != sorted(set(self.steps)) or not self.steps or self.steps[0] < 1):
            raise ValueError(f"steps must rise from 1 or above (step 0 is always there), found {list(self.steps)}")
        return self

    def at(self, last: int) -> tuple[int, ...]:
        """The saved steps of a run of `last` steps, without step 0 and always with the last one.

        Raises:
            ValueError: a named step lies after the last one.
        """
        if self.steps is not None:
            beyond = [step for step in self.steps if step > last]
            if beyond:
                raise ValueError(f"checkpoints.steps names {beyond}, but a run has only {last} steps; leave them out or train longer")
            return tuple(sorted({*self.steps, last}))
        if self.every is not None:
            return tuple(sorted({*range(self.every, last + 1, self.every), last}))
        number = min(self.log_spaced or 1, last)
        spaced = {max(1, round(last ** (index / number))) for index in range(1, number + 1)}
        return tuple(sorted({*spaced, last}))


class Benchmark(Settings):
    """One exam that every checkpoint sits."""

    problems: Name
    group: Group
    num_samples: int = Field(1, ge=1)
    items: int | None = Field(None, ge=1)
    """A seeded subset, nested in larger ones; empty takes all."""
    sampling: Sampling | None = None
    """`evaluation.sampling` where it is empty."""
    at: Literal["all", "final"] | tuple[int, ...] = "all"
    thinking: bool | None = None
    note: str = ""


class Evaluation(Settings):
    """The suite and how it is asked."""

    benchmarks: dict[Name, Benchmark]
    sampling: Sampling = Sampling(max_tokens=32768)
    shard_size: int = Field(32, ge=1)
    allow_mixed_conditions: bool = False
    """Whether a curve may mix accelerator types, engine builds or batch settings; it is marked either way."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.benchmarks:
            raise ValueError("`benchmarks` is empty; name at least one")
        for name, benchmark in self.benchmarks.items():
            sampling = benchmark.sampling or self.sampling
            if benchmark.num_samples > 1 and sampling.temperature == 0:
                raise ValueError(f"benchmark {name!r}: num_samples={benchmark.num_samples} with temperature=0 repeats one answer")
        return self


class Study(Settings):
    """A whole sweep file."""

    name: Name
    question: str
    storage: str = "results"
    tracking: str | None = None
    """An MLflow tracking URI; empty keeps a SQLite file in the store."""
    seed: int = 0
    problems: dict[Name, Problems] = Field(default_factory=dict)
    teachers: dict[Name, Teacher] = Field(default_factory=dict)
    datasets: dict[Name, Dataset]
    models: dict[Name, Model]
    sweep: Sweep
    training: Training
    checkpoints: Checkpoints
    evaluation: Evaluation
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, value: object) -> object:
        refuse_secrets(value, "")
        return value
