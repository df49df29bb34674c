"""Training sets in the authors' layout: what is written is read back, by us and as they would."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ray_study.problems import load, read_examples, write_published
from ray_study.problems.formats import LONG
from ray_study.rows import Example, Problem


def pair(number: int, num_tokens: int = 5) -> tuple[Problem, Example]:
    prompt = f"What is {number} + 1?\n{LONG}"
    name = f"arithmetic-{number}"
    response = f"<think>easy</think>\n\\boxed{{{number + 1}}}"
    problem = Problem(id=name, source="arithmetic", kind="math", prompt=prompt, answer=str(number + 1), cluster=name, solution="")
    return problem, Example(problem_id=name, prompt=prompt, response=response, num_tokens=num_tokens)


def test_the_columns_and_their_types_are_the_authors(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    assert write_published(path, [pair(1), pair(2, num_tokens=0)]) == 2
    table = pq.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == {
        "data_source": "string",
        "question": "string",
        "answer": "string",
        "message": "list<element: struct<role: string, content: string>>",
        "response": "string",
        "response_length": "int64",
        "advantage": "double",
    }
    first, second = table.to_pylist()
    assert first == {
        "data_source": "arithmetic",
        "question": "What is 1 + 1?",
        "answer": "2",
        "message": [{"role": "user", "content": f"What is 1 + 1?\n{LONG}"}],
        "response": "<think>easy</think>\n\\boxed{2}",
        "response_length": 5,
        "advantage": 1.0,
    }
    assert second["response_length"] is None


def test_what_is_written_is_read_back_as_examples_and_as_problems(tmp_path: Path) -> None:
    path = str(tmp_path / "set.parquet")
    # More than one group, from an iterator that can be read once.
    write_published(path, (pair(number) for number in range(1500)))
    assert pq.ParquetFile(path).num_row_groups == 2
    examples, _ = read_examples("parquet", path, revision=None, split="train", columns={"prompt": "message", "response": "response"})
    assert [(one.prompt, one.response) for one in examples] == [(pair(n)[1].prompt, pair(n)[1].response) for n in range(1500)]
    problems = load("authors_data", num_problems=None, seed=0, options={"path": path})
    assert {(one.prompt, one.answer, one.solution) for one in problems} == {
        (pair(n)[0].prompt, pair(n)[0].answer, pair(n)[1].response) for n in range(1500)
    }


def test_a_set_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    with pytest.raises(ValueError, match="found an example of problem 'arithmetic-2' with problem 'arithmetic-1'"):
        write_published(path, [(pair(1)[0], pair(2)[1])])
    assert not path.exists()
