"""Statistics, trajectories, plots and the report: reads the rows of a study, opens in a second, needs no cluster."""

from __future__ import annotations

from ray_study.analyze.findings import final_table
from ray_study.analyze.plots import picture, plot_accuracy, plot_length, plot_shares, plot_training, save
from ray_study.analyze.report import write_report
from ray_study.analyze.rogan_gladen import ErrorRates, corrected_scores, error_rates
from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, TrainingRow, read_study
from ray_study.analyze.trajectories import accuracy_at_cap, trajectories

__all__ = [
    "ErrorRates",
    "ScoredAttempts",
    "StudyTables",
    "TrainingRow",
    "accuracy_at_cap",
    "corrected_scores",
    "error_rates",
    "final_table",
    "picture",
    "plot_accuracy",
    "plot_length",
    "plot_shares",
    "plot_training",
    "read_study",
    "save",
    "summarize",
    "trajectories",
    "write_report",
]
