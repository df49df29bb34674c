"""The layout in which the study's authors publish training sets: read as problems with their responses, and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ray_study.problems import countdown
from ray_study.problems.formats import Request, without_request
from ray_study.problems.math_sets import text
from ray_study.problems.sets import Item, PublishedSet, SetOptions
from ray_study.problems.turns import only_user_turn
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
ROWS_A_GROUP = 1024


class AuthorsOptions(SetOptions):
    """Where a set of the authors is read from, and what its answers are."""

    kind: Literal["math", "countdown"] = "math"
    request: Request = "none"
    """The turn is taken as it was published, which ends in a request of its own."""


def write_published(path: str | Path, rows: Iterable[tuple[Problem, Example]]) -> int:
    """How many rows were written to a Parquet file in the authors' layout; a group of them is in memory at a time.

    `question` is the prompt without the request at its end, `message` the whole user turn; a length that nobody counted is null.

    Raises:
        ValueError: an example is of another problem than the one it comes with.
    """
    num_rows, left = 0, iter(rows)
    partial = Path(f"{path}.partial")
    with pq.ParquetWriter(partial, SCHEMA) as writer:
        while group := [_row(problem, example) for problem, example in islice(left, ROWS_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            num_rows += len(group)
    # A file under the final name is whole.
    partial.replace(path)
    return num_rows


def _row(problem: Problem, example: Example) -> dict[str, object]:
    if example.problem_id != problem.id:
        raise ValueError(f"found an example of problem {example.problem_id!r} with problem {problem.id!r}; expected one of its own")
    return {
        "data_source": problem.source,
        "question": without_request(example.prompt),
        "answer": problem.answer,
        "message": [{"role": "user", "content": example.prompt}],
        "response": example.response,
        # Nobody counted: that is unknown, not nothing.
        "response_length": example.num_tokens or None,
        "advantage": 1.0,
    }


def _authors(row: Mapping[str, Any], options: AuthorsOptions) -> Item:
    prompt = only_user_turn(row["message"])
    if prompt is None:
        raise ValueError(f"column 'message': expected a list with exactly one user turn, found {str(row['message'])[:80]}")
    answer = _tasks_gold(row["answer"]) if options.kind == "countdown" else text(row["answer"])
    return Item(question=prompt, answer=answer, solution=text(row["response"]), kind=options.kind)


def _tasks_gold(value: object) -> str:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    numbers = found.get("numbers", found.get("nums")) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(numbers, list) or not isinstance(found.get("target"), int):
        raise ValueError(f"column 'answer': kind countdown expects an object with numbers and target, found {str(value)[:80]!r}")
    return countdown.gold(numbers, found["target"])


AUTHORS_DATA = PublishedSet(
    name="jasonrqh/Math-CoT-20k",
    columns=tuple(SCHEMA.names),
    read=_authors,
    kinds=("math", "countdown"),
    licence="not known: see its card; Math-CoT's problems are OpenR1-Math-220k's (Apache-2.0), its responses Qwen3-32B's",
    has_solutions=True,
    options=AuthorsOptions,
)
