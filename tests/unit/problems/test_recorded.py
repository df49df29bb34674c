"""Recorded attempts in every layout that they come in, a few rows at a time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.problems import RecordedRow, read_recorded
from ray_study.teaching import Recorded

ASKED = [{"role": "system", "content": "Think."}, {"role": "user", "content": "What is 1 + 1?"}]
SAID = [{"role": "assistant", "content": "<think>easy</think>\\boxed{2}"}]
TEXT = SAID[0]["content"]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return str(path)


def recorded(read: str, name: str, **columns: str) -> Recorded:
    return Recorded.model_validate({"read": read, "name": name, "columns": {"prompt": "question", "response": "response"} | columns})


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("prompt", "response", "responses"),
    [
        ("What is 1 + 1?", TEXT, (TEXT,)),
        (ASKED, SAID, (TEXT,)),
        (ASKED, ["two", "", "three"], ("two", "", "three")),
        ("What is 1 + 1?", [SAID, SAID], (TEXT, TEXT)),
    ],
    ids=["texts", "turns", "a list of texts", "a list of turns"],
)
def test_every_layout_is_read(tmp_path: Path, suffix: str, prompt: object, response: object, responses: tuple[str, ...]) -> None:
    path = write(tmp_path / f"pool.{suffix}", [{"question": prompt, "response": response}])
    rows, resolved = read_recorded(recorded(suffix, path))
    place = "row" if suffix == "parquet" else "line"
    assert list(rows) == [RecordedRow("What is 1 + 1?", responses, None, None, f"{place} 1 of {path}")]
    assert len(resolved["sha256"]) == 64


def test_a_directory_in_the_hubs_layout_is_read_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [{"question": ASKED, "response": ["a", "b"]}, {"question": ASKED, "response": ["c"]}])
    rows, resolved = read_recorded(recorded("hub", str(tmp_path)))
    assert [(row.prompt, row.responses) for row in rows] == [("What is 1 + 1?", ("a", "b")), ("What is 1 + 1?", ("c",))]
    assert len(resolved["sha256"]) == 64


def test_the_files_of_a_directory_follow_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.parquet", [{"question": name, "response": name}])
    rows, _ = read_recorded(recorded("parquet", str(tmp_path)))
    assert [row.prompt for row in rows] == ["a", "b"]


def test_token_counts_and_finish_reasons_go_with_their_responses(tmp_path: Path) -> None:
    row = {"question": "a?", "response": ["x", "y"], "tokens": [3, 16384], "ends": ["stop", "length"]}
    path = write(tmp_path / "pool.parquet", [row])
    rows, _ = read_recorded(recorded("parquet", path, num_tokens="tokens", finish_reason="ends"))
    assert [(row.responses, row.num_tokens, row.finish_reason) for row in rows] == [(("x",), (3,), "stop"), (("y",), (16384,), "length")]
    one = write(tmp_path / "one.jsonl", [{"question": "a?", "response": "x", "tokens": 3, "ends": None}])
    rows, _ = read_recorded(recorded("jsonl", one, num_tokens="tokens", finish_reason="ends"))
    assert [(row.num_tokens, row.finish_reason) for row in rows] == [((3,), None)]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            {"question": "b?"},
            r"line 2 of .* has no columns \['response', 'tokens'\]: expected \['question', 'response', 'tokens'\], found \['question'\]",
        ),
        ({"question": [{"role": "system", "content": "x"}], "response": "x", "tokens": 1}, "line 2 .*'question'.*a user's among them"),
        ({"question": "", "response": "x", "tokens": 1}, "line 2 .*'question'.*expected a text"),
        ({"question": "b?", "response": None, "tokens": 1}, "line 2 .*'response'.*found 'None'"),
        ({"question": "b?", "response": [], "tokens": 1}, r"line 2 .*'response'.*found '\[\]'"),
        ({"question": "b?", "response": SAID * 2, "tokens": 1}, "line 2 .*found 2 assistant turns"),
        ({"question": "b?", "response": ["x", "y"], "tokens": [1]}, "line 2 .*'tokens': found 1 values, expected one for each of 2"),
        ({"question": "b?", "response": "x", "tokens": 1.5}, "line 2 .*expected whole numbers of tokens, found '1.5'"),
    ],
)
def test_a_row_that_does_not_fit_is_named_when_it_is_reached(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "pool.jsonl", [{"question": "a?", "response": "x", "tokens": 1}, second])
    rows, _ = read_recorded(recorded("jsonl", path, num_tokens="tokens"))
    assert next(rows).responses == ("x",)
    with pytest.raises(ValueError, match=message):
        next(rows)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_missing_column_is_named_before_any_row_is_read(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"pool.{suffix}", [{"prompt": "a?", "response": "x"}])
    with pytest.raises(ValueError, match=r"no columns \['question'\]: expected .*, found \['prompt', 'response'\]; set recorded\.columns"):
        read_recorded(recorded(suffix, path))


def test_a_file_that_is_not_there_or_is_empty_or_no_parquet_is_said_so(tmp_path: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        with pytest.raises(ValueError, match=r"no file at .*expected the local path"):
            read_recorded(recorded(suffix, str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no parquet files in the directory"):
        read_recorded(recorded("parquet", str(tmp_path / "empty")))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"empty\.jsonl has no rows"):
        read_recorded(recorded("jsonl", str(tmp_path / "empty.jsonl")))
    pq.write_table(pa.table({"question": pa.array([], pa.string()), "response": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with pytest.raises(ValueError, match=r"none\.parquet has no rows"):
        read_recorded(recorded("parquet", str(tmp_path / "none.parquet")))
    (tmp_path / "broken.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ValueError, match=r"broken\.parquet cannot be read as Parquet"):
        read_recorded(recorded("parquet", str(tmp_path / "broken.parquet")))


def test_a_pool_is_never_held_whole(tmp_path: Path) -> None:
    """60 MB of responses in one row group: what Arrow holds at once stays far below."""
    path = tmp_path / "pool.parquet"
    texts = [str(number).zfill(6) * 500 for number in range(20_000)]
    pq.write_table(pa.table({"question": [f"{number}?" for number in range(20_000)], "response": texts}), path, use_dictionary=False)
    rows, _ = read_recorded(recorded("parquet", str(path)))
    before, most, num_rows = pa.total_allocated_bytes(), 0, 0
    for row in rows:
        num_rows += 1
        assert re.match(r"\d+", row.prompt)
        most = max(most, pa.total_allocated_bytes() - before)
    assert num_rows == 20_000
    assert most < 20e6, f"{most / 1e6:.0f} MB at once of {sum(map(len, texts)) / 1e6:.0f} MB"
