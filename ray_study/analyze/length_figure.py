"""Median lengths by step, and thinking and answer apart, as a figure."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from ray_study.analyze.grids import Series, note, series_grid
from ray_study.analyze.study_tables import StudyTables

NOTE = "medians by Kaplan-Meier: a gap where more than half were cut; thinking and answer: restricted means"


def plot_medians(study: StudyTables, table: pl.DataFrame) -> Figure:
    """The median response length over steps with its interval, and the restricted means of thinking and of the answer where there is any.

    A row a benchmark, a line a run.
    """
    thinks = bool((table["thinking"].fill_null(0.0) > 0).any())
    columns = {"median": "median tokens"} | ({"thinking": "thinking", "answer": "answer"} if thinks else {})
    panels: dict[tuple[str, str], list[Series]] = {}
    for benchmark in table["benchmark"].unique(maintain_order=True):
        at = table.filter(pl.col("benchmark") == benchmark)
        runs = at["run"].unique(maintain_order=True).to_list()
        for column, name in columns.items():
            panels[benchmark, name] = [
                Series(
                    key=run,
                    steps=own["step"].to_list(),
                    values=own[column].to_list(),
                    low=own[f"{column}_low"].to_list(),
                    high=own[f"{column}_high"].to_list(),
                )
                for run in runs
                if len(own := at.filter(pl.col("run") == run))
            ]
    figure = series_grid(study, panels, y_label="tokens")
    note(figure, NOTE)
    return figure
