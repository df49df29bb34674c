"""A file of worked answers -> whether each of them verifies against its gold: `python -m ray_study.verify.audit FILE.parquet`.

Made for the authors' `Math-CoT-20k.parquet`, of which a careful reader found that all rows but 12364, 16249 and 16611 verify by
math-verify 0.7 (equations equal up to a factor). The last line counts; each row that is not `correct` is named before it.
Exit codes: 0 all rows verify, or only those of `--expect` do not; 1 another row does not; 2 bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ray_study.rows import Attempt, GradedAttempt, Problem
from ray_study.verify.grading import grade
from ray_study.verify.judging import TIMEOUT_SECONDS

ALL_VERIFY, SOME_DO_NOT, BAD_INPUT = 0, 1, 2
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of the file hold what."""

    question: str = "question"
    answer: str = "answer"
    response: str = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRow:
    """One row of the file with its verdict."""

    number: int
    """From 0, in the order of the file."""
    question: str
    gold: str
    graded: GradedAttempt


def audit(path: Path, columns: Columns, *, num_workers: int = 1, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[AuditedRow]:
    """The rows of a Parquet file in order, each judged as kind `math`; never more than some hundred in memory.

    Raises:
        ValueError: The file cannot be read, or a column is missing or holds no text.
    """
    wanted = [columns.question, columns.answer, columns.response]
    number = 0
    with _opened(path) as file:
        _check_columns(path, file.schema_arrow, wanted)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
            rows = list(zip(*(batch.column(name).to_pylist() for name in wanted), strict=True))
            empty = [number + place for place, row in enumerate(rows) if None in row]
            if empty:
                raise ValueError(f"row {empty[0]} of {path} has an empty cell among {wanted}, expected text in each; mend or drop the row")
            problems = {str(number + place): _problem(number + place, question, gold) for place, (question, gold, _) in enumerate(rows)}
            attempts = [Attempt.of_text(str(number + place), response) for place, (_, _, response) in enumerate(rows)]
            graded = grade(attempts, problems, num_workers=num_workers, timeout_seconds=timeout_seconds)
            for (question, gold, _), row in zip(rows, graded, strict=True):
                yield AuditedRow(number=number, question=question, gold=gold, graded=row)
                number += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the program."""
    options = _parser().parse_args(arguments)
    columns = Columns(question=options.question, answer=options.answer, response=options.response)
    counts: Counter[str] = Counter()
    failed: list[int] = []
    try:
        for row in audit(options.file, columns, num_workers=options.workers, timeout_seconds=options.timeout):
            counts[row.graded.verdict] += 1
            if row.graded.verdict != "correct":
                failed.append(row.number)
                _say(_described(row))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    unexpected = sorted(set(failed) - set(options.expect))
    verified = sorted(set(options.expect) - set(failed))
    if verified:
        _say(f"expected not to verify, but verified (or not in the file): {verified}")
    if unexpected:
        _say(f"not expected: {len(unexpected)} rows, the first {unexpected[:20]}")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "none"
    _say(f"{counts.total()} rows: {verdicts}")
    return SOME_DO_NOT if unexpected else ALL_VERIFY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ray_study.verify.audit", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE.parquet")
    for name in ("question", "answer", "response"):
        parser.add_argument(f"--{name}", default=name, metavar="COLUMN", help=f"the column with the {name}; default: {name}")
    parser.add_argument("--expect", type=int, nargs="*", default=[], metavar="ROW", help="rows, from 0, that may fail to verify")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="comparisons at once; default: one a core")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, help=f"seconds of one comparison; default: {TIMEOUT_SECONDS:g}")
    return parser


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"cannot read {path} as Parquet: {error}; pass the path of a .parquet file") from error


def _check_columns(path: Path, schema: pa.Schema, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise ValueError(f"{path} has no columns {missing}, found {schema.names}; name them with --question, --answer and --response")
    for name in wanted:
        kind = schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise ValueError(f"column {name!r} of {path} holds {kind}, expected text; name another one")


def _problem(number: int, question: str, gold: str) -> Problem:
    return Problem(id=str(number), source="audit", kind="math", prompt=question, answer=gold, cluster="", solution="")


def _described(row: AuditedRow) -> str:
    return (
        f"row {row.number}: {row.graded.verdict} ({row.graded.explanation})\n"
        f"  question: {' '.join(row.question.split())[:160]}\n  gold:     {row.gold[:300]}\n  answer:   {(row.graded.answer or '')[:300]}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
