from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import study

from ray_study.engines import Engines
from ray_study.examples import make_dataset
from ray_study.export import export
from ray_study.materials import Lab
from ray_study.rows import Example, Problem
from ray_study.store import Store


def lab_of(directory: Path, changes: dict[str, Any] | None = None) -> Lab:
    said: list[str] = []
    engines = Engines(said.append, shard_size=8, owner="tests")
    return Lab(study=study(changes), store=Store(str(directory), "small"), engines=engines, cache=directory / "cache", progress=said.append)


def test_a_made_data_set_is_written_with_its_problems_in_its_own_order(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    rows = make_dataset(lab, "cot", {}).rows(Example)
    written: list[tuple[Problem, Example]] = []
    assert export(lab.study, lab.store, "cot", tmp_path / "cot.parquet", lambda _, pairs: written.extend(pairs)) == 64
    assert [example for _, example in written] == rows
    assert all(problem.id == example.problem_id and problem.answer for problem, example in written)


def test_what_is_not_made_or_not_there_is_refused_with_what_to_do(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    with pytest.raises(ValueError, match=r"data set 'cot' is not made yet in .*; run the study first"):
        export(lab.study, lab.store, "cot", tmp_path / "cot.parquet", lambda path, pairs: None)
    with pytest.raises(ValueError, match=r"unknown data set 'cott'; did you mean 'cot'\?"):
        export(lab.study, lab.store, "cott", tmp_path / "cot.parquet", lambda path, pairs: None)
