"""Problems as shards of requests, and replies as attempts: what is asked, with which seed and cap. Pure, no cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ray_study.config import Sampling, WorkedExample
from ray_study.manifests import digest
from ray_study.rows import Attempt, Problem
from ray_study.serving import Reply, Request

if TYPE_CHECKING:
    # The tasks that drive shards never render a prompt: they need not load a tokenizer's library.
    from ray_study.chat import Chat, Prompt

NOT_ASKED = "{}"
"""`Attempt.conditions` where nothing was measured in the whole shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How problems are asked."""

    num_samples: int
    """Attempts at each problem."""
    sampling: Sampling
    positions: int
    """Most tokens of prompt and answer together."""
    seed_parts: tuple[object, ...]
    """What the seeds come from, beside the problem and the number of the attempt."""
    worked_examples: Sequence[WorkedExample]
    thinking: bool | None
    prompt_template: str | None = None
    """What is asked, with `{prompt}` where the problem's own prompt stands; None asks the problem as it is."""
    logprobs: bool = True
    """Whether the log-probabilities of the answers are wanted; it changes no answer."""
    completes: bool = False
    """Whether the question is a text to go on with: no turns, no template."""

    def prompt(self, problem: Problem, chat: Chat) -> Prompt:
        """What is asked, as ids."""
        if self.completes:
            return chat.text_to_go_on_with(self.question(problem))
        return chat.prompt(self.question(problem), worked_examples=self.worked_examples, thinking=self.thinking)

    def question(self, problem: Problem) -> str:
        """The user turn that is asked."""
        return problem.prompt if self.prompt_template is None else self.prompt_template.replace("{prompt}", problem.prompt)

    def seed(self, problem: Problem, sample: int) -> int:
        """The seed of one attempt: the same in whatever shard, batch, round or retry it is asked."""
        return stable_seed(*self.seed_parts, problem.id, sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One attempt before it is answered."""

    problem_id: str
    sample: int
    prompt_ids: tuple[int, ...]
    thinking_opened: bool
    cap: int
    """0 where the prompt leaves no room for an answer."""
    seed: int
    explanation: str
    """Why it is not asked; empty where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Some dozens of prompts that are asked, answered and written together."""

    name: str
    """Stable: it comes from the place in the set and from what is in the shard."""
    asked: tuple[Asked, ...]
    sampling: Sampling
    logprobs: bool = True

    @property
    def requests(self) -> list[Request]:
        """What goes to the pool; prompts without room for an answer stay behind."""
        return [
            Request(
                problem_id=each.problem_id,
                sample=each.sample,
                prompt_ids=each.prompt_ids,
                max_tokens=each.cap,
                seed=each.seed,
                logprobs=self.logprobs,
            )
            for each in self.asked
            if not each.explanation
        ]

    def attempts(self, replies: Iterable[Reply]) -> list[Attempt]:
        """The attempts of the shard in its order, those that were never asked among them.

        Raises:
            ValueError: the replies are not those to the shard's requests.
        """
        replies = list(replies)
        found = {(reply.problem_id, reply.sample): reply for reply in replies}
        expected = {(each.problem_id, each.sample) for each in self.asked if not each.explanation}
        if set(found) != expected or len(replies) != len(expected):
            raise ValueError(
                f"shard {self.name}: expected {len(expected)} replies, one to each request, found {len(replies)}; ask it again"
            )
        # What was never asked stands beside its shard's answers, so that it does not look like another way to measure.
        asked_of = replies[0].served if replies else ""
        conditions = replies[0].conditions if replies else NOT_ASKED
        return [_attempt(each, found.get((each.problem_id, each.sample)), asked_of, conditions) for each in self.asked]


def shards(problems: Sequence[Problem], chat: Chat, *, asking: Asking, shard_size: int) -> list[Shard]:
    """The shards of a set of problems, each of at most `shard_size` prompts, in the order of the problems."""
    asked = [each for problem in problems for each in ask(problem, chat, asking, range(asking.num_samples))]
    return [_shard(index, tuple(asked[start : start + shard_size]), asking) for index, start in enumerate(range(0, len(asked), shard_size))]


def shard_name(index: int, pairs: Iterable[tuple[str, int]]) -> str:
    """The name of a shard: its place, and a digest of the ids and samples in it."""
    return f"{index:06d}-{digest([list(pair) for pair in pairs])}"


def ask(problem: Problem, chat: Chat, asking: Asking, samples: Iterable[int]) -> list[Asked]:
    """The attempts at one problem before they are answered: caps are clipped to the positions that the prompt leaves."""
    prompt = asking.prompt(problem, chat)
    room = asking.positions - len(prompt.ids)
    explanation = (
        "" if room > 0 else f"the prompt has {len(prompt.ids)} tokens, the model {asking.positions} positions: no room for an answer"
    )
    return [
        Asked(
            problem_id=problem.id,
            sample=sample,
            prompt_ids=prompt.ids,
            thinking_opened=prompt.thinking_opened,
            cap=max(0, min(asking.sampling.max_tokens, room)),
            seed=asking.seed(problem, sample),
            explanation=explanation,
        )
        for sample in samples
    ]


def stable_seed(*parts: object) -> int:
    """A seed of 31 bits, the same for the same parts in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def _shard(index: int, asked: tuple[Asked, ...], asking: Asking) -> Shard:
    name = shard_name(index, ((each.problem_id, each.sample) for each in asked))
    return Shard(name=name, asked=asked, sampling=asking.sampling, logprobs=asking.logprobs)


def _attempt(asked: Asked, reply: Reply | None, asked_of: str, conditions: str) -> Attempt:
    return Attempt(
        problem_id=asked.problem_id,
        sample=asked.sample,
        asked_of=asked_of,
        text=reply.text if reply else "",
        num_tokens=reply.num_tokens if reply else 0,
        finish_reason=reply.finish_reason if reply else "refused",
        cap=asked.cap,
        seed=asked.seed,
        thinking_opened=asked.thinking_opened,
        prompt_hash=digest(asked.prompt_ids),
        explanation=reply.explanation if reply else asked.explanation,
        conditions=conditions,
        seconds=reply.seconds if reply else 0.0,
        logprob=reply.logprob if reply else None,
    )
