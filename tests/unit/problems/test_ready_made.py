"""Examples that somebody else made, in the layout of the study's published sets."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.problems import read_examples

COLUMNS = {"prompt": "message", "response": "response"}
ROW = {"message": [{"role": "user", "content": "What is 1 + 1?"}], "response": "<think>easy</think>\\boxed{2}", "advantage": 1.0}


def test_the_studys_layout_with_one_user_turn_is_read(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    pq.write_table(pa.Table.from_pylist([ROW, ROW]), path)
    examples, resolved = read_examples("parquet", str(path), revision=None, split="train", columns=COLUMNS)
    assert [example.prompt for example in examples] == ["What is 1 + 1?"] * 2
    assert examples[0].response == ROW["response"]
    assert len(resolved["sha256"]) == 64


def test_a_missing_column_is_named_with_those_found(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    pq.write_table(pa.Table.from_pylist([{"question": "a", "response": "b"}]), path)
    with pytest.raises(ValueError, match=r"no columns \['message'\], found \['question', 'response'\]"):
        read_examples("parquet", str(path), revision=None, split="train", columns=COLUMNS)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "line 2 .* is not JSON"),
        (json.dumps(["a"]), "line 2 .* is no JSON object"),
        (json.dumps({"message": "a", "response": ""}), "line 2 .* holds no text"),
        (json.dumps({"message": [ROW["message"][0]] * 2, "response": "x"}), "line 2 .* exactly one user turn"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, broken: str, message: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{broken}\n")
    with pytest.raises(ValueError, match=message):
        read_examples("jsonl", str(path), revision=None, split="train", columns=COLUMNS)


def test_a_directory_in_the_hubs_layout_is_read_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "train.parquet")
    examples, _ = read_examples("hub", str(tmp_path), revision=None, split="train", columns=COLUMNS)
    assert [example.response for example in examples] == [ROW["response"]]
