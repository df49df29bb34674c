"""Training examples that somebody else made: a data set of the hub, or a local JSONL or Parquet file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from ray_study.problems.hub import commit_of, open_table
from ray_study.rows import Example

Rows = Iterable[tuple[str, Mapping[str, Any]]]


def read_examples(
    kind: Literal["hub", "jsonl", "parquet"], name: str, *, revision: str | None, split: str, columns: Mapping[str, str]
) -> tuple[list[Example], dict[str, str]]:
    """The examples in the order of their rows, and what they resolved to (the hub's commit, or a file's SHA-256).

    Args:
        kind: where they are.
        name: the hub's `owner/name`, or a local path.
        revision: a branch, tag or commit of the hub; None is its main branch.
        split: of a hub's data set.
        columns: the column of `prompt` (text, or a list with one user turn) and of `response`.

    Raises:
        ValueError: it is not there, lacks a column (those found are named), or a row does not fit (it is named).
    """
    if kind == "hub":
        resolved = commit_of(name, revision or "main")
        table = open_table(name, None, split, resolved.get("commit"))
        found, rows = list(table.column_names), _numbered(table)
    elif not Path(name).is_file():
        raise ValueError(f"no file at {name!r}; expected the local path of a data set")
    else:
        resolved = {"sha256": hashlib.sha256(Path(name).read_bytes()).hexdigest()}
        rows = _numbered(pq.read_table(name).to_pylist()) if kind == "parquet" else _lines(Path(name))
        found = list(pq.read_schema(name).names) if kind == "parquet" else []
    missing = sorted(set(columns.values()) - set(found))
    if found and missing:
        raise ValueError(f"{name} has no columns {missing}, found {found}; set columns: {{prompt: …, response: …}} to the right names")
    return [_example(where, row, name, columns) for where, row in rows], resolved


def _numbered(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((f"row {number}", row) for number, row in enumerate(rows))


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} of {path} is no JSON object, found {type(row).__name__}")
        yield f"line {number}", row


def _example(where: str, row: Mapping[str, Any], name: str, columns: Mapping[str, str]) -> Example:
    for column in columns.values():
        if column not in row:
            raise ValueError(f"{where} of {name} has no column {column!r}, found {sorted(row)}")
    prompt, response = _user_turn(row[columns["prompt"]]), row[columns["response"]]
    if prompt is None:
        raise ValueError(f"{where} of {name}: column {columns['prompt']!r} is neither text nor a list with exactly one user turn")
    if not isinstance(response, str) or not response.strip():
        raise ValueError(f"{where} of {name}: column {columns['response']!r} holds no text")
    return Example(problem_id=where, prompt=prompt, response=response, num_tokens=0)


def _user_turn(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping) and value[0].get("role") == "user":
        return str(value[0]["content"])
    return None
