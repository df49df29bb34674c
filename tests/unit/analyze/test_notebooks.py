"""The notebooks run, whole and in a kernel, on small studies that are stored here as a report stores them."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ray_study.analyze.study_tables import StudyTables, write_tables
from ray_study.rows import GradedAttempt

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FEWER = {"num_flat": "10", "num_trajectories": "5"}
"""What is drawn by the hundred for a reader and need not be for a test."""

MakeStudy = Callable[..., StudyTables]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes its environment from here; on small matrices a thread a core only waits for the others."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def stored(study: StudyTables, directory: Path) -> Path:
    write_tables(directory / "report" / "data", study)
    return directory


def run(name: str, store: Path, **parameters: str) -> nbformat.NotebookNode:
    """The notebook after all of its cells ran, with some lines of its first cell changed."""
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.name.startswith(name)), as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    values = FEWER | parameters | {"store": repr(str(store))}
    lines = [line.partition(" = ") for line in first.source.splitlines()]
    first.source = "\n".join(f"{key} = {values.get(key, value)}" for key, _, value in lines)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))


def num_pictures(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))


def small(make_study: MakeStudy, **changes: Any) -> StudyTables:
    values = {"datasets": ("math-cot",), "steps": (0, 10, 40, 640), "benchmarks": ("math-500", "advbench"), "num_items": 60}
    return make_study(**(values | changes))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_only_analysis_and_holds_no_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells[0].source.splitlines()[0] == 'store = "results/quickstart"'
    for cell in cells:
        assert not cell.outputs
        assert cell.execution_count is None
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.Import)
            assert not isinstance(node, ast.ImportFrom) or node.module == "ray_study.analyze"


def test_every_notebook_is_run_here() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["1_trajectories", "2_is_this_dip_real", "3_plan_with_power"]


def test_the_first_draws_the_trajectories_and_the_final_table(make_study: MakeStudy, tmp_path: Path) -> None:
    done = run("1", stored(small(make_study), tmp_path))
    assert num_pictures(done) == 5
    tables = [output.data.get("text/html", "") for output in done.cells[-1].outputs]
    assert "math-500" in tables[0]


def test_the_second_finds_the_dip_that_is_there_and_says_what_it_is_made_of(make_study: MakeStudy, tmp_path: Path) -> None:
    study = dipping(small(make_study, steps=(0, 10, 20, 40, 640), num_items=150))
    done = run("2", stored(study, tmp_path), run=repr(study.runs[0].id), benchmark="'math-500'")
    text = printed(done)
    assert num_pictures(done) == 4
    verdict = text[text.rindex("this design sees") - 60 :]
    assert "dip and recovery; this design sees" in verdict
    for reason in ("the fall is clear on held-out items", "the rise after it is clear", "it is more than sampling noise", "forgetting how"):
        assert f"yes      {reason}" in verdict, verdict
    assert "of answers flip" in text
    assert "0% of flat curves have a lowest point at least this deep" in text


def dipping(study: StudyTables) -> StudyTables:
    """The study with half of the right answers at step 20 wrong, and all its other answers as at step 0."""
    first = {cell.benchmark: cell for cell in study.attempts if cell.step == 0}

    def answers(benchmark: str, step: int) -> tuple[GradedAttempt, ...]:
        graded = first[benchmark].attempts
        if step != 20:
            return graded
        return tuple(
            replace(each, verdict="wrong", lenient_verdict="wrong") if each.verdict == "correct" and number % 2 else each
            for number, each in enumerate(graded)
        )

    return replace(study, attempts=[replace(cell, attempts=answers(cell.benchmark, cell.step)) for cell in study.attempts])


def test_the_second_says_what_it_cannot_know_where_items_were_asked_once(make_study: MakeStudy, tmp_path: Path) -> None:
    text = printed(run("2", stored(small(make_study, num_items=20), tmp_path), benchmark="'advbench'"))
    assert "the noise floor is unknown" in text
    assert "unknown  it is more than sampling noise" in text


def test_the_third_plans_from_guesses_and_from_what_was_measured(make_study: MakeStudy, tmp_path: Path) -> None:
    done = run("3", stored(small(make_study), tmp_path))
    text = printed(done)
    assert num_pictures(done) == 2
    assert "  198 items x 3 : difference  7.3 points, dip  9.5" in text
    assert "none of 300 answered means a rate below 1.0 %" in text
    assert "as it was asked: difference" in text
    assert text.count("called a dip in") == 3


def test_the_third_plans_without_a_second_sample(make_study: MakeStudy, tmp_path: Path) -> None:
    text = printed(run("3", stored(small(make_study, benchmarks=("advbench",)), tmp_path)))
    assert "items needed for 5 points" in text
