from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ray_study.analyze import StudyTables, write_report

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "notebooks" / "curves.ipynb"


def test_the_notebook_imports_only_analysis_and_holds_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells[0].source.strip() == 'store = "results/quickstart"'
    for cell in cells:
        assert not cell.outputs
        assert cell.execution_count is None
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.Import)
            assert not isinstance(node, ast.ImportFrom) or node.module == "ray_study.analyze"


@pytest.mark.slow
def test_the_notebook_draws_the_curves_and_the_final_table_of_a_study(make_study: Callable[..., StudyTables], tmp_path: Path) -> None:
    write_report(tmp_path, make_study(benchmarks=("math-500", "advbench"), steps=(0, 10), num_items=8))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = f"store = {str(tmp_path)!r}"
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert any("math-500" in output.get("data", {}).get("text/html", "") for output in outputs)
