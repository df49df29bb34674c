"""Statistics, trajectories, plots and the report: reads the rows of a study, opens in a second, needs no cluster."""

from __future__ import annotations

from ray_study.analyze.bootstrap import curves_of_attempts, draw_trajectories
from ray_study.analyze.cap_shape import cap_shape, curves_at_caps
from ray_study.analyze.comparisons import benjamini_hochberg, compare, holm
from ray_study.analyze.dips import find_dip
from ray_study.analyze.findings import final_table
from ray_study.analyze.flip_pages import write_flips
from ray_study.analyze.flip_table import flips
from ray_study.analyze.further import further_scores
from ray_study.analyze.makeup import made_of, makeups
from ray_study.analyze.peaks import find_peak
from ray_study.analyze.plots import picture, plot_accuracy, plot_length, plot_shares, plot_training, save
from ray_study.analyze.power import (
    Exam,
    Spread,
    affordable,
    assumed_spread,
    detectable_difference,
    detectable_dip,
    items_needed,
    measured_spread,
    power_of_difference,
)
from ray_study.analyze.rehearsals import if_it_were_flat, power_of_dip
from ray_study.analyze.report import write_report
from ray_study.analyze.rogan_gladen import ErrorRates, corrected_scores, error_rates
from ray_study.analyze.shares import at_k, rule_of_three, share_interval
from ray_study.analyze.sketches import as_table, in_points, plot_affordable, plot_caps, plot_dip, plot_flat, plot_makeup, plot_power
from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, TrainingRow, read_study
from ray_study.analyze.summaries import summarize_table
from ray_study.analyze.thinking import lengths_by_step
from ray_study.analyze.trajectories import accuracy_at_cap, attempts_by_step, trajectories
from ray_study.analyze.variance import components, noise_floor, sampling_floor, split_samples

__all__ = [
    "ErrorRates",
    "Exam",
    "ScoredAttempts",
    "Spread",
    "StudyTables",
    "TrainingRow",
    "accuracy_at_cap",
    "affordable",
    "as_table",
    "assumed_spread",
    "at_k",
    "attempts_by_step",
    "benjamini_hochberg",
    "cap_shape",
    "compare",
    "components",
    "corrected_scores",
    "curves_at_caps",
    "curves_of_attempts",
    "detectable_difference",
    "detectable_dip",
    "draw_trajectories",
    "error_rates",
    "final_table",
    "find_dip",
    "find_peak",
    "flips",
    "further_scores",
    "holm",
    "if_it_were_flat",
    "in_points",
    "items_needed",
    "lengths_by_step",
    "made_of",
    "makeups",
    "measured_spread",
    "noise_floor",
    "picture",
    "plot_accuracy",
    "plot_affordable",
    "plot_caps",
    "plot_dip",
    "plot_flat",
    "plot_length",
    "plot_makeup",
    "plot_power",
    "plot_shares",
    "plot_training",
    "power_of_difference",
    "power_of_dip",
    "read_study",
    "rule_of_three",
    "sampling_floor",
    "save",
    "share_interval",
    "split_samples",
    "summarize",
    "summarize_table",
    "trajectories",
    "write_flips",
    "write_report",
]
