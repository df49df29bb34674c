"""The layout of the study's published data sets, which their authors' trainer reads: written from examples, so that data can be swapped.

Columns as users of `jasonrqh/Math-CoT-20k` see them: `data_source, question, answer, message, response, response_length, advantage`;
`message` is a list with one user turn, `advantage` is 1.0 and unused by the plain loss.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_study.problems.formats import without_request
from ray_study.rows import Example, Problem

SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("message", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("response", pa.string()),
        ("response_length", pa.int64()),
        ("advantage", pa.float64()),
    ]
)
ROWS_AT_ONCE = 1000


def write_published(path: str | Path, rows: Iterable[tuple[Problem, Example]]) -> int:
    """How many rows the Parquet file has; it appears whole or not at all, and never more than some rows are in memory."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    number, waiting = 0, iter(rows)
    try:
        with pq.ParquetWriter(temporary, SCHEMA) as writer:
            while batch := [_row(problem, example) for problem, example in islice(waiting, ROWS_AT_ONCE)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
                number += len(batch)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return number


def _row(problem: Problem, example: Example) -> dict[str, Any]:
    return {
        "data_source": problem.source,
        "question": without_request(example.prompt),
        "answer": problem.answer,
        "message": [{"role": "user", "content": example.prompt}],
        "response": example.response,
        "response_length": example.num_tokens,
        "advantage": 1.0,
    }
