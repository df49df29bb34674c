from __future__ import annotations

import ast
from pathlib import Path

import nbformat

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
