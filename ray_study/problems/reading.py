"""Rows of a data set, one after the other: from the hub, a local JSONL or Parquet file, or a local directory in the hub's layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ray_study.problems.hub import commit_of, open_table

BATCH_ROWS = 256
"""Rows of a Parquet file that are in memory at once: rows of long chains of thought have some 50 kB each."""

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for people, and its columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where rows are read."""

    name: str
    """The hub's `owner/name`, or a local file or directory."""
    revision: str | None = None
    """A branch, tag or commit of the hub; None is its main branch."""
    subset: str | None = None
    split: str = "train"

    @property
    def is_file(self) -> bool:
        """Whether it is a local file."""
        return Path(self.name).expanduser().is_file()


def identity(place: Place) -> dict[str, str]:
    """The SHA-256 of a local file or directory, or the commit that the revision stands for now.

    Raises:
        ValueError: it looks like a local path and is not there, or the hub does not know it.
    """
    if place.is_file:
        with Path(place.name).expanduser().open("rb") as file:
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    _refuse_missing(place)
    return commit_of(place.name, place.revision or "main")


def open_rows(place: Place, columns: Iterable[str], mend: str) -> tuple[Iterator[Row], dict[str, str]]:
    """The rows with at least these columns, read as they are asked for, and what identifies them (as `identity`).

    Args:
        place: where they are.
        columns: those that every row must have; of Parquet and of the hub no others are read.
        mend: what to do where one is missing.

    Raises:
        ValueError: it is not there, or lacks a column; later, at its row: a line is no JSON object or lacks a column.
    """
    wanted, resolved = sorted(set(columns)), identity(place)
    if not place.is_file:
        table = open_table(place.name, place.subset, place.split, resolved.get("commit"))
        _require(place.name, wanted, table.column_names, mend)
        table = table.select_columns(wanted)
        return ((f"row {number} of {place.name}", row) for number, row in enumerate(table)), resolved
    path = Path(place.name).expanduser()
    if path.suffix in (".jsonl", ".json"):
        return _lines(path, wanted, mend), resolved
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is neither JSONL (by its name) nor Parquet ({error})") from error
    _require(str(path), wanted, schema.names, mend)
    return _parquet(path, wanted), resolved


def _refuse_missing(place: Place) -> None:
    looks_local = place.name.startswith((".", "/", "~")) or place.name.endswith((".parquet", ".jsonl", ".json"))
    if looks_local and not Path(place.name).is_dir():
        raise ValueError(f"no file at {place.name!r}; expected the local path of a data set")


def _require(where: str, wanted: Iterable[str], found: Iterable[str], mend: str) -> None:
    found = list(found)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise ValueError(f"{where} has no columns {missing}, found {found}; {mend}")


def _parquet(path: Path, wanted: list[str]) -> Iterator[Row]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            for row in batch.to_pylist():
                yield f"row {number} of {path}", row
                number += 1


def _lines(path: Path, wanted: list[str], mend: str) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"line {number} of {path}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where} is not JSON ({error}); mend or delete that line") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where} is no JSON object, found {type(row).__name__}")
            _require(where, wanted, row, mend)
            yield where, row


def user_turn(value: object) -> str | None:
    """The text that is asked: a text as it is, or the last user's turn of a list of turns; None for anything else."""
    return value if isinstance(value, str) else _last_turn(value, "user")


def assistant_turn(value: object) -> str | None:
    """The text that was answered: a text as it is, or the last assistant's turn of a list of turns; None for anything else."""
    return value if isinstance(value, str) else _last_turn(value, "assistant")


def _last_turn(value: object, role: str) -> str | None:
    if not isinstance(value, list):
        return None
    turns = [turn["content"] for turn in value if isinstance(turn, Mapping) and turn.get("role") == role]
    return str(turns[-1]) if turns else None
