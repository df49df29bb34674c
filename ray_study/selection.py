"""Graded attempts -> which of them a student learns from. Smaller sets are nested in larger ones.

Nothing here depends on the order in which attempts arrive, or holds their texts: an attempt is judged by a `Candidate`, and for each
problem only the best few are kept. So a million attempts cost no more memory than their problems.

What is nested: problems come in an order that the seed alone decides, and `num_examples` is the length of a prefix of what they give. With
equal problems, arm, policy, `per_problem`, limits of tokens, form and seed, a smaller set is the beginning of a larger one. Across
arms and limits: whatever a wider choice takes and a narrower one may take, the narrower one takes (under equal policy, `per_problem`,
form, seed and `num_examples`); so `verified` holds the correct ones of `unverified`, and 0 to 100 tokens the short ones of 0 to 200.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ray_study.config import Select
from ray_study.rows import FinishReason, Verdict

logger = logging.getLogger(__name__)

Arm = Literal["verified", "unverified", "wrong"]
ARMS: tuple[Arm, ...] = get_args(Arm)
Policy = Literal["random", "shortest", "longest", "first"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

WANTED = {"verified": "a correct attempt", "unverified": "an attempt with text", "wrong": "a wrong attempt"}
"""What each arm looks for, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What of an attempt decides whether it is chosen: all but its text."""

    problem_id: str
    sample: int
    asked_of: str
    verdict: Verdict
    finish_reason: FinishReason
    num_tokens: int
    """0 where nobody counted."""
    num_characters: int
    """0 where there is nothing but space."""
    mark: bytes
    """SHA-256 of the text, so that each text is chosen once."""
    shard: str
    """Where the text is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An attempt that was chosen, and from how many."""

    candidate: Candidate
    num_eligible: int


def is_of(arm: Arm, candidate: Candidate) -> bool:
    """Whether an attempt belongs to an arm. One that was cut never does, whatever its verdict: it would teach the student not to stop."""
    if candidate.finish_reason != "stop" or not candidate.num_characters:
        return False
    if arm == "unverified":
        return True
    # An attempt that could not be judged is not a wrong one.
    return candidate.verdict == ("correct" if arm == "verified" else "wrong")


def fits(select: Select, num_tokens: int) -> bool:
    """Whether a response of so many tokens is as long as is wanted; the caller has seen to it that they were counted."""
    return (select.min_tokens or 0) <= num_tokens and (select.max_tokens is None or num_tokens <= select.max_tokens)


class Choosing:
    """The choice among attempts that are offered one after the other, in any order."""

    def __init__(self, problems: Container[str], num_problems: int, select: Select, seed: int) -> None:
        """Begins with nothing offered.

        Args:
            problems: ids of the problems that may be chosen from.
            num_problems: how many these are.
            select: which attempts, and how many.
            seed: of the order of problems, and of the policy `random`.
        """
        self._problems = problems
        self._num_problems = num_problems
        self._select = select
        self._seed = seed
        self._best: dict[str, dict[bytes, tuple[tuple[object, ...], Candidate]]] = {}
        self._num_eligible: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        """Of the attempts at these problems."""
        self.num_attempts = 0
        self.num_outside_limits = 0
        """Attempts of the arm with too few or too many tokens."""

    @property
    def num_eligible(self) -> int:
        """Attempts that may become examples."""
        return self._num_eligible.total()

    @property
    def num_eligible_problems(self) -> int:
        """Problems with such an attempt."""
        return len(self._num_eligible)

    def offer(self, candidate: Candidate) -> None:
        """Takes an attempt into account.

        Raises:
            ValueError: it is at an unknown problem.
        """
        name = candidate.problem_id
        if name not in self._problems:
            raise ValueError(f"an attempt is at problem {name!r}, which is not among the {self._num_problems} problems given")
        self.num_attempts += 1
        self.verdicts[candidate.verdict] += 1
        if not is_of(self._select.arm, candidate):
            return
        if not fits(self._select, candidate.num_tokens):
            self.num_outside_limits += 1
            return
        self._num_eligible[name] += 1
        self._keep(self._best.setdefault(name, {}), candidate)

    def _keep(self, best: dict[bytes, tuple[tuple[object, ...], Candidate]], candidate: Candidate) -> None:
        """Keeps the first `per_problem` different texts in the policy's order."""
        key = policy_key(candidate, self._select.policy, self._seed)
        if candidate.mark in best and best[candidate.mark][0] <= key:
            return
        best[candidate.mark] = (key, candidate)
        if len(best) > self._select.per_problem:
            del best[max(best, key=lambda mark: best[mark][0])]

    def chosen(self) -> list[Choice]:
        """All that may become examples, in the order in which they do; the first `num_examples` of them that keep a form are taken.

        Raises:
            ValueError: there are none, or fewer than asked for; with the counts and the mend.
        """
        order = sorted(self._best, key=lambda name: (draw(self._seed, name), name))
        choices = [
            Choice(candidate=candidate, num_eligible=self._num_eligible[name])
            for name in order
            for _, candidate in sorted(self._best[name].values(), key=lambda kept: kept[0])
        ]
        wanted = self._select.num_examples
        if not choices or (wanted is not None and len(choices) < wanted):
            raise ValueError(self._too_few(len(choices)))
        logger.info("%d of %d problems have %s", len(order), self._num_problems, WANTED[self._select.arm])
        return choices

    def _too_few(self, found: int) -> str:
        select = self._select
        some = f"{self.num_eligible_problems} of {self._num_problems} problems have {WANTED[select.arm]} that stopped by itself"
        if select.min_tokens is not None or select.max_tokens is not None:
            some += f" and has {limits(select)} ({self.num_outside_limits} of that arm have fewer or more)"
        if not found:
            return (
                f"{some} ({self.num_attempts} attempts, {dict(sorted(self.verdicts.items()))}); look at the verdicts' explanations: "
                "the cap, the format, the limits and the teacher are the usual causes"
            )
        return (
            f"found {found} of {select.num_examples} examples asked for: {some} and each gives at most {select.per_problem}. "
            "Ask for fewer, attempt more problems, or make more attempts at each"
        )


def policy_key(candidate: Candidate, policy: Policy, seed: int) -> tuple[object, ...]:
    """What attempts at a problem are ordered by under a policy: the least is chosen first, and no two different attempts are equal."""
    keys: Mapping[Policy, Callable[[], tuple[object, ...]]] = {
        "random": lambda: (draw(seed, candidate.problem_id, candidate.asked_of, candidate.sample),),
        "shortest": lambda: (candidate.num_tokens, candidate.num_characters),
        "longest": lambda: (-candidate.num_tokens, -candidate.num_characters),
        "first": lambda: (),
    }
    return (*keys[policy](), candidate.sample, candidate.asked_of, candidate.mark)


def order_of(names: Sequence[str], select: Select, seed: int) -> list[str]:
    """The order in which rows that were read ready-made are taken: their own for `first`, a seeded one for `random`."""
    return list(names) if select.policy == "first" else sorted(names, key=lambda name: (draw(seed, name), name))


def limits(select: Select) -> str:
    """The limits of tokens in words; empty where there are none."""
    if select.min_tokens is None and select.max_tokens is None:
        return ""
    if select.max_tokens is None:
        return f"{select.min_tokens} tokens or more"
    return f"{select.min_tokens or 0} to {select.max_tokens} tokens"


def draw(*parts: object) -> str:
    """A random number that the parts alone decide, as hexadecimal digits."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
