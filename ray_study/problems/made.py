"""Problems that are made on demand: drafts from a seeded stream, without repeats, and never in both splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ray_study.problems.draws import Split, digest, split_of, stream
from ray_study.problems.formats import Request, with_request
from ray_study.rows import Kind, Problem

MOST_TRIES = 2000
"""Draws in a row that give nothing new before a source counts as exhausted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A made problem before its request for a format is added."""

    prompt: str
    kind: Kind
    answer: str
    solution: str
    key: str
    """Equal for problems that are the same for the purpose of holding out: the order of summands does not count."""
    task: str = ""
    """The cluster, where drafts of one task are not independent; empty where each stands alone."""


def collect(make: Callable[[Random], Draft], source: str, *, num: int | None, seed: int, split: Split) -> list[Draft]:
    """The first `num` different drafts of the split in the seeded stream, so a smaller number is the beginning of a larger.

    Raises:
        ValueError: where no number was said, or the options do not allow that many different problems.
    """
    if num is None:
        raise ValueError(f"problem source {source!r} makes problems without end: say how many with num_problems")
    rng = stream(source, seed, split)
    drafts: dict[str, Draft] = {}
    num_tries = 0
    while len(drafts) < num:
        draft = make(rng)
        num_tries += 1
        if split_of(draft.key) == split and draft.prompt not in drafts:
            drafts[draft.prompt] = draft
            num_tries = 0
        elif num_tries >= MOST_TRIES:
            raise ValueError(
                f"problem source {source!r} found {len(drafts)} different {split} problems where {num} were asked for, the last "
                f"draws gave repeats such as {draft.prompt!r}; ask for fewer, or allow longer or larger ones in its options"
            )
    return list(drafts.values())


def to_problem(draft: Draft, source: str, request: Request) -> Problem:
    """The draft as a problem; its id does not depend on the request, so the same problem asked otherwise keeps its id."""
    name = f"{source}-{digest(draft.kind, draft.prompt)[:16]}"
    return Problem(
        id=name,
        source=source,
        kind=draft.kind,
        prompt=with_request(draft.prompt, draft.kind, request),
        answer=draft.answer,
        cluster=draft.task or name,
        solution=draft.solution,
    )
