"""Attempts that somebody made before, as the rows of a file or of a data set of the hub; they are read one by one, however many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_study.config import Recorded
from ray_study.problems.reading import Place, assistant_turn, open_rows, user_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRow:
    """One row: a prompt, and one or more answers to it."""

    prompt: str
    responses: tuple[str, ...]
    num_tokens: tuple[int, ...] | None
    """Of each response; None where the file has no counts."""
    finish_reason: str | None
    """How all of them ended, in the file's own word."""
    where: str


def read_recorded(recorded: Recorded) -> tuple[Iterator[RecordedRow], dict[str, str]]:
    """The rows of a recording, and what identifies it: the hub's commit, or the file's SHA-256.

    A response column holds a text, the turns of an assistant, or a list of texts: several attempts at one prompt.

    Raises:
        ValueError: it is not there, or lacks a column (those found are named); later, at its row: a value does not fit.
    """
    place = Place(name=recorded.name, revision=recorded.revision, subset=recorded.subset, split=recorded.split)
    rows, resolved = open_rows(place, recorded.columns.values(), "name the right ones under recorded.columns")
    return (_row(where, row, recorded.columns) for where, row in rows), resolved


def _row(where: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> RecordedRow:
    prompt, responses = user_turn(row[columns["prompt"]]), _responses(row[columns["response"]])
    if prompt is None or not prompt.strip():
        raise ValueError(f"{where}: column {columns['prompt']!r} is neither text nor a list of turns with a user's")
    if responses is None:
        raise ValueError(f"{where}: column {columns['response']!r} is neither text, nor an assistant's turns, nor a list of texts")
    counts = _counts(where, row[columns["num_tokens"]], columns["num_tokens"]) if "num_tokens" in columns else None
    reason = row[columns["finish_reason"]] if "finish_reason" in columns else None
    return RecordedRow(
        prompt=prompt, responses=responses, num_tokens=counts, finish_reason=None if reason is None else str(reason), where=where
    )


def _responses(value: object) -> tuple[str, ...] | None:
    one = assistant_turn(value)
    if one is not None:
        return (one,)
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return tuple(value)
    return None


def _counts(where: str, value: object, column: str) -> tuple[int, ...]:
    counts = value if isinstance(value, list) else [value]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        raise ValueError(f"{where}: column {column!r} holds {str(value)[:40]!r}; expected a count of tokens, or a list of them")
    return tuple(counts)
