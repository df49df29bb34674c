"""A whole study whose teacher is a server elsewhere, asked in rounds: from its answers to scores, and its key nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import Said, completion, serving
from programs import ray_study
from studies import sweep_file

from ray_study import tables
from ray_study.problems import load
from ray_study.rows import Attempt, Example

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEY = "test-key-0123456789"


def test_a_study_learns_from_a_server_that_is_asked_until_it_is_right(tmp_path: Path) -> None:
    solutions = {problem.prompt: problem.solution for problem in load("arithmetic", num_problems=16, seed=0, options={"digits": 2})}

    def answer(body: dict[str, Any], before: int) -> Said:
        if before == 0:
            return Said(status=429, body={"error": {"message": f"{KEY} is over its limit"}}, headers={"Retry-After": "0"})
        return Said(body=completion(solutions[body["messages"][-1]["content"]] if body["seed"] % 2 else "I do not know"))

    with serving(answer) as server:
        teacher = {
            "by": "endpoint",
            "endpoint": {"url": server.url, "model": "m", "key_from": "TEACHER_KEY"},
            "num_attempts": 2,
            "until_correct": 1,
            "at_most": 12,
            "sampling": {"max_tokens": 64},
        }
        changes = {
            "problems/sums/num_problems": 16,
            "problems/held_out/num_problems": 4,
            "teachers/one": teacher,
            "datasets/cot/teacher": "one",
            "datasets/nocot": ...,
            "sweep/dataset": "cot",
            "training/steps": 2,
            # A byte is a token of the tiny model.
            "training/max_length": 256,
            "checkpoints/steps": [2],
        }
        done = ray_study("run", str(sweep_file(tmp_path, changes)), store=tmp_path / "store", TEACHER_KEY=KEY)
    assert done.returncode == 0, done.stderr[-4000:]
    store = tmp_path / "store" / "small"
    (path,) = store.glob("attempts-*")
    record = json.loads((path / "record.json").read_text())
    attempts = tables.read(path / "rows", Attempt)
    assert record["num_rows"] == len(attempts) == 12 * 16 - record["num_saved"]
    assert record["num_enough"] == 16
    (dataset,) = store.glob("dataset-*")
    examples = tables.read(dataset / "rows", Example)
    right = {(attempt.problem_id, attempt.text) for attempt in attempts if attempt.seed % 2}
    assert len(examples) == 16
    assert {(example.problem_id, example.response) for example in examples} <= right
    assert KEY not in done.stdout + done.stderr
    for file in (tmp_path / "store").rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes(), file
