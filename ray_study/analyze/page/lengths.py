"""How long responses are, what the cap makes of them, and whether they have the form that was asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from ray_study.analyze import plots
from ray_study.analyze.cap_shape import cap_warnings
from ray_study.analyze.findings import caps_table
from ray_study.analyze.length_curves import curves_table, length_curves
from ray_study.analyze.length_figure import plot_curves, plot_medians
from ray_study.analyze.page.content import Content, Material, flat
from ray_study.analyze.thinking import lengths_by_step
from ray_study.rows import GradedAttempt

QUANTITIES = ("median", "mean", "thinking", "answer")
_SCHEMA = {
    "run": pl.String,
    "label": pl.String,
    "benchmark": pl.String,
    "step": pl.Int64,
    "num_attempts": pl.Int64,
    "share_cut": pl.Float64,
    "mean_of_cap": pl.Float64,
} | {name: pl.Float64 for quantity in QUANTITIES for name in (quantity, f"{quantity}_low", f"{quantity}_high")}


def length_table(material: Material) -> pl.DataFrame:
    """Kaplan-Meier medians and restricted means in tokens, thinking and answer apart, a row a run, benchmark and step."""
    rows = [
        {"run": run, "label": material.labels[run], "benchmark": benchmark}
        | {name: getattr(each, name) for name in ("step", "num_attempts", "share_cut", "mean_of_cap")}
        | {key: value for name in QUANTITIES for key, value in flat(name, getattr(each, name)).items()}
        for (run, benchmark), by_step in material.by_step.items()
        for each in lengths_by_step(by_step)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def length(material: Material) -> Content:
    """Lengths by step, with what was cut counted as cut, and how the cap shapes the curves."""
    table = length_table(material)
    if not len(table):
        return Content(nothing="No attempts were kept, so nothing is known of how long they are beyond the scores' own table.")
    rows = table.to_dicts()
    ends: list[dict[str, Any]] = []
    for run, benchmark in dict.fromkeys((row["run"], row["benchmark"]) for row in rows):
        own = [row for row in rows if (row["run"], row["benchmark"]) == (run, benchmark)]
        ends.append({"first": own[0], "longest": max(own, key=lambda row: row["mean"] or 0.0), "last": own[-1]})
    figures = {"length": partial(plots.plot_length, material.study), "medians": partial(plot_medians, material.study, table)}
    curves = length_curves(attempts_by_arm(material))
    if curves:
        figures["length_curves"] = partial(plot_curves, curves)
    return Content(
        values={
            "ends": ends,
            "clipped": clipped(material),
            "warnings": cap_warnings(material.study),
            "caps": caps_table(material.study),
            "thinks": any((row["thinking"] or 0.0) > 0 for row in rows),
        },
        figures=figures,
        tables={"lengths": table},
        long_tables={"length_curves": curves_table(curves)} if curves else {},
    )


def attempts_by_arm(material: Material) -> dict[tuple[str, str], dict[int, list[GradedAttempt]]]:
    """(label of an arm, benchmark) -> step -> the attempts of all its seeds, once each where they share a checkpoint."""
    found: dict[tuple[str, str], dict[int, list[GradedAttempt]]] = {}
    for card in material.cards:
        for arm in material.arms:
            by_step: dict[int, dict[tuple[str, str, int], GradedAttempt]] = {}
            for run in arm.runs:
                for step, graded in material.by_step.get((run.id, card.benchmark), {}).items():
                    by_step.setdefault(step, {}).update({(each.asked_of, each.problem_id, each.sample): each for each in graded})
            if by_step:
                found[arm.label, card.benchmark] = {step: list(own.values()) for step, own in by_step.items()}
    return found


def clipped(material: Material) -> list[dict[str, Any]]:
    """How many attempts at each benchmark had a smaller cap than it asks for, since the model has no more positions.

    Counted once where several runs share a checkpoint, as they do step 0.
    """
    asked = dict(material.study.facts.get("max_tokens") or {})
    caps: dict[str, dict[tuple[str, str, int], int]] = {}
    for cell in material.study.attempts:
        caps.setdefault(cell.benchmark, {}).update({(each.asked_of, each.problem_id, each.sample): each.cap for each in cell.attempts})
    return [
        {
            "benchmark": card.benchmark,
            "max_tokens": asked[card.benchmark],
            "num_attempts": len(caps[card.benchmark]),
            "num_clipped": sum(cap < asked[card.benchmark] for cap in caps[card.benchmark].values()),
        }
        for card in material.cards
        if card.benchmark in asked and card.benchmark in caps
    ]


def form(material: Material) -> Content:
    """Whether there is an answer where it was asked for, and whether the response ended by itself."""
    if not material.study.scores:
        return Content(nothing="No scores yet.")
    return Content(figures={"shares": partial(plots.plot_shares, material.study)})
