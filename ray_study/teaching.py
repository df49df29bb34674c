"""What a sweep file may say about training data: problems, who answers them, and which answers become examples."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ray_study.settings import Name, Settings


class Sampling(Settings):
    """How a model is asked. The defaults are the study's teacher (temperature 0.6, top-p 0.95, top-k 20, 16,384 tokens)."""

    temperature: float = Field(0.6, ge=0.0, le=2.0)
    top_p: float = Field(0.95, gt=0.0, le=1.0)
    top_k: int = Field(20, ge=0)
    """0 means all of the vocabulary."""
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    max_tokens: int = Field(16384, ge=1)
    """Most new tokens; clipped for each item to the model's positions, and stored as that attempt's cap."""


class Problems(Settings):
    """Where a set of problems comes from."""

    source: str
    """A source's name, such as `arithmetic`, `math500` or `hub`; `ray_study.problems.SOURCES` names them all."""
    num_problems: int | None = Field(None, ge=1)
    """Empty takes the whole set; procedural sources need a number."""
    seed: int = 0
    options: dict[str, Any] = Field(default_factory=dict)


class WorkedExample(Settings):
    """A question and answer that a teacher is shown before the problem, as earlier turns."""

    prompt: str
    response: str


class Teacher(Settings):
    """Who answers problems to make training data: a model asked through vLLM, or the exact solver of a procedural source."""

    by: Literal["vllm", "solver"]
    model: Name | None = None
    """The name of an entry of `models`; required for `by: vllm`."""
    num_attempts: int = Field(1, ge=1)
    sampling: Sampling = Sampling()
    thinking: bool | None = None
    """Passed to the chat template as `enable_thinking` where it is set."""
    worked_examples: tuple[WorkedExample, ...] = ()
    shard_size: int = Field(32, ge=1)
    """Prompts in one request to the pool; what a lost replica costs."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.by == "vllm" and self.model is None:
            raise ValueError("found `by: vllm` without a model; name an entry of `models`, as in `model: smollm2-135m`")
        if self.by == "solver" and (self.model is not None or self.num_attempts != 1 or self.worked_examples):
            raise ValueError("the solver writes one solution a problem: leave out model, num_attempts and worked_examples")
        if self.num_attempts > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"num_attempts={self.num_attempts} with temperature=0 repeats one answer; set num_attempts: 1, or a temperature above 0"
            )
        return self


class Select(Settings):
    """Which correct attempts become examples."""

    policy: Literal["random", "shortest", "longest", "first"] = "random"
    per_problem: int = Field(1, ge=1)
    num_examples: int | None = Field(None, ge=1)
    """Empty takes all that there are; a number that cannot be met stops the data set with the counts."""


class Dataset(Settings):
    """Training examples: made from problems by a teacher, or read ready-made."""

    problems: Name | None = None
    teacher: Name | None = None
    select: Select = Select()
    transform: Literal["none", "drop_thinking", "answer_only"] = "none"
    read: Literal["hub", "jsonl", "parquet"] | None = None
    name: str | None = None
    """For `read`: the Hub's `owner/name`, or a local path."""
    revision: str | None = None
    split: str = "train"
    columns: dict[str, str] = Field(default_factory=lambda: {"prompt": "prompt", "response": "response"})
    """For `read`: which column is the prompt (text, or a list with one user turn) and which the response."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        made = self.problems is not None and self.teacher is not None
        if self.read is None and not made:
            raise ValueError("expected either `problems` and `teacher`, or `read` and `name`")
        if self.read is not None and (self.problems is not None or self.teacher is not None):
            raise ValueError("found both `read` and `problems`/`teacher`; a data set is either read or made")
        if self.read is not None and self.name is None:
            raise ValueError("`read` needs a `name`: the Hub's owner/name, or a local path")
        if self.read is not None and set(self.columns) != {"prompt", "response"}:
            raise ValueError(f"columns must name `prompt` and `response`, found {sorted(self.columns)}")
        return self
