"""Statistics, trajectories, plots and the report: reads the rows of a study, opens in a second, needs no cluster."""

from __future__ import annotations

from ray_study.analyze.bootstrap import curves_of_attempts, draw_trajectories
from ray_study.analyze.dips import find_dip
from ray_study.analyze.findings import final_table
from ray_study.analyze.flip_pages import write_flips
from ray_study.analyze.flip_table import flips
from ray_study.analyze.makeup import made_of, makeups
from ray_study.analyze.plots import picture, plot_accuracy, plot_length, plot_shares, plot_training, save
from ray_study.analyze.report import write_report
from ray_study.analyze.rogan_gladen import ErrorRates, corrected_scores, error_rates
from ray_study.analyze.shares import at_k
from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, TrainingRow, read_study
from ray_study.analyze.summaries import summarize_table
from ray_study.analyze.thinking import lengths_by_step
from ray_study.analyze.trajectories import accuracy_at_cap, trajectories

__all__ = [
    "ErrorRates",
    "ScoredAttempts",
    "StudyTables",
    "TrainingRow",
    "accuracy_at_cap",
    "at_k",
    "corrected_scores",
    "curves_of_attempts",
    "draw_trajectories",
    "error_rates",
    "final_table",
    "find_dip",
    "flips",
    "lengths_by_step",
    "made_of",
    "makeups",
    "picture",
    "plot_accuracy",
    "plot_length",
    "plot_shares",
    "plot_training",
    "read_study",
    "save",
    "summarize",
    "summarize_table",
    "trajectories",
    "write_flips",
    "write_report",
]
