"""Rows of a data set of the hub, a local directory, or local JSONL and Parquet files, a few at a time and never all at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ray_study.problems.hub import commit_of, open_table

Row = Mapping[str, Any]
Numbered = tuple[str, Row]
"""A phrase that says where a row stands, and the row."""

ROWS_AT_ONCE = 16
"""Rows of a Parquet file that are decoded together: one may hold 32 responses of 16,384 tokens."""
SUFFIXES = {"jsonl": (".jsonl", ".json"), "parquet": (".parquet",)}


@dataclass(frozen=True, slots=True)
class Opened:
    """A table that is there and whose columns are known, but of which nothing was read yet."""

    where: str
    """For messages: the data set or the file."""
    columns: tuple[str, ...]
    """All of them; of JSONL, those of the first row."""
    resolved: dict[str, str]
    """The hub's commit, or the SHA-256 of what lies here."""
    rows: Callable[[Sequence[str]], Iterator[Numbered]]
    """The rows from the beginning, with the columns that are named and that they have."""

    def require(self, wanted: Iterable[str], mend: str) -> None:
        """Nothing, where all wanted columns are there; ValueError names the ones expected and found otherwise."""
        require(self.where, self.columns, wanted, mend)


def require(where: str, found: Iterable[str], wanted: Iterable[str], mend: str) -> None:
    """As `Opened.require`, for one row or one table."""
    wanted, found = list(wanted), list(found)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{where} has no columns {missing}: expected {wanted}, found {found}; {mend}")


def open_hub(name: str, *, revision: str, subset: str | None, split: str) -> Opened:
    """A split of the hub's data set at the commit of the revision, or of a local directory in the layout of one.

    Raises:
        ValueError: it is not there, or has no such revision, subset or split.
    """
    resolved = commit_of(name, revision)
    table = open_table(name, subset, split, resolved.get("commit"))
    where = f"data set {name!r}"

    def rows(columns: Sequence[str]) -> Iterator[Numbered]:
        chosen = table.select_columns([column for column in table.column_names if column in columns])
        return ((f"row {number} of {where}", row) for number, row in enumerate(chosen, 1))

    return Opened(where, tuple(table.column_names), resolved, rows)


def open_files(kind: Literal["jsonl", "parquet"], name: str) -> Opened:
    """A local JSONL or Parquet file, or all such files of a directory in the order of their names.

    Raises:
        ValueError: it is not there, is not of that kind, or has no rows.
    """
    files = _files(kind, name)
    each = _parquet_rows if kind == "parquet" else _jsonl_rows
    columns = _parquet_columns(files) if kind == "parquet" else _jsonl_columns(files)

    def rows(wanted: Sequence[str]) -> Iterator[Numbered]:
        for file in files:
            yield from each(file, wanted)

    return Opened(name, columns, {"sha256": _sha256(files)}, rows)


def kind_of(path: str) -> Literal["jsonl", "parquet"]:
    """What a local file holds, by the end of its name; ValueError says which ends there are."""
    for kind, suffixes in SUFFIXES.items():
        if path.endswith(suffixes):
            return "parquet" if kind == "parquet" else "jsonl"
    raise ValueError(f"{path!r} ends in none of .parquet, .jsonl and .json; name such a file, or a directory in the hub's layout")


def _files(kind: Literal["jsonl", "parquet"], name: str) -> list[Path]:
    path = Path(name)
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES[kind])) if path.is_dir() else []
    if not found:
        what = f"no {kind} files in the directory" if path.is_dir() else "no file at"
        raise ValueError(f"{what} {name!r}; expected the local path of a {kind} file, or of a directory of them")
    return found


def _sha256(files: Sequence[Path]) -> str:
    digests = []
    for file in files:
        with file.open("rb") as opened:
            digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _parquet_columns(files: Sequence[Path]) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    num_rows = 0
    for file in files:
        try:
            metadata = pq.read_metadata(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} cannot be read as Parquet ({error}); name another file, or copy it again") from error
        found = tuple(metadata.schema.to_arrow_schema().names)
        names = names or found
        require(str(file), found, names, "files of one directory must have the same columns")
        num_rows += metadata.num_rows
    if not num_rows:
        raise ValueError(f"{files[0]} has no rows; expected at least one")
    return names


def _parquet_rows(file: Path, wanted: Sequence[str]) -> Iterator[Numbered]:
    number = 0
    with pq.ParquetFile(file) as opened:
        columns = [name for name in opened.schema_arrow.names if name in wanted]
        for batch in opened.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number} of {file}", row


def _jsonl_columns(files: Sequence[Path]) -> tuple[str, ...]:
    for file in files:
        for _, row in _jsonl_rows(file):
            return tuple(row)
    raise ValueError(f"{files[0]} has no rows; expected a JSON object a line")


def _jsonl_rows(file: Path, wanted: Sequence[str] = ()) -> Iterator[Numbered]:
    del wanted  # A line is parsed whole in any case.
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"line {number} of {file}"
                yield where, json_object(where, line)


def json_object(where: str, line: bytes) -> dict[str, Any]:
    """The JSON object of one line; ValueError names the line that holds none."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{where} is not JSON ({error}); mend or delete that line") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where} holds {type(row).__name__}, expected a JSON object with the columns' names")
    return row
