"""Attempts that somebody made before, as rows of a data set of the hub or of a local file; read one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ray_study.config import Recorded
from ray_study.problems import files, hub, turns


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRow:
    """What was asked once, and what was answered to it."""

    prompt: str
    """The text that was asked; of a conversation the last user turn."""
    responses: tuple[str, ...]
    """One text, or several attempts at the same prompt."""
    num_tokens: tuple[int, ...] | None
    """Of each response; None where the file has no such column, or says nothing in this row."""
    finish_reason: str | None
    """How all of the responses ended; None where the file does not say it."""
    where: str
    """The place in the file, for people."""


def read_recorded(recorded: Recorded) -> tuple[Iterator[RecordedRow], dict[str, str]]:
    """The rows in order, read as they are asked for, and what they resolved to (the hub's commit, or a file's SHA-256).

    A row whose column of `finish_reason` holds a list gives a row for each response.

    Raises:
        ValueError: it is not there, has no rows, lacks a column (those expected and found are named), or, while reading, a row
            does not fit (it is named).
    """
    wanted = sorted(set(recorded.columns.values()))
    if recorded.read == "hub":
        resolved = hub.commit_of(recorded.name, recorded.revision or "main")
        table = hub.open_table(recorded.name, recorded.subset, recorded.split, resolved.get("commit"), streaming=True)
        rows: files.Rows = ((f"row {number} of data set {recorded.name!r}", row) for number, row in enumerate(table, 1))
        first = next(rows, None)
        found = list(first[1]) if first else []
        rows = chain([first], rows) if first else iter(())
    else:
        files.exists(recorded.name, "recorded attempts")
        resolved = {"sha256": files.sha256(recorded.name)}
        found = files.column_names(recorded.read, recorded.name)
        rows = files.read(recorded.read, recorded.name, wanted)
    if not found:
        raise ValueError(f"{recorded.name} has no rows; expected recorded attempts with the columns {wanted}")
    _require(recorded, found, recorded.name)
    return _read(rows, recorded), resolved


def _read(rows: files.Rows, recorded: Recorded) -> Iterator[RecordedRow]:
    for where, row in rows:
        _require(recorded, list(row), where)
        yield from _recorded(where, {field: row[column] for field, column in recorded.columns.items()}, recorded.columns)


def _require(recorded: Recorded, found: Sequence[str], where: str) -> None:
    missing = sorted(set(recorded.columns.values()) - set(found))
    if missing:
        raise ValueError(
            f"{where} has no columns {missing}; expected {dict(recorded.columns)}, found {sorted(found)}; "
            "set recorded.columns: {prompt: …, response: …} to the right names"
        )


def _recorded(where: str, values: Mapping[str, Any], columns: Mapping[str, str]) -> Iterator[RecordedRow]:
    prompt = values["prompt"] if isinstance(values["prompt"], str) else turns.last_turn(values["prompt"], "user")
    if prompt is None or not prompt.strip():
        raise ValueError(f"{where}, column {columns['prompt']!r}: expected a text or turns with a user's, found {_shown(values['prompt'])}")
    responses = _responses(f"{where}, column {columns['response']!r}", values["response"])
    counts = _counts(f"{where}, column {columns.get('num_tokens')!r}", values.get("num_tokens"), len(responses))
    reason = values.get("finish_reason")
    if not isinstance(reason, list):
        if reason is not None and not isinstance(reason, str):
            raise ValueError(f"{where}, column {columns['finish_reason']!r}: expected a text, found {_shown(reason)}")
        yield RecordedRow(prompt=prompt, responses=responses, num_tokens=counts, finish_reason=reason, where=where)
        return
    if len(reason) != len(responses):
        raise ValueError(f"{where}, column {columns['finish_reason']!r}: found {len(reason)} reasons for {len(responses)} responses")
    for index, (response, one) in enumerate(zip(responses, reason, strict=True)):
        own = None if counts is None else counts[index : index + 1]
        yield RecordedRow(prompt=prompt, responses=(response,), num_tokens=own, finish_reason=one, where=f"{where}, response {index + 1}")


def _responses(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or turns.is_turns(value):
        return (_response(where, value),)
    return tuple(_response(f"{where}, response {number}", one) for number, one in enumerate(value, 1))


def _response(where: str, value: object) -> str:
    text = value if isinstance(value, str) else turns.last_turn(value, "assistant")
    if text is None:
        raise ValueError(f"{where}: expected a text, turns with an assistant's, or a list of texts, found {_shown(value)}")
    return text


def _counts(where: str, value: object, num_responses: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    counts = value if isinstance(value, list) else [value]
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
        raise ValueError(f"{where}: expected whole numbers of tokens, found {_shown(value)}")
    if len(counts) != num_responses:
        raise ValueError(f"{where}: found {len(counts)} counts of tokens for {num_responses} responses; expected one count a response")
    return tuple(counts)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
