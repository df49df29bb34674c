"""What a problem source is: options that cannot be wrong, a function that loads, and what identifies the result."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ray_study.rows import Kind, Problem


class Options(BaseModel):
    """The options of one source. Types are strict: a number in quotes or `true` for 1 is an error, not a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


O = TypeVar("O", bound=Options)  # noqa: E741  (the options of one source)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec(Generic[O]):
    """What is asked of a source."""

    source: str
    num_problems: int | None
    """None asks for all of them."""
    seed: int
    options: O


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Problems, and how many rows of their source are none."""

    problems: list[Problem]
    dropped: dict[str, int]
    """Rows left out by reason."""
    resolved: dict[str, str] = field(default_factory=dict)
    """What identifies them beside number and seed."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Of a part that was chosen out of a published set: which problems, and by which rule; kept in the record of the stored problems."""


def _same(options: O) -> O:
    return options


def _nothing(options: Options) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[O]):
    """One place where problems come from."""

    options: type[O]
    load: Callable[[SourceSpec[O]], list[Problem] | Loaded]
    kinds: tuple[Kind, ...]
    """The kinds of answer that its problems may ask for."""
    assets: tuple[str, ...] = ()
    """Names in `assets.ASSETS` that loading needs."""
    endless: bool = False
    """Whether problems are made on demand, so that their number must be said."""
    version: int = 1
    """Raised by hand when the same options come to mean other problems."""
    check: Callable[[O], object] = _nothing
    """Raises ValueError for what can be known wrong without a download, such as a missing file."""
    identify: Callable[[O], dict[str, str]] = field(default=_nothing)
    """What else decides the problems: a file's hash, the commit that a revision resolved to."""
    pin: Callable[[O], O] = _same
    """The options with a revision of the hub as its commit, so that what is asked later means the same rows."""
    licence: str
    """A short note for people, not legal advice."""
    hub: str = ""
    """The name on the Hub that it reads by itself; empty for other places."""
    access: str = ""
    """How to get it where it is gated."""
    has_solutions: bool
    """Whether its problems may come with written solutions; one's own rows do where a column is mapped."""


def read_options(source: str, wanted: type[O], given: Mapping[str, object]) -> O:
    """The options of the source with defaults filled in.

    Raises:
        ValueError: for an unknown name (with the nearest known one) or a value that is not allowed.
    """
    for name in given:
        if name not in wanted.model_fields:
            near = difflib.get_close_matches(name, wanted.model_fields, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]!r}? It" if near else "it"
            raise ValueError(f"problem source {source!r} has no option {name!r}; {meant} takes {sorted(wanted.model_fields)}")
    try:
        return wanted.model_validate({name: _plain(value) for name, value in given.items()})
    except ValidationError as error:
        raise ValueError(f"problem source {source!r}: {_explain(error)}") from None


def _plain(value: object) -> object:
    """Tuples as lists and mappings as dicts, as a YAML file would give them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in fault["loc"])
        found = f", found {fault['input']!r}" if where and fault["type"] != "missing" else ""
        lines.append(f"{f'option {where!r}: ' if where else ''}{fault['msg'].removeprefix('Value error, ')}{found}")
    return "; ".join(lines)
