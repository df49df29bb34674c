"""Rows of local JSONL and Parquet files, a batch at a time, each with a phrase that says where it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

FileKind = Literal["jsonl", "parquet"]
Rows = Iterator[tuple[str, Mapping[str, Any]]]

ROWS_AT_ONCE = 64
"""Rows of long responses take megabytes each, and a row group may hold all of them."""


def exists(path: str, what: str) -> None:
    """Nothing, where the file is there; ValueError otherwise."""
    if not Path(path).is_file():
        raise ValueError(f"no file at {path!r}; expected the local path of {what}")


def sha256(path: str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def column_names(kind: FileKind, path: str) -> list[str]:
    """The columns of the file; of JSONL the names in its first row.

    Raises:
        ValueError: the first row is no JSON object, or there is none.
    """
    if kind == "parquet":
        return list(pq.read_schema(path).names)
    for _, row in read(kind, path, ()):
        return list(row)
    raise ValueError(f"{path} has no rows; expected a JSON object a line")


def read(kind: FileKind, path: str, columns: Sequence[str]) -> Rows:
    """The rows in order, at most a batch of them in memory; of Parquet only these columns are read.

    Raises:
        ValueError: a line is no JSON object (it is named).
    """
    if kind == "parquet":
        return _batches(path, columns)
    return _listed(path) if _is_list(path) else _objects(path)


def _batches(path: str, columns: Sequence[str]) -> Rows:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number} of {path}", row


def _is_list(path: str) -> bool:
    """Whether a `.json` file is one list of objects, as some sets are published, and not an object a line."""
    if Path(path).suffix != ".json":
        return False
    with Path(path).open("rb") as file:
        return file.read(64).lstrip().startswith(b"[")


def _listed(path: str) -> Rows:
    try:
        rows = json.loads(Path(path).read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} begins as a list and is not JSON ({error}); mend it") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"entry {number} of {path} holds {type(row).__name__}, expected a JSON object with the columns' names")
        yield f"entry {number} of {path}", row


def _objects(path: str) -> Rows:
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"line {number} of {path}", _object(f"line {number} of {path}", line)


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{where} is not JSON ({error}); mend or delete that line") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where} holds {type(row).__name__}, expected a JSON object with the columns' names")
    return row
