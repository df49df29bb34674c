"""What a sweep file may say. A `Study` cannot be built wrong: every key is known, typed and checked against the others.

Literals in the file identify results; what only says *where* something runs (`resources`, `storage`, `tracking`,
`training.micro_batch_size`, ...) never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from ray_study.benchmarks import ProtocolName, written_out

# Named again, since they are part of what a sweep file may say.
from ray_study.judge_settings import Judge as Judge
from ray_study.resources import Resources as Resources
from ray_study.resources import ServeResources as ServeResources
from ray_study.resources import TrainResources as TrainResources
from ray_study.rows import Group, Reads
from ray_study.saving import Checkpoints as Checkpoints
from ray_study.saving import Kept as Kept
from ray_study.saving import Stop as Stop
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
from ray_study.training import Training as Training


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


def _check_point(point: dict[str, Any], swept: dict[str, tuple[Any, ...]]) -> None:
    """Returns where a point of `sweep.points` narrows the sweep's own axes and says nothing that it cannot."""
    for key, value in point.items():
        if key in SCHEDULERS:
            raise ValueError(NO_SCHEDULER.format(key=f"sweep.points.{key}"))
        values = value if isinstance(value, (list, tuple)) else [value]
        if not values:
            raise ValueError(f"points: `{key}` is an empty list; give it a value, or leave it out")
        if any(isinstance(each, dict) for each in values):
            raise ValueError(f"points: `{key}` is a search space, which goes beside `points`; give it values here")
        stray = [each for each in values if each not in swept[key]] if key in swept else []
        if stray:
            raise ValueError(f"points: `{key}` names {stray}, and `sweep.{key}` is {list(swept[key])}; a point takes some of these")


class Sweep(Settings):
    """The grid: every list is an axis, a search space is drawn `num_samples` times, and any key of `training` may be an axis."""

    model_config = ConfigDict(extra="allow")

    model: tuple[Name, ...]
    dataset: tuple[Name, ...]
    seed: tuple[int, ...] = (0,)
    num_samples: int = Field(1, ge=1)
    points: tuple[dict[str, Any], ...] = ()
    """Where the grid is no whole product: each point is a grid of its own, in which the values that it gives take an axis's place."""

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

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        swept = {key: getattr(self, key) for key in AXES}
        for point in self.points:
            _check_point(point, swept)
        for key in AXES if self.points else ():
            left = [value for value in swept[key] if not any(value in point_values(point, key, swept[key]) for point in self.points)]
            if left:
                raise ValueError(f"no point takes {left} of axis `{key}`; add one, or take them out")
        return self


def point_values(point: dict[str, Any], key: str, otherwise: Sequence[Any]) -> list[Any]:
    """The values of an axis at a point of `sweep.points`, or those of the sweep where the point leaves it alone."""
    value = point.get(key, otherwise)
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _named_or_written_out(schema: dict[str, Any]) -> None:
    # A named benchmark is written out before it is checked, so a file need not say these.
    schema.pop("required", None)


class Benchmark(Settings):
    """One exam that every checkpoint sits: written out, or a named one, whose settings give way to the file's."""

    model_config = ConfigDict(json_schema_extra=_named_or_written_out)

    benchmark: str | None = None
    """A named benchmark, such as `gpqa_diamond`; in place of `problems` and `group`. An entry that has its name need not repeat it."""
    protocol: ProtocolName | None = None
    """Of a named benchmark; `evaluation.protocol` where it is empty."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of a named benchmark: options of its source beside its own, such as `path` of a file in its published layout."""
    problems: Name
    group: Group
    num_samples: int = Field(1, ge=1)
    items: Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)] | None = None
    """A seeded subset of so many, nested in larger ones, or the path of a list of ids as the store keeps it; empty takes all."""
    sampling: Sampling | None = None
    """`evaluation.sampling` where it is empty. What a named benchmark's protocol fixes stays where a key is left out."""
    at: Literal["all", "final"] | tuple[int, ...] = "all"
    thinking: bool | None = None
    reads: Reads = "answer"
    """Where the answer is looked for. All but `answer` judge the thinking too, which the benchmark's card says."""
    primary: bool = False
    """Whether all checkpoints sit it before any of them sits the others."""
    metric: str = ""
    """The primary metric; empty takes the one of the answers' kind."""
    judge: tuple[Name, ...] = ()
    """Names of `judges`, in whose place no other verifier judges; the first decides the verdict. Empty: the problems' own kind decides."""
    judge_thought: bool = False
    """Whether the judges are asked about the thinking too, apart from the answer."""
    note: str = ""

    @field_validator("judge", mode="before", json_schema_input_type=Name | tuple[Name, ...])
    @classmethod
    def _one_judge_is_a_list_of_one(cls, value: object) -> object:
        return value if isinstance(value, (list, tuple)) else (value,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.benchmark is None and (self.protocol is not None or self.options):
            raise ValueError("`protocol` and `options` go with a named `benchmark`; found `problems` alone")
        if self.judge_thought and not self.judge:
            raise ValueError("`judge_thought` goes with `judge`; name who judges, or leave it out")
        return self


class Evaluation(Settings):
    """The suite and how it is asked."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["benchmarks"]}, {"required": ["suite"]}]})

    protocol: ProtocolName = "standard"
    """Of named benchmarks: `paper` is what the authors' code does, `standard` the benchmark's own rules."""
    suite: str | None = None
    """A named list of named benchmarks, to which `benchmarks` adds; an entry of the same name changes one of them."""
    benchmarks: dict[Name, Benchmark] = Field(default_factory=dict)
    sampling: Sampling = Sampling(max_tokens=32768)
    shard_size: int = Field(32, ge=1)
    logprobs: bool = True
    """Whether each answer's log-probability is stored. It changes no answer and identifies none: what was answered without it has none."""
    allow_mixed_conditions: bool = False
    """Whether a curve may mix accelerator types, engine builds or batch settings; it is marked either way."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.benchmarks:
            raise ValueError("`benchmarks` is empty; name at least one, or a `suite`")
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
    judges: dict[Name, Judge] = Field(default_factory=dict)
    datasets: dict[Name, Dataset]
    models: dict[Name, Model]
    sweep: Sweep
    training: Training
    checkpoints: Checkpoints
    evaluation: Evaluation
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _no_secrets_and_no_bare_names(cls, value: object) -> object:
        refuse_secrets(value, "")
        return written_out(value)
