"""A directory of typed rows: a row type as an Arrow schema, and Parquet files of it.

The schema always comes from the row type, never from the data: a column that happens to be empty keeps its type.
"""

from __future__ import annotations

import itertools
import types
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

Row = TypeVar("Row")

CHUNK = 2048
"""Most rows that are held at once: some megabytes of short texts, some hundred of the longest chains of thought."""

_ARROW: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema_of(row_type: type) -> pa.Schema:
    """The Arrow schema of a row type: strings, 64-bit integers and floats, booleans; optional where the type says so."""
    hints = get_type_hints(row_type)
    return pa.schema([_field(field.name, hints[field.name]) for field in fields(row_type)])


def _field(name: str, hint: Any) -> pa.Field:
    optional = get_origin(hint) in (Union, types.UnionType)
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if optional else [hint]
    assert len(kinds) == 1, f"{name}: a column has one type, found {hint}"
    kind = kinds[0]
    if get_origin(kind) is Literal:
        kind = type(get_args(kind)[0])
    assert kind in _ARROW, f"{name}: no Arrow type for {kind}"
    return pa.field(name, _ARROW[kind], nullable=optional)


def to_table(rows: Iterable[Any], row_type: type) -> pa.Table:
    """The rows as an Arrow table with the row type's schema."""
    held = list(rows)
    schema = schema_of(row_type)
    # A column at a time: several times faster than a mapping a row.
    return pa.table({name: [getattr(row, name) for row in held] for name in schema.names}, schema=schema)


def write(rows: Iterable[Any], path: str | Path, row_type: type) -> int:
    """How many rows were written to one Parquet file; it appears whole or not at all. No more than some thousand rows are held at once.

    Args:
        rows: instances of `row_type`.
        path: a local path or a URI (`s3://…`, `gs://…`).
        row_type: the dataclass whose fields are the columns.
    """
    filesystem, target = locate(path)
    # A name of its own: workers of a driver that was killed may still write the same rows.
    temporary = f"{target}.part-{uuid.uuid4().hex}"
    filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
    waiting, num_rows = iter(rows), 0
    with pq.ParquetWriter(temporary, schema_of(row_type), filesystem=filesystem) as writer:
        while held := list(itertools.islice(waiting, CHUNK)):
            writer.write_table(to_table(held, row_type))
            num_rows += len(held)
    filesystem.move(temporary, target)
    return num_rows


def read(path: str | Path, row_type: type[Row]) -> list[Row]:
    """The rows of one Parquet file, or of all files of a directory in the order of their names.

    Raises:
        ValueError: the columns are not those of `row_type` (made by another version).
    """
    return list(stream(path, row_type))


def stream(path: str | Path, row_type: type[Row]) -> Iterator[Row]:
    """The rows as `read` gives them, one after the other; no more than some thousand are held at once.

    Raises:
        ValueError: the columns are not those of `row_type` (made by another version).
    """
    names_of_columns = schema_of(row_type).names
    for row in columns(path, row_type, names_of_columns):
        yield row_type(**dict(zip(names_of_columns, row, strict=True)))


def columns(path: str | Path, row_type: type, wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of some columns as `stream` would give them, a tuple a row in the order of `wanted`; others are not read.

    Raises:
        ValueError: the file's columns are not those of `row_type` (made by another version).
    """
    filesystem, target = locate(path)
    files = [target]
    if filesystem.get_file_info(target).type == pafs.FileType.Directory:
        selector = pafs.FileSelector(target)
        files = sorted(info.path for info in filesystem.get_file_info(selector) if info.path.endswith(".parquet"))
    expected = schema_of(row_type).names
    for file in files:
        with pq.ParquetFile(file, filesystem=filesystem) as parquet:
            if parquet.schema_arrow.names != expected:
                raise ValueError(
                    f"{file} has the columns {parquet.schema_arrow.names}, expected {expected}: it was made by another version of "
                    "ray-study; use that version, or give the study another `storage`"
                )
            for batch in parquet.iter_batches(batch_size=CHUNK, columns=list(wanted)):
                yield from zip(*(batch.column(name).to_pylist() for name in wanted), strict=True)


def locate(path: str | Path) -> tuple[pafs.FileSystem, str]:
    """The file system and the path on it, of a local path or a URI."""
    text = str(path)
    if "://" in text:
        filesystem, inner = pafs.FileSystem.from_uri(text)
        return filesystem, inner
    return pafs.LocalFileSystem(), str(Path(text).absolute())


def names(path: str | Path) -> Sequence[str]:
    """The names of the whole Parquet files of a directory, without their suffix; none where there is no directory."""
    filesystem, target = locate(path)
    if filesystem.get_file_info(target).type != pafs.FileType.Directory:
        return ()
    found = filesystem.get_file_info(pafs.FileSelector(target))
    return sorted(info.base_name.removesuffix(".parquet") for info in found if info.path.endswith(".parquet"))


def delete(path: str | Path) -> None:
    """Returns when there is no directory of that name any more."""
    filesystem, target = locate(path)
    if filesystem.get_file_info(target).type == pafs.FileType.Directory:
        filesystem.delete_dir(target)
