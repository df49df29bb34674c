from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study import rows, tables
from ray_study.rows import Problem, Score

ROW_TYPES = [kind for kind in vars(rows).values() if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    name: str
    count: int
    share: float | None
    kind: Literal["a", "b"]
    note: str | None
    good: bool


def thing(name: str, **changes: object) -> Thing:
    return Thing(**{"name": name, "count": 1, "share": None, "kind": "a", "note": None, "good": True, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda kind: kind.__name__)
def test_every_row_type_has_a_schema_with_its_fields_in_order_and_no_null_type(row_type: type) -> None:
    schema = tables.schema_of(row_type)
    assert schema.names == [field.name for field in fields(row_type)]
    assert pa.null() not in schema.types


def test_a_column_that_is_all_empty_keeps_its_type(tmp_path: Path) -> None:
    tables.write([thing("x"), thing("y")], tmp_path / "empty.parquet", Thing)
    tables.write([thing("z", share=0.5, note="n")], tmp_path / "full.parquet", Thing)
    tables.write([], tmp_path / "none.parquet", Thing)
    schemas = [pq.read_schema(tmp_path / f"{name}.parquet") for name in ("empty", "full", "none")]
    assert schemas[0].equals(schemas[1])
    assert schemas[0].equals(schemas[2])
    assert schemas[0].field("share").type == pa.float64()
    assert schemas[0].field("note").type == pa.string()


def test_rows_come_back_as_they_were_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    first, second = thing("ä\n\0 “b”", share=float("inf")), thing("c", count=2**53 + 1, note="")
    assert tables.write([second], tmp_path / "b.parquet", Thing) == 1
    tables.write([first], tmp_path / "a.parquet", Thing)
    assert tables.read(tmp_path, Thing) == [first, second]
    assert tables.read(tmp_path / "b.parquet", Thing) == [second]


def test_a_missing_value_stays_missing_and_is_never_a_zero(tmp_path: Path) -> None:
    score = Score(
        run="r",
        step=1,
        benchmark="b",
        group="general",
        metric="accuracy",
        value=None,
        standard_error=None,
        low=None,
        high=None,
        num_items=0,
        num_unjudged=3,
    )
    tables.write([score], tmp_path / "s.parquet", Score)
    assert tables.read(tmp_path, Score)[0].value is None


def test_what_is_required_cannot_be_written_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="non-nullable"):
        tables.write([thing("x", count=None)], tmp_path / "x.parquet", Thing)
    assert not (tmp_path / "x.parquet").exists()


def test_a_file_of_another_version_is_refused_with_its_name_and_the_mend(tmp_path: Path) -> None:
    tables.write([thing("x")], tmp_path / "x.parquet", Thing)
    with pytest.raises(ValueError, match=r"x\.parquet has the columns .*made by another version.*storage"):
        tables.read(tmp_path, Problem)


def test_a_half_written_file_is_no_shard(tmp_path: Path) -> None:
    tables.write([thing("x")], tmp_path / "whole.parquet", Thing)
    (tmp_path / "cut.parquet.part").write_bytes((tmp_path / "whole.parquet").read_bytes()[:100])
    assert tables.names(tmp_path) == ["whole"]
    assert len(tables.read(tmp_path, Thing)) == 1
    assert list(tables.names(tmp_path / "nowhere")) == []


def test_a_uri_is_as_good_as_a_path(tmp_path: Path) -> None:
    uri = (tmp_path / "deep" / "x.parquet").as_uri()
    tables.write([thing("x")], uri, Thing)
    assert tables.read(uri, Thing) == tables.read(tmp_path / "deep", Thing) == [thing("x")]


def test_several_who_write_the_same_table_at_once_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "a.parquet"
    rows = [thing(str(number)) for number in range(20_000)]
    with ThreadPoolExecutor(8) as writers:
        assert list(writers.map(lambda _: tables.write(rows, path, Thing), range(64))) == [len(rows)] * 64
    assert len(tables.read(path, Thing)) == len(rows)
    assert [found.name for found in path.parent.iterdir()] == ["a.parquet"]
