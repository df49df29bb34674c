from __future__ import annotations

import json
from pathlib import Path

import pytest

from ray_study import tables
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, GradedAttempt, Problem
from ray_study.verify import sandbox_fault
from ray_study.verify.shards import MANY_SHARDS, ROWS_AT_ONCE, free_cpus, judge_shards


def problem(number: int) -> Problem:
    return Problem(id=f"p{number}", source="s", kind="number", prompt="?", answer=str(number), cluster="c", solution="")


TESTS = json.dumps({"style": "asserts", "tests": ["assert f(1) == 2"], "seconds": 5})
PROBLEMS = {f"p{number}": problem(number) for number in range(50)}
PROBLEMS["code"] = Problem(id="code", source="s", kind="code", prompt="?", answer=TESTS, cluster="c", solution="")


def attempt(number: int, sample: int) -> Attempt:
    return Attempt.of_text(f"p{number}", f"\\boxed{{{number + sample % 2}}}", sample=sample)


def write(directory: Path, name: str, numbers: range, num_samples: int = 2) -> None:
    rows = (attempt(number, sample) for number in numbers for sample in range(num_samples))
    tables.write(rows, directory / f"attempts/{name}.parquet", Attempt)


def judge(directory: Path, names: list[str]) -> None:
    attempts, verdicts = str(directory / "attempts"), str(directory / "verdicts")
    judge_shards(names, attempts, verdicts, PROBLEMS, num_workers=1, progress=lambda text: None)


def test_a_shard_larger_than_what_is_held_at_once_comes_out_whole_and_in_order(tmp_path: Path) -> None:
    write(tmp_path, "a", range(50), num_samples=ROWS_AT_ONCE // 50 + 5)
    judge(tmp_path, ["a"])
    graded = tables.read(tmp_path / "verdicts", GradedAttempt)
    attempts = tables.read(tmp_path / "attempts", Attempt)
    assert len(graded) > ROWS_AT_ONCE
    assert [(row.problem_id, row.sample) for row in graded] == [(row.problem_id, row.sample) for row in attempts]
    assert all((row.verdict == "correct") == (row.sample % 2 == 0) for row in graded)


def test_a_shard_that_fails_leaves_those_that_are_finished_and_no_half_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "a", range(10))
    write(tmp_path, "b", range(45, 55))
    write(tmp_path, "c", range(10))
    with pytest.raises(ValueError, match="'p50' first"):
        judge(tmp_path, ["a", "b", "c"])
    assert tables.names(tmp_path / "verdicts") == ["a"]


@pytest.mark.slow
def test_many_shards_are_judged_over_the_cluster_and_a_failed_one_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    names = [f"{number:02d}" for number in range(MANY_SHARDS + 2)]
    for number, name in enumerate(names):
        write(tmp_path, name, range(number, number + 5))
    if not sandbox_fault():
        programs = ["```python\nf = (1).__add__\n```", "```python\nf = abs\n```"]
        rows = [Attempt.of_text("code", text, sample=sample) for sample, text in enumerate(programs)]
        tables.write(rows, tmp_path / "attempts/programs.parquet", Attempt)
        names.append("programs")
    assert free_cpus() == 0
    with connect(num_cpus=2, num_gpus=0):
        assert free_cpus() >= 2
        judge(tmp_path, names)
        assert list(tables.names(tmp_path / "verdicts")) == names
        graded = tables.read(tmp_path / "verdicts", GradedAttempt)
        assert {row.verdict for row in graded} == {"correct", "wrong"}
        assert [row.verdict for row in graded if row.kind == "code"] == (["correct", "wrong"] if "programs" in names else [])
        tables.delete(tmp_path / "verdicts")
        write(tmp_path, names[-1], range(48, 53))
        with pytest.raises(Exception, match="'p50' first"):
            judge(tmp_path, names)
        assert names[-1] not in tables.names(tmp_path / "verdicts")
        assert tables.names(tmp_path / "verdicts")
