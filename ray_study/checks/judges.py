"""Whether those who judge are there: a server that takes our key and has the model, or a model that can be served here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ray_study import generate
from ray_study.chat import Chat
from ray_study.checks.finding import Looked, Subject
from ray_study.config import Endpoint
from ray_study.judge_settings import Judge
from ray_study.verify.rubrics import REWARD, RUBRICS

REACH_SECONDS = 5.0
"""How long a judge's server may take to say which models it has."""

_NAMED = 3
"""Models of a server that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was found of one judge; nothing of each where all is well."""

    fault: str = ""
    doubt: str = ""
    unseen: str = ""
    reached: bool = True


def look_for_judges(subject: Subject, needing: Sequence[str]) -> Looked:
    """What was found of each judge of these benchmarks."""
    names = dict.fromkeys(judge for exam in needing for judge in subject.study.evaluation.benchmarks[exam].judge)
    found = {name: _look(subject, name, subject.study.judges[name]) for name in names}
    return Looked(
        faults=[f"judge {name}: {each.fault}" for name, each in found.items() if each.fault],
        doubts=[f"judge {name}: {each.doubt}" for name, each in found.items() if each.doubt],
        unseen=[f"judge {name}: {each.unseen}" for name, each in found.items() if each.unseen],
        seen=any(each.reached for each in found.values()),
    )


def _look(subject: Subject, name: str, judge: Judge) -> _Seen:
    try:
        return _served(subject, judge) if judge.endpoint is None else _elsewhere(name, judge.endpoint)
    except ValueError as error:
        return _Seen(fault=str(error))


def _served(subject: Subject, judge: Judge) -> _Seen:
    """What was found of a model that is served here.

    Raises:
        ValueError: it cannot be had, or not be asked.
    """
    assert judge.model is not None
    rewards = judge.rubric == REWARD
    try:
        found = subject.judge_model(judge.model, rewards)
        if found.directory is not None:
            turns = rewards or not RUBRICS[judge.rubric].completes
            Chat(found.directory, trust_remote_code=subject.study.models[judge.model].trust_remote_code, turns=turns)
    except ValueError as error:
        raise ValueError(f"its model {judge.model!r} cannot be served: {error}") from error
    return _Seen(unseen=f"its model {judge.model!r} is {found.unseen}" if found.unseen else "", reached=not found.unseen)


def _elsewhere(name: str, endpoint: Endpoint) -> _Seen:
    """What was found of a server.

    Raises:
        ValueError: the key is not set, or not accepted.
    """
    try:
        listed = generate.look_for_model(endpoint, generate.key_of(endpoint.key_from), REACH_SECONDS)
    except OSError as error:
        host = urlsplit(endpoint.url).hostname
        return _Seen(fault=f"{host} does not answer ({error}); start it, or mend judges.{name}.endpoint.url")
    if listed.has_it is None:
        return _Seen(unseen=f"whether {endpoint.public_url} takes the key and has the model {endpoint.model!r} ({listed.why})")
    if listed.has_it:
        return _Seen()
    # Some servers take any name, and some do not list all that they have.
    return _Seen(
        doubt=f"{endpoint.public_url} does not list the model {endpoint.model!r}; {_nearest(endpoint.model, listed.names)}; "
        f"mend judges.{name}.endpoint.model where that is a mistake"
    )


def _nearest(model: str, names: Sequence[str]) -> str:
    """A phrase that names the most similar of a server's models, or the first where none is."""
    close = difflib.get_close_matches(model, names, n=1, cutoff=0.5)
    if close:
        return f"the nearest that it has is {close[0]!r}"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"it has {', '.join(map(repr, names[:_NAMED]))}{more}"
