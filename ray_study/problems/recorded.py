"""Attempts that somebody recorded, as rows of a prompt and its responses; the file is read a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ray_study.problems.reading import Opened, Row, open_files, open_hub, require
from ray_study.problems.turns import assistant_text, is_turns, user_text
from ray_study.teaching import Recorded

MEND = "set recorded.columns: {prompt: …, response: …} to the right names"


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """What one row of the file says: a prompt, and one or several responses to it."""

    prompt: str
    """The text, or what the last user turn says, as it stands in the file."""
    responses: tuple[str, ...]
    num_tokens: tuple[int, ...] | None
    """Tokens of each response, where the file says so."""
    finish_reason: str | None
    """As the file says it, of all responses of the row; None where it does not."""
    where: str
    """The row's place, for messages: `row 7 of pool.parquet`."""


def read_recorded(recorded: Recorded) -> tuple[Iterator[RecordedRow], dict[str, str]]:
    """The rows in their order, and what they resolved to: the hub's commit, or the SHA-256 of the local files.

    That the file is there and has the columns is checked at once; each row is checked when it is reached. A file may hold a
    row for each prompt with a list of responses, or a row for each response: then the same prompt comes again.

    Raises:
        ValueError: it is not there, lacks a column (those found are named), or a row does not fit (it is named).
    """
    opened = _open(recorded)
    opened.require(recorded.columns.values(), MEND)
    return _read(opened, recorded), opened.resolved


def _open(recorded: Recorded) -> Opened:
    if recorded.read == "hub":
        return open_hub(recorded.name, revision=recorded.revision or "main", subset=recorded.subset, split=recorded.split)
    return open_files(recorded.read, recorded.name)


def _read(opened: Opened, recorded: Recorded) -> Iterator[RecordedRow]:
    for where, row in opened.rows(sorted(set(recorded.columns.values()))):
        require(where, row, recorded.columns.values(), MEND)
        yield from _recorded_rows(where, row, recorded)


def _recorded_rows(where: str, row: Row, recorded: Recorded) -> Iterator[RecordedRow]:
    columns = recorded.columns
    prompt = user_text(row[columns["prompt"]], f"{where}, column {columns['prompt']!r}")
    responses = _responses(row[columns["response"]], f"{where}, column {columns['response']!r}")
    num_tokens = _num_tokens(row, columns.get("num_tokens"), len(responses), where)
    reasons = row[columns["finish_reason"]] if "finish_reason" in columns else None
    if not isinstance(reasons, list):
        yield RecordedRow(prompt, responses, num_tokens, None if reasons is None else str(reasons), where)
        return
    _same_length(reasons, len(responses), f"{where}, column {columns['finish_reason']!r}")
    for index, reason in enumerate(reasons):
        one = None if num_tokens is None else num_tokens[index : index + 1]
        yield RecordedRow(prompt, responses[index : index + 1], one, None if reason is None else str(reason), where)


def _responses(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and is_turns(value):
        return (assistant_text(value, where),)
    if isinstance(value, list) and value and all(isinstance(one, str) or is_turns(one) for one in value):
        return tuple(one if isinstance(one, str) else assistant_text(one, where) for one in value)
    raise ValueError(f"{where}: expected a text, an assistant's turn, or a list of either, found {str(value)[:80]!r}")


def _num_tokens(row: Row, column: str | None, num_responses: int, where: str) -> tuple[int, ...] | None:
    value = None if column is None else row[column]
    if value is None:
        return None
    counts = value if isinstance(value, list) else [value]
    _same_length(counts, num_responses, f"{where}, column {column!r}")
    if not all(isinstance(one, int) and one >= 0 for one in counts):
        raise ValueError(f"{where}, column {column!r}: expected whole numbers of tokens, found {str(value)[:80]!r}")
    return tuple(counts)


def _same_length(values: Sequence[object], num_responses: int, where: str) -> None:
    if len(values) != num_responses:
        raise ValueError(f"{where}: found {len(values)} values, expected one for each of {num_responses} responses")
