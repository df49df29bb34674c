"""All that judges measured, at the first and the last step of each run, as rows for the report."""

from __future__ import annotations

from typing import Any

from ray_study.analyze.judged import METRICS
from ray_study.analyze.layout import run_labels
from ray_study.analyze.rogan_gladen import CORRECTED
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import benchmark_cards, study_trajectories
from ray_study.rows import Score


def judged_table(study: StudyTables) -> list[dict[str, Any]]:
    """A row for each judged benchmark, run and metric: its value and 95 % interval at the first and the last step, None where missing."""
    judged = [card.benchmark for card in benchmark_cards(study) if card.kind == "judged"]
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    metrics = [name for metric in METRICS for name in (metric, metric + CORRECTED)]
    found = [each for each in study_trajectories(study, metrics=metrics) if each.benchmark in judged]
    # A corrected share stands below the one that was seen.
    found.sort(key=lambda each: (judged.index(each.benchmark), list(labels).index(each.run.id), metrics.index(each.metric)))
    return [
        {
            "benchmark": each.benchmark,
            "label": labels[each.run.id],
            "metric": each.metric.replace("_", " "),
            "first_step": each.points[0].step,
            "first": _words(each.points[0].score),
            "last_step": each.points[-1].step,
            "last": _words(each.points[-1].score),
        }
        for each in found
    ]


def _words(score: Score | None) -> str | None:
    if score is None or score.value is None:
        return None
    interval = "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
    return f"{score.value:.3f}{interval}"
