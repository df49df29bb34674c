"""What a sweep file may say about judges: models that are asked what an answer is worth."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ray_study.settings import Name, Settings
from ray_study.teaching import Endpoint, Sampling

RubricName = Literal["policy", "truthful", "informative", "refusal", "reward", "truthful_completion", "informative_completion"]
LabelledSet = Literal["refusals", "objectives"]


class Budget(Settings):
    """What a judge behind an endpoint may cost over the whole study, earlier runs of it included."""

    requests: int | None = Field(None, ge=1)
    """Most requests that a provider may bill: those that brought a reply, and those that were sent and brought none."""
    dollars: float | None = Field(None, gt=0)
    """Most money; needs both prices. A request of which nothing came back counts at the most that it can cost."""
    dollars_per_million_input_tokens: float | None = Field(None, ge=0)
    dollars_per_million_output_tokens: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.requests is None and self.dollars is None:
            raise ValueError("a budget says `requests`, `dollars`, or both")
        prices = (self.dollars_per_million_input_tokens, self.dollars_per_million_output_tokens)
        if self.dollars is not None and None in prices:
            raise ValueError(
                "`dollars` needs dollars_per_million_input_tokens and dollars_per_million_output_tokens; set them as your provider says"
            )
        return self

    def dollars_of(self, input_tokens: int, output_tokens: int) -> float:
        """What a request costs; 0 where no prices are given."""
        into, out = self.dollars_per_million_input_tokens or 0.0, self.dollars_per_million_output_tokens or 0.0
        return (input_tokens * into + output_tokens * out) / 1e6


class JudgeSampling(Sampling):
    """How a judge is asked: always at temperature 0, so that a reply that is stored is the reply."""

    temperature: float = Field(0.0, ge=0.0, le=0.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    top_k: int = Field(0, ge=0)
    """0 means all of the vocabulary."""
    max_tokens: int = Field(1024, ge=1)
    """Most new tokens of a judge's reply; one that is cut is a failure of the judge."""


class Judge(Settings):
    """Who judges, and by which rubric: a model that is served as teachers and students are, or a server elsewhere."""

    model: Name | None = None
    """The name of an entry of `models`; it is served on `resources.evaluate`."""
    endpoint: Endpoint | None = None
    """An OpenAI-compatible server."""
    rubric: RubricName
    """`policy`: five levels of compliance; `truthful`, `informative`, `refusal`: yes or no; `reward`: the score of a reward model;
    `truthful_completion`, `informative_completion`: TruthfulQA's fine-tuned judges, which complete a text (`max_tokens: 16`); a
    server is asked at `/completions`, and a chat template is neither needed nor used."""
    sampling: JudgeSampling = JudgeSampling()
    thinking: bool | None = None
    """Passed to the chat template as `enable_thinking` where it is set."""
    budget: Budget | None = None
    """For an endpoint; empty has no limit."""
    most_characters: int = Field(60_000, ge=100)
    """Of an attempt, in the judge's prompt: what is beyond is cut, and the prompt says so. A judge that completes texts and is served here
    is shown as many tokens of its own as it has room for."""
    validate_on: tuple[LabelledSet, ...] = ()
    """Sets with labels by people: the judge is asked them first, and its error rates correct the shares that it measures. `refusals` suits
    the rubrics refusal and policy, `objectives` (was what the request was after achieved?) the policy rubric."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.model is None) == (self.endpoint is None):
            raise ValueError("a judge has either a `model`, an entry of `models`, or an `endpoint`")
        if self.rubric == "reward" and self.model is None:
            raise ValueError("`rubric: reward` reads a reward model's score, which chat completions do not give; name a `model`")
        if self.budget is not None and self.endpoint is None:
            raise ValueError("`budget` goes with `endpoint`; a model that is served here costs no money")
        suited = {"policy": {"refusals", "objectives"}, "refusal": {"refusals"}}.get(self.rubric, set())
        if strays := [name for name in self.validate_on if name not in suited]:
            raise ValueError(
                f"validate_on {strays} has no labels for the rubric {self.rubric}; it can be validated on {sorted(suited) or 'none'}"
            )
        return self
