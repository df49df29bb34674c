"""What a sweep file may say about training data: problems, who answers them, and which answers become examples."""

from __future__ import annotations

import re
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ray_study.settings import Name, Settings

PENALTIES = ("presence_penalty", "frequency_penalty")


class Sampling(Settings):
    """How a model is asked. The defaults are the study's teacher (temperature 0.6, top-p 0.95, top-k 20, 16,384 tokens)."""

    temperature: float = Field(0.6, ge=0.0, le=2.0)
    top_p: float = Field(0.95, gt=0.0, le=1.0)
    top_k: int = Field(20, ge=0)
    """0 means all of the vocabulary."""
    min_p: float = Field(0.0, ge=0.0, le=1.0)
    presence_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    """Taken off the logit of each token that the answer holds already."""
    frequency_penalty: float = Field(0.0, ge=-2.0, le=2.0)
    """The same, once for each time that it stands there."""
    max_tokens: int = Field(16384, ge=1)
    """Most new tokens; clipped for each item to the model's positions, and stored as that attempt's cap."""

    @model_serializer(mode="wrap")
    def _without_penalties_of_zero(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was answered before there were penalties was answered without any: it keeps its identity.
        return {key: value for key, value in written(self).items() if value or key not in PENALTIES}


class Problems(Settings):
    """Where a set of problems comes from."""

    source: str
    """A source's name, such as `arithmetic`, `math500` or `hub`; `ray_study.problems.SOURCES` names them all."""
    num_problems: int | None = Field(None, ge=1)
    """Empty takes the whole set; procedural sources need a number."""
    seed: int = 0
    drop_unjudgeable: bool = False
    """Whether problems whose gold answer no verifier can read are left out and counted; otherwise they stop the set by name."""
    options: dict[str, Any] = Field(default_factory=dict)


class WorkedExample(Settings):
    """A question and answer that a teacher is shown before the problem, as earlier turns."""

    prompt: str
    response: str


class Endpoint(Settings):
    """An OpenAI-compatible server that answers chat completions; where it stands does not identify what it says, its model does."""

    url: str = Field(pattern=r"^https?://")
    """Up to and with `/v1`."""
    model: str = Field(min_length=1)
    key_from: str | None = Field(None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """The environment variable that holds the key; it is read by the driver, sent to the server and written nowhere."""
    requests_at_once: int = Field(16, ge=1)
    timeout_seconds: float = Field(600, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.url)
        secret = [name for name, _ in parse_qsl(parts.query) if re.search(r"key|token|secret|sig|auth|passw", name, re.IGNORECASE)]
        if secret or "@" in parts.netloc:
            raise ValueError(
                "endpoint.url carries a credential; take it out, put it into an environment variable and name that in `key_from`"
            )
        return self

    @property
    def public_url(self) -> str:
        """The address as it may be shown: without user, password and query."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


class Recorded(Settings):
    """Attempts that somebody made before: a data set of the Hub or a local file, whose rows are matched to problems by their prompt."""

    read: Literal["hub", "jsonl", "parquet"]
    name: str
    """The Hub's `owner/name`, or a local path."""
    revision: str | None = None
    subset: str | None = None
    split: str = "train"
    columns: dict[str, str] = Field(default_factory=lambda: {"prompt": "question", "response": "response"})
    """The columns of `prompt` (text, or turns of which the last user's counts) and `response` (a text, assistant's turns, or a list of
    texts: several attempts); `num_tokens` and `finish_reason` where the file has them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = {"prompt", "response", "num_tokens", "finish_reason"}
        if not {"prompt", "response"} <= set(self.columns) <= known:
            raise ValueError(
                f"columns must name `prompt` and `response` and may name num_tokens and finish_reason, found {sorted(self.columns)}"
            )
        return self


class Teacher(Settings):
    """Who answers problems to make training data.

    A model asked through vLLM, a server asked through its endpoint, the exact solver or written solution of a source, or attempts
    recorded elsewhere.
    """

    by: Literal["vllm", "endpoint", "solver", "recorded"]
    model: Name | None = None
    """The name of an entry of `models`; required for `by: vllm`."""
    endpoint: Endpoint | None = None
    recorded: Recorded | None = None
    num_attempts: int = Field(1, ge=1)
    """At each problem; in each round where `until_correct` is set."""
    until_correct: int | None = Field(None, ge=1)
    """Ask in rounds, and stop asking about a problem once it has this many correct attempts."""
    at_most: int | None = Field(None, ge=1)
    """Most attempts at a problem over all rounds; required with `until_correct`."""
    sampling: Sampling = Sampling()
    thinking: bool | None = None
    """Passed to the chat template as `enable_thinking` where it is set."""
    prompt_template: str | None = None
    """What the teacher is asked, with `{prompt}` where the problem stands; the student's prompt stays the problem's own."""
    worked_examples: tuple[WorkedExample, ...] = ()
    shard_size: int = Field(32, ge=1)
    """Prompts in one request to the pool; what a lost replica costs."""

    @property
    def most_attempts(self) -> int:
        """Most attempts at one problem."""
        return self.at_most or self.num_attempts

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, by in (("model", "vllm"), ("endpoint", "endpoint"), ("recorded", "recorded")):
            if (getattr(self, key) is not None) != (self.by == by):
                hint = "name an entry of `models`, as in `model: smollm2-135m`" if key == "model" else f"`{key}` goes with `by: {by}`"
                raise ValueError(f"found `by: {self.by}` {'without' if self.by == by else 'with'} `{key}`; {hint}")
        asks = self.by in ("vllm", "endpoint")
        if not asks and (self.num_attempts != 1 or self.worked_examples or self.until_correct or self.prompt_template):
            what = "the solver writes one solution a problem" if self.by == "solver" else "recorded attempts are taken as they are"
            raise ValueError(f"{what}: leave out num_attempts, until_correct, worked_examples and prompt_template")
        if self.most_attempts > 1 and self.sampling.temperature == 0:
            raise ValueError(
                f"num_attempts={self.most_attempts} with temperature=0 repeats one answer; set num_attempts: 1, or a temperature above 0"
            )
        self._check_rounds()
        if self.prompt_template is not None and self.prompt_template.count("{prompt}") != 1:
            raise ValueError(f"prompt_template must hold {{prompt}} once, found {self.prompt_template[:80]!r}")
        return self

    def _check_rounds(self) -> None:
        if (self.until_correct is None) != (self.at_most is None):
            raise ValueError("`until_correct` and `at_most` go together, as in `until_correct: 1, at_most: 32`")
        if self.at_most is not None and self.until_correct is not None and self.at_most < max(self.num_attempts, self.until_correct):
            raise ValueError(
                f"at_most={self.at_most} is below num_attempts={self.num_attempts} or until_correct={self.until_correct}; raise it"
            )


class Select(Settings):
    """Which attempts become examples."""

    arm: Literal["verified", "unverified", "wrong"] = "verified"
    """`verified`: correct attempts. `unverified`: any that finished, whatever the verdict. `wrong`: only those judged wrong."""
    policy: Literal["random", "shortest", "longest", "first"] = "random"
    per_problem: int = Field(1, ge=1)
    num_examples: int | None = Field(None, ge=1)
    """Empty takes all that there are; a number that cannot be met stops the data set with the counts."""
    min_tokens: int | None = Field(None, ge=1)
    """Fewest tokens of a response; counted by the teacher, or by `tokens_by` of the data set."""
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    """Empty takes the study's; sets with the same seed are nested."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_tokens is not None and self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} is above max_tokens={self.max_tokens}; no response has both")
        return self


class Decontaminate(Settings):
    """What counts as a problem that stands in a benchmark of the study; such problems are taken out of the data set and listed."""

    ngram: int = Field(13, ge=5)
    """Words in a shared run. 8 is far too eager on templated mathematics."""
    similarity: float | None = Field(0.8, gt=0.3, le=1)
    """Least estimated Jaccard similarity (MinHash over runs of 5 words) of a near duplicate with equal numbers; empty looks for none."""
    remove: bool = True
    """False lists what overlaps and keeps it: for a set that is to stay as it was published."""


class Dataset(Settings):
    """Training examples: made from problems by a teacher, or read ready-made."""

    problems: Name | None = None
    teacher: Name | None = None
    select: Select = Select()
    transform: Literal["none", "drop_thinking", "answer_only", "human_solution"] = "none"
    """The form of a response. `human_solution` puts the problem's written solution in its place."""
    truncate_thinking: int | None = Field(None, ge=1)
    """A transform as well: the thinking ends after so many tokens; the summary and the answer follow it."""
    decontaminate: Decontaminate = Decontaminate()
    tokens_by: Name | None = None
    """The model whose tokenizer counts and cuts responses; needed where the teacher has none (solver, recorded, read)."""
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
        if self.truncate_thinking is not None and self.transform != "none":
            raise ValueError(f"found both truncate_thinking and transform: {self.transform}; a data set has one form")
        if self.read is not None and self.transform == "human_solution":
            raise ValueError("transform: human_solution needs `problems` with written solutions; a data set that is read has none")
        if self.read is not None and set(self.columns) != {"prompt", "response"}:
            raise ValueError(f"columns must name `prompt` and `response`, found {sorted(self.columns)}")
        return self
