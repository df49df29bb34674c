"""The numbers that the paper prints (arXiv 2604.06628), as they were read from its tables: with who read them, and where they are doubted.

`published.csv` holds one row a printed number, `published_exams.csv` how its authors' code asks each benchmark, and
`published_claims.csv` what the paper says of its curves. The paper gives no intervals. Those that are added here are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import polars as pl

from ray_study.analyze.intervals import wilson_interval
from ray_study.analyze.study_tables import frame, schema_of

Unit = Literal["percent", "reward", "points_over_base"]
Row = TypeVar("Row")

SOURCE = "arXiv 2604.06628"
DATA = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One printed number, and all that says of what it is."""

    model: str
    """The base model, by its name on the Hub."""
    billions: float
    """Of parameters, as the model's name has them."""
    dataset: str
    """By its name on the Hub; empty for the untrained base model, as are the four that follow."""
    num_examples: int | None
    epochs: float | None
    batch_size: int | None
    learning_rate: float | None
    schedule: str
    step: int
    """0 for the base model."""
    benchmark: str
    """A named benchmark; `halueval` stands for its three parts together."""
    metric: str
    judge: str
    """The reward model of a mean reward; empty otherwise."""
    unit: Unit
    """`percent`, the raw `reward`, or percentage points over the base model."""
    value: float
    derived: bool
    """Whether it stands in no table and was worked out from what does."""
    table: str
    read_by: str
    """Who read it off the paper, where several did joined by semicolons."""
    doubt: str
    """Why it may be wrong; empty where nobody doubts it."""

    @property
    def share(self) -> float:
        """The value as our scores have it: a share of 1 for percent, the reward itself."""
        return self.value if self.unit == "reward" else self.value / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedExam:
    """How the authors' code asks a benchmark."""

    benchmark: str
    num_items: int | None
    """None where it is not known."""
    num_samples: int
    temperature: float
    top_p: float
    top_k: int
    presence_penalty: float
    frequency_penalty: float
    max_tokens: int
    judge: str
    """The models that judge; empty where a rule does."""
    never: str
    """Why no other number can be set beside the paper's; empty where one can."""
    caveat: str
    """What must be said beside a comparison."""

    @property
    def num_answers(self) -> int | None:
        """Answers behind one printed number: items times samples."""
        return None if self.num_items is None else self.num_items * self.num_samples


@cache
def exams() -> dict[str, PublishedExam]:
    """The benchmarks of the paper by name."""
    return {exam.benchmark: exam for exam in read_rows(DATA / "published_exams.csv", PublishedExam)}


@cache
def numbers() -> tuple[Published, ...]:
    """Every printed number, once for each table that has it, in the order of the file.

    Raises:
        ValueError: the file does not say what it should.
    """
    found = read_rows(DATA / "published.csv", Published)
    for number, row in enumerate(found, start=2):
        for fault in _faults(row):
            raise ValueError(f"published.csv, line {number}: {fault}")
    return tuple(found)


def _faults(row: Published) -> list[str]:
    trained = (row.num_examples, row.epochs, row.batch_size, row.learning_rate, row.schedule or None)
    checks = {
        f"found benchmark {row.benchmark!r}; expected one of {sorted(exams())}": row.benchmark not in exams(),
        f"found {row.value} percent; expected 0 to 100": row.unit == "percent" and not 0 <= row.value <= 100,
        f"found unit {row.unit!r} for {row.metric}": (row.unit == "reward") != (row.metric == "mean_reward"),
        "found no recipe for a trained model, or one for a base model": [bool(row.dataset)] * 5 != [each is not None for each in trained],
        f"found step {row.step}; expected 0 for a base model, and more for a trained one": bool(row.dataset) != (row.step > 0),
        "found a derived number without a doubt": row.derived and not row.doubt,
    }
    return [fault for fault, is_so in checks.items() if is_so]


def cells() -> tuple[Published, ...]:
    """Every number that a score can be set beside, once: a cell that several tables print is one, and names them all.

    Differences to a base model are left out. A cell that is printed with two values is there with the first, and doubted.
    """
    merged: dict[tuple[object, ...], Published] = {}
    for row in numbers():
        if row.unit == "points_over_base":
            continue
        key = tuple(getattr(row, name) for name in _IDENTIFYING)
        earlier = merged.setdefault(key, row)
        if earlier is not row:
            merged[key] = _merged(earlier, row)
    return tuple(merged.values())


_IDENTIFYING = (
    *("model", "dataset", "num_examples", "epochs", "batch_size", "learning_rate", "schedule"),
    *("step", "benchmark", "metric", "judge", "unit"),
)


def _merged(one: Published, other: Published) -> Published:
    doubt = one.doubt or other.doubt
    if one.value != other.value and not doubt:
        doubt = f"printed as {one.value:g} in {one.table} and as {other.value:g} in {other.table}"
    tables = one.table if other.table in one.table.split(", ") else f"{one.table}, {other.table}"
    readers = dict.fromkeys([*one.read_by.split("; "), *other.read_by.split("; ")])
    return replace(one, table=tables, read_by="; ".join(readers), doubt=doubt)


def interval(row: Published) -> tuple[float, float] | None:
    """Our 95 % interval of a printed share over what its models might have answered to the same items; None where there is none.

    Wilson's on items x samples answers. Given the items, a mean of answers has the variance sum of p_i (1 - p_i) over
    (items^2 x samples), and by Jensen's inequality that is p (1 - p) / (items x samples) at most, so the interval errs to the wide side.
    It knows nothing of other items, and nothing of other seeds of training: each printed number is of one run.
    """
    answers = exams()[row.benchmark].num_answers
    return None if row.unit != "percent" or answers is None else wilson_interval(row.share, answers)


def table() -> pl.DataFrame:
    """All printed numbers as a table, with the interval that is ours in the unit of the value."""
    rows = numbers()
    bounds = [interval(row) or (None, None) for row in rows]
    ours = {
        "our_low": [None if low is None else 100 * low for low, _ in bounds],
        "our_high": [None if high is None else 100 * high for _, high in bounds],
    }
    return frame(rows, Published).with_columns(pl.DataFrame(ours, schema=dict.fromkeys(ours, pl.Float64)).get_columns())


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """The rows of a CSV file of such a type, an empty text as itself; ValueError where its columns are not the fields of the type."""
    schema = schema_of(row_type)
    found = pl.read_csv(path, n_rows=0).columns
    if found != list(schema):
        raise ValueError(f"{path.name}: found the columns {found}; expected {list(schema)}")
    rows = pl.read_csv(path, schema=schema).with_columns(pl.col(pl.String).fill_null(""))
    return [row_type(**row) for row in rows.iter_rows(named=True)]
