"""What analysis reads of a study: its rows in memory, and the same rows as the tables of its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import polars as pl

from ray_study.rows import BenchmarkCard, Checkpoint, GradedAttempt, Run, Score

Row = TypeVar("Row")

TrainingRow = tuple[str, int, str, float]
"""Run id, step, metric, value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAttempts:
    """All graded attempts of one checkpoint at one benchmark."""

    run: str
    step: int
    benchmark: str
    attempts: tuple[GradedAttempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTables:
    """A study as analysis sees it: whatever is not there yet is an empty list.

    `facts` is JSON. The report reads `name`, `question`, `sweep` (the text of the sweep file), `versions` (package -> version),
    `seeds`, `git_commit`, `stages` (stage -> seconds), `device`, `datasets` (a list of cards: `name`, `examples`, `teacher`,
    `problems`, `verdicts` as verdict -> count, `num_dropped`, and whatever else is worth showing), `owed` (a list of cells in words) and
    `examined_at` (benchmark -> "all", "final" or a list of steps: other checkpoints are not missing, they were never asked),
    `max_tokens` (benchmark -> new tokens that it asks for), `declared` (what the names of models, data sets and benchmarks stand
    for), `parameters` (model -> how many), `planned` (what `pricing.cost` says) and `learned` (run id -> `num_rows`, `num_dropped`,
    `num_truncated`);
    every other key is shown as it is.
    """

    runs: Sequence[Run] = ()
    checkpoints: Sequence[Checkpoint] = ()
    scores: Sequence[Score] = ()
    benchmarks: Sequence[BenchmarkCard] = ()
    attempts: Sequence[ScoredAttempts] = ()
    training: Sequence[TrainingRow] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


_CELL = {"run": pl.String, "step": pl.Int64, "benchmark": pl.String}
_TRAINING = {"run": pl.String, "step": pl.Int64, "metric": pl.String, "value": pl.Float64}
_COLUMN_TYPES: dict[type, type[pl.DataType]] = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean}


def schema_of(row_type: type) -> dict[str, type[pl.DataType]]:
    """The columns of a table of `row_type`, from the type and never from the data: an empty column keeps its type."""
    hints = get_type_hints(row_type)
    return {each.name: _column_type(hints[each.name]) for each in fields(row_type)}


def _column_type(hint: Any) -> type[pl.DataType]:
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    # What is left with arguments is a Literal of strings.
    return _COLUMN_TYPES[str if get_args(hint) else hint]


def frame(rows: Sequence[Any], row_type: type) -> pl.DataFrame:
    """A table of rows, one column a field."""
    columns = schema_of(row_type)
    return pl.DataFrame({name: [getattr(row, name) for row in rows] for name in columns}, schema=columns)


def write_tables(directory: Path, study: StudyTables) -> list[str]:
    """The names of the files written to `directory`: every table as Parquet, and as CSV too but for the attempts."""
    directory.mkdir(parents=True, exist_ok=True)
    tables = {
        "runs": frame(study.runs, Run),
        "checkpoints": frame(study.checkpoints, Checkpoint),
        "scores": frame(study.scores, Score),
        "benchmarks": frame(study.benchmarks, BenchmarkCard),
        "training": pl.DataFrame(list(study.training), schema=_TRAINING, orient="row"),
    }
    names = []
    for name, table in tables.items():
        table.write_parquet(directory / f"{name}.parquet")
        table.write_csv(directory / f"{name}.csv")
        names += [f"{name}.parquet", f"{name}.csv"]
    _attempts_frame(study.attempts).write_parquet(directory / "attempts.parquet")
    text = json.dumps(dict(study.facts), indent=2, ensure_ascii=False, sort_keys=True, default=str)
    (directory / "facts.json").write_text(text, encoding="utf-8")
    return [*names, "attempts.parquet", "facts.json"]


def _attempts_frame(cells: Sequence[ScoredAttempts]) -> pl.DataFrame:
    columns = schema_of(GradedAttempt)
    data: dict[str, list[Any]] = {name: [] for name in (*_CELL, *columns)}
    for cell in cells:
        for name in _CELL:
            data[name] += [getattr(cell, name)] * len(cell.attempts)
        for name in columns:
            data[name] += [getattr(attempt, name) for attempt in cell.attempts]
    return pl.DataFrame(data, schema=_CELL | columns)


def read_study(store: str | Path) -> StudyTables:
    """The study whose report lies in the directory `store`, as it was when the report was written.

    Reads `STORE/report/data/`; ValueError where there is none yet.
    """
    directory = Path(store) / "report" / "data"
    if not (directory / "facts.json").exists():
        raise ValueError(f"found no report in {directory}; expected its tables: run the study, or its report, first")
    training = pl.read_parquet(directory / "training.parquet")
    return StudyTables(
        runs=_read(directory / "runs.parquet", Run),
        checkpoints=_read(directory / "checkpoints.parquet", Checkpoint),
        scores=_read(directory / "scores.parquet", Score),
        benchmarks=_read(directory / "benchmarks.parquet", BenchmarkCard),
        attempts=_read_attempts(directory / "attempts.parquet"),
        training=[(run, step, metric, value) for run, step, metric, value in training.iter_rows()],
        facts=json.loads((directory / "facts.json").read_text(encoding="utf-8")),
    )


def _read(path: Path, row_type: type[Row]) -> list[Row]:
    return [row_type(**row) for row in pl.read_parquet(path).iter_rows(named=True)]


def _read_attempts(path: Path) -> list[ScoredAttempts]:
    cells: dict[tuple[str, int, str], list[GradedAttempt]] = {}
    for row in pl.read_parquet(path).iter_rows(named=True):
        cell = (row.pop("run"), row.pop("step"), row.pop("benchmark"))
        cells.setdefault(cell, []).append(GradedAttempt(**row))
    return [
        ScoredAttempts(run=run, step=step, benchmark=benchmark, attempts=tuple(attempts))
        for (run, step, benchmark), attempts in cells.items()
    ]
