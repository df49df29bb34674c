"""What a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ray_study.chat import Chat
from ray_study.config import Study
from ray_study.rows import Problem
from ray_study.store import Store

State = Literal["pass", "fail", "unknown", "not applicable"]

NAMED = 3
"""Things that a sentence names; of the others it says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    state: State
    sentence: str
    stops: bool = False
    """Where it failed: whether going on would spend for nothing."""
    check: str = ""
    """Its name, given by whoever runs the checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How a swept model is asked: its tokenizer and template, and the directory that they come from."""

    chat: Chat
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeModel:
    """A model that is served as a judge, as far as it can be looked at now."""

    directory: Path | None = None
    """Where its tokenizer is; None where only its being there could be seen, or nothing."""
    unseen: str = ""
    """Why it could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A study as checks see it. What could not be had without a download or much work is named with the reason."""

    study: Study
    store: Store
    exams: Mapping[str, Sequence[Problem]]
    """The items by benchmark."""
    sets: Mapping[str, Sequence[Problem]]
    """The sets of problems that items and data sets come from, by name."""
    renderings: Mapping[str, Rendering]
    """By swept model."""
    missing: Mapping[str, str]
    """Why a set of problems or a model could not be looked at, by a phrase that names it."""
    progress: Callable[[str], None]
    judge_model: Callable[[str, bool], JudgeModel]
    """(a name of `models`, whether it is a reward model) -> the model; ValueError says why it cannot be had."""
    settled: frozenset[str] = frozenset()
    """Benchmarks of which every cell is scored: whoever would have to judge them need not be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of something that benchmarks need."""

    faults: Sequence[str] = ()
    """A sentence for each thing that cannot be had now."""
    doubts: Sequence[str] = ()
    """A sentence for each thing that is probably wrong: it is told, and stops nothing."""
    unseen: Sequence[str] = ()
    """What could not be looked at, and why."""
    seen: bool = True
    """Whether anything of it was."""


def passed(sentence: str) -> Finding:
    """Nothing is wrong."""
    return Finding(state="pass", sentence=sentence)


def failed(faults: Sequence[str], *, stops: bool = False) -> Finding:
    """Something is wrong; the first faults are named."""
    return Finding(state="fail", sentence=named(faults), stops=stops)


def unknown(why: str) -> Finding:
    """It cannot be told now."""
    return Finding(state="unknown", sentence=why)


def not_applicable(why: str) -> Finding:
    """The study has nothing of the kind."""
    return Finding(state="not applicable", sentence=why)


def named(things: Sequence[str]) -> str:
    """The first things of a list, and how many more there are."""
    more = f"; and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return "; ".join(things[:NAMED]) + more


def because(subject: Subject, otherwise: str) -> str:
    """Why something cannot be told: what is missing, or another reason where nothing is."""
    return named([f"{what}: {why}" for what, why in subject.missing.items()]) or otherwise
