"""What a sweep file may say about where things run. None of it identifies a result."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ray_study.settings import Name, Settings


class ModelServing(Settings):
    """What serves one model, where it is to be otherwise than for the rest. What is left out is the section's."""

    gpus_per_replica: int | None = Field(None, ge=1)
    """Tensor parallel size. The section's accelerators hold fewer replicas of a model that takes more of them, and more of one that takes
    fewer."""
    cpus_per_replica: float | None = Field(None, gt=0)
    max_num_seqs: int | None = Field(None, ge=1)
    kv_cache_megabytes: int | None = Field(None, ge=16)
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)

    @property
    def said(self) -> dict[str, int | float]:
        """What it says in place of the section, by key."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


class ServeResources(Settings):
    """What serves a model: replicas of a vLLM engine."""

    replicas: int = Field(1, ge=1)
    """Engines at a time. Those of `evaluate` are parted between the models of the sweep and the judges and reward models that are served
    here; where models are more, they take turns."""
    min_replicas: int | None = Field(None, ge=0)
    """Replicas come and go with the work between this number and `replicas`. Empty: from 0 on GPUs; on CPUs, where an idle engine costs
    nothing, there are always `replicas`."""
    gpus_per_replica: int = Field(0, ge=0)
    """Tensor parallel size on GPUs; 0 serves on the CPU."""
    cpus_per_replica: float = Field(1, gt=0)
    max_num_seqs: int = Field(64, ge=1)
    kv_cache_megabytes: int = Field(512, ge=16)
    """On the CPU only; a GPU takes `gpu_memory_utilization`."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    prefix_caching: bool = True
    """Whether prompts that begin alike share what the engine computed of them."""
    accelerator_type: str | None = None
    tokens_per_second: float | None = Field(None, gt=0)
    """What one replica generates, as you measured it; with it `plan` says hours."""
    by_model: dict[Name, ModelServing] = Field(default_factory=dict)
    """What is otherwise for single models, by their names: tensor parallel where a model needs it."""

    @property
    def comes_and_goes(self) -> bool:
        """Whether there are as many replicas as the work needs, or always the same number."""
        return self.min_replicas is not None or self.gpus_per_replica > 0

    @property
    def idle_replicas(self) -> int:
        """How many replicas there are without work."""
        if self.min_replicas is not None:
            return self.min_replicas
        return 0 if self.comes_and_goes else self.replicas

    @property
    def fewest_replicas(self) -> int:
        """How many replicas the cluster must hold: one at least, or nothing would ever be answered."""
        return max(1, self.idle_replicas)

    def of(self, model: str) -> ServeResources:
        """What serves one model: the section with what it says of this one, and as many replicas as its accelerators hold."""
        said = self.by_model[model].said if model in self.by_model else {}
        each = said.get("gpus_per_replica", self.gpus_per_replica)

        def held(count: int) -> int:
            return int(count * self.gpus_per_replica // each) if each else count

        fewest = None if self.min_replicas is None else held(self.min_replicas)
        return self.model_copy(update={**said, "replicas": held(self.replicas), "min_replicas": fewest, "by_model": {}})

    @model_validator(mode="after")
    def _check(self) -> Self:
        there = self.replicas * self.gpus_per_replica
        for name, own in self.by_model.items():
            if own.gpus_per_replica is not None and own.gpus_per_replica > there:
                raise ValueError(
                    f"by_model.{name}.gpus_per_replica is {own.gpus_per_replica}, but replicas x gpus_per_replica are {there} "
                    "accelerators; raise one of those, or lower it"
                )
        if self.min_replicas is not None and self.min_replicas > self.replicas:
            raise ValueError(f"min_replicas is {self.min_replicas}, more than replicas ({self.replicas}); lower it, or raise replicas")
        return self


class ModelResources(Settings):
    """How the runs of one model are held, where it is to be otherwise than for the rest. What is left out is `training`'s, or chosen."""

    workers: int | None = Field(None, ge=1)
    zero_stage: Literal[0, 1, 2, 3] | None = None
    gradient_checkpointing: bool | None = None
    micro_batch_size: int | None = Field(None, ge=1)
    micro_batch_tokens: int | None = Field(None, ge=8)

    @property
    def held(self) -> dict[str, int | bool]:
        """What it says in place of `training`, by key."""
        return {key: value for key, value in self.model_dump(exclude={"workers"}).items() if value is not None}


class TrainResources(Settings):
    """What trains one run."""

    workers: int | None = Field(None, ge=1)
    """Of each run. Empty: one on the CPU, and on accelerators the fewest over which the run fits by the memory estimate."""
    by_model: dict[Name, ModelResources] = Field(default_factory=dict)
    """What is otherwise for single models of the sweep, by their names."""
    gpus_per_worker: Literal[0, 1] = 0
    cpus_per_worker: float = Field(1, gt=0)
    concurrent_runs: int = Field(1, ge=1)
    max_failures: int = Field(1, ge=0)
    """How often a run goes on from its resume state before it counts as failed. Out of memory is not tried again."""
    resume_every: int | None = Field(None, ge=1)
    """Steps between two resume states, whatever steps are scored; empty: by `resume_seconds`."""
    resume_seconds: float = Field(60.0, ge=0)
    """Least time between two resume states: what a crash costs at most, and what writing them may cost."""
    peak_teraflops: float | None = Field(None, gt=0)
    """What a worker's device does at most in the precision of the runs, 1e12 FLOP/s, for the utilisation that is logged. Empty: what is
    known of an accelerator by its name; nothing on a CPU."""
    accelerator_type: str | None = None


class Resources(Settings):
    """Accelerators, partitioned between the stages. Says where things run, and identifies nothing."""

    num_gpus: int = Field(0, ge=0)
    """Accelerators of the cluster that the study may use."""
    gpu_memory_gigabytes: float = Field(80.0, gt=0)
    generate: ServeResources = ServeResources()
    train: TrainResources = TrainResources()
    evaluate: ServeResources = ServeResources()
    overlap: bool | None = None
    """Score while training. Empty: only where the cluster holds both, by the number of workers that the file says."""

    @property
    def train_gpus(self) -> int:
        """Accelerators that training takes at once; where workers are chosen, at least."""
        workers = max((self.train.workers or 1, *(own.workers or 1 for own in self.train.by_model.values())))
        return workers * self.train.gpus_per_worker * self.train.concurrent_runs

    @property
    def overlaps(self) -> bool:
        """Whether checkpoints are scored while others train: as the file says, else where the cluster holds both.

        Where workers are chosen, they may be as many as the cluster has, so nothing is left for others unless the file says so.
        """
        if self.overlap is not None:
            return self.overlap
        evaluate = self.evaluate.replicas * self.evaluate.gpus_per_replica
        return self.num_gpus > 0 and self.train.workers is not None and self.train_gpus + evaluate <= self.num_gpus

    @property
    def most_workers(self) -> int:
        """The most accelerators that one run may have beside those that train, and score where that is said, at the same time."""
        evaluate = self.evaluate.replicas * self.evaluate.gpus_per_replica if self.overlap else 0
        return max(1, (self.num_gpus - evaluate) // self.train.concurrent_runs)

    @model_validator(mode="after")
    def _check(self) -> Self:
        evaluate = self.evaluate.replicas * self.evaluate.gpus_per_replica
        needs = {
            "generate": self.generate.replicas * self.generate.gpus_per_replica,
            "train": self.train_gpus,
            "evaluate": evaluate,
        }
        if self.overlap:
            needs["train and evaluate together (overlap: true)"] = self.train_gpus + evaluate
        for stage, gpus in needs.items():
            if gpus > self.num_gpus:
                raise ValueError(
                    f"{stage} asks for {gpus} accelerators, but resources.num_gpus is {self.num_gpus}; raise it, or ask for less"
                )
        return self
