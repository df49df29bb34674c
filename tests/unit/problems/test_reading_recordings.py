"""Attempts made before: the layouts in which published pools hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.config import Recorded
from ray_study.problems import RecordedRow, read_recorded

TURNS = [{"role": "system", "content": "Think."}, {"role": "user", "content": "What is 1 + 1?"}]
ANSWER = [{"role": "assistant", "content": "\\boxed{2}"}]


def written(path: Path, rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    path = path / f"pool.{kind}"
    if kind == "parquet":
        # Two rows a group: a reader that takes the first group only is seen.
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=2)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def recorded(tmp_path: Path, rows: Sequence[Mapping[str, Any]], kind: Literal["parquet", "jsonl"] = "jsonl", **columns: str) -> Recorded:
    named = {"prompt": "question", "response": "response"} | columns
    return Recorded(read=kind, name=written(tmp_path, rows, kind), columns=named)


def read(*arguments: Any, **columns: str) -> list[RecordedRow]:
    return list(read_recorded(recorded(*arguments, **columns))[0])


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_one_response_a_row_is_one_attempt_a_row(tmp_path: Path, kind: str) -> None:
    rows = [{"question": "What is 1 + 1?", "response": f"\\boxed{{{number}}}", "other": [0.5]} for number in range(5)]
    found = read(tmp_path, rows, kind)
    assert [row.responses for row in found] == [(f"\\boxed{{{number}}}",) for number in range(5)]
    assert {(row.prompt, row.num_tokens, row.finish_reason) for row in found} == {("What is 1 + 1?", None, None)}
    assert found[4].where.startswith("row 5 of" if kind == "parquet" else "line 5 of")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_one_query_a_row_holds_all_its_attempts(tmp_path: Path, kind: str) -> None:
    rows = [{"question": "What is 1 + 1?", "response": ["a", "", "c"], "response_length": [1, 0, 3], "ended": "stop"}]
    (found,) = read(tmp_path, rows, kind, num_tokens="response_length", finish_reason="ended")
    assert (found.responses, found.num_tokens, found.finish_reason) == (("a", "", "c"), (1, 0, 3), "stop")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_last_user_turn_is_asked_and_the_last_assistant_turn_answers(tmp_path: Path, kind: str) -> None:
    (found,) = read(tmp_path, [{"question": TURNS, "response": ANSWER}], kind)
    assert (found.prompt, found.responses) == ("What is 1 + 1?", ("\\boxed{2}",))


def test_several_conversations_are_several_attempts(tmp_path: Path) -> None:
    (found,) = read(tmp_path, [{"question": TURNS, "response": [ANSWER, ANSWER]}])
    assert found.responses == ("\\boxed{2}", "\\boxed{2}")


def test_reasons_of_their_own_give_each_response_its_row(tmp_path: Path) -> None:
    rows = [{"question": "q", "response": ["a", "b"], "ended": ["stop", "length"], "n": [1, 2]}]
    found = read(tmp_path, rows, finish_reason="ended", num_tokens="n")
    assert [(row.responses, row.num_tokens, row.finish_reason) for row in found] == [(("a",), (1,), "stop"), (("b",), (2,), "length")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_missing_column_is_said_at_once_with_those_expected_and_found(tmp_path: Path, kind: Literal["parquet", "jsonl"]) -> None:
    pool = recorded(tmp_path, [{"query": "q", "response": "r"}], kind)
    with pytest.raises(ValueError, match=r"no columns \['question'\]; expected .*'response'.*found \['query', 'response'\]"):
        read_recorded(pool)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": [ANSWER[0]], "response": "a"}, "line 2 .*'question': expected a text or turns with a user's"),
        ({"question": " ", "response": "a"}, "line 2 .*'question'"),
        ({"question": "q", "response": None}, "line 2 .*'response': expected a text"),
        ({"question": "q", "response": ["a", 3]}, "line 2 .*'response', response 2: expected a text"),
        ({"question": "q", "response": TURNS}, "line 2 .*'response': expected a text"),
        ({"question": "q", "response": ["a", "b"], "n": [1]}, "line 2 .*1 counts of tokens for 2 responses"),
        ({"question": "q", "response": "a", "n": 1.5}, "line 2 .*whole numbers of tokens, found 1.5"),
        ({"question": "q", "response": "a", "n": 1, "ended": ["stop", "stop"]}, "line 2 .*2 reasons for 1 responses"),
        ({"question": "q"}, "line 2 .*has no columns"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {"question": "q", "response": "a", "n": 1, "ended": "stop"}
    rows, _ = read_recorded(recorded(tmp_path, [good, {"n": None, "ended": None} | row], num_tokens="n", finish_reason="ended"))
    assert next(rows).responses == ("a",)
    with pytest.raises(ValueError, match=message):
        next(rows)


def test_a_file_is_identified_by_its_bytes_and_must_be_there(tmp_path: Path) -> None:
    pool = recorded(tmp_path, [{"question": "q", "response": "r"}])
    assert len(read_recorded(pool)[1]["sha256"]) == 64
    Path(pool.name).write_text("")
    with pytest.raises(ValueError, match="has no rows"):
        read_recorded(pool)
    Path(pool.name).unlink()
    with pytest.raises(ValueError, match=r"no file at .*; expected the local path of recorded attempts"):
        read_recorded(pool)


@pytest.mark.slow
def test_a_directory_in_the_hubs_layout_is_streamed(tmp_path: Path) -> None:
    rows = [{"question": TURNS, "response": ["a", "b"], "logprob": [0.5]} for _ in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-00000-of-00001.parquet")
    found, resolved = read_recorded(Recorded(read="hub", name=str(tmp_path)))
    assert [(row.prompt, row.responses) for row in found] == [("What is 1 + 1?", ("a", "b"))] * 3
    assert len(resolved["sha256"]) == 64
