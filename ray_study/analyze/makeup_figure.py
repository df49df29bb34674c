"""What each score is made of, as a figure: finished, answered of those, right of those, by step."""

from __future__ import annotations

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from ray_study.analyze.grids import Series, series_grid
from ray_study.analyze.study_tables import StudyTables

PARTS = {"finished": "finished", "answered": "answered, of those", "right": "right, of those"}


def plot_makeup(study: StudyTables, table: pl.DataFrame) -> Figure:
    """The three factors of accuracy over steps: a row a benchmark, a column a factor, a line a run."""
    by_run: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        by_run.setdefault((row["benchmark"], row["run"]), []).append(row)
    panels: dict[tuple[str, str], list[Series]] = {}
    for benchmark in table["benchmark"].unique(maintain_order=True):
        for part, name in PARTS.items():
            panels[benchmark, name] = [
                Series(key=run, steps=[row["step"] for row in rows], values=[row[part] for row in rows])
                for (at, run), rows in by_run.items()
                if at == benchmark
            ]
    return series_grid(study, panels, y_label="share", whole_share=True)
