"""Data types side by side: what one data set leaves a model with, less what another does, on the same items."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from ray_study.analyze.comparisons import Difference, benjamini_hochberg, holm, item_means, paired_difference
from ray_study.analyze.grids import Series, series_grid
from ray_study.analyze.judged import MEANS
from ray_study.analyze.page.content import Arm, Content, Material, flat
from ray_study.rows import BenchmarkCard

LEVEL = 0.05
MOST_ROWS = 60
"""Longer tables are in the files alone."""


def datasets(material: Material) -> Content:
    """The paired difference between data sets at the same model, settings and seeds, by step; the last shared step is what is claimed."""
    names = list(dict.fromkeys(arm.dataset for arm in material.arms))
    if len(names) < 2:
        return Content(nothing=f"The study has one data set{f' ({names[0]})' if names else ''}: there is nothing to set beside it.")
    rows = [
        row
        for card in material.cards
        if card.metric not in MEANS
        for pair in _pairs(material)
        for row in _differences(material, card, pair)
    ]
    if not rows:
        return Content(nothing="No two data sets have attempts at the same step of the same model, settings, seed and items.")
    last = [row for row in rows if row["is_last"]]
    for row, adjusted in zip(last, holm([1.0 if row["p_value"] is None else row["p_value"] for row in last]), strict=True):
        row["p_value_adjusted"] = None if row["p_value"] is None else adjusted
    rest = [row for row in rows if not row["is_last"] and row["p_value"] is not None]
    for row, adjusted in zip(rest, benjamini_hochberg([row["p_value"] for row in rest]), strict=True):
        row["false_discovery_rate"] = adjusted
    clear = [row for row in last if row["p_value_adjusted"] is not None and row["p_value_adjusted"] < LEVEL]
    return Content(
        values={
            "rows": sorted(last, key=lambda row: row["p_value_adjusted"] or 0.0)[:MOST_ROWS] if len(last) > MOST_ROWS else last,
            "num_rows": len(last),
            "num_clear": len(clear),
            "several_models": len({arm.model for arm in material.arms}) > 1,
        },
        figures={"datasets": partial(_figure, material, rows)},
        tables={"datasets": pl.DataFrame(rows, infer_schema_length=None)},
    )


def _pairs(material: Material) -> Iterator[tuple[Arm, Arm]]:
    """Two arms that differ in their data set alone."""
    by_model: dict[tuple[str, str], list[Arm]] = {}
    for arm in material.arms:
        by_model.setdefault((arm.model, arm.settings), []).append(arm)
    for arms in by_model.values():
        yield from itertools.combinations(arms, 2)


def _differences(material: Material, card: BenchmarkCard, pair: tuple[Arm, Arm]) -> list[dict[str, Any]]:
    """A row for each step at which both arms have attempts with the same seeds, step 0 left out: there they are one model."""
    matched = [
        (first, second)
        for one in pair[0].runs
        for other in pair[1].runs
        if one.seed == other.seed
        and (first := material.by_step.get((one.id, card.benchmark)))
        and (second := material.by_step.get((other.id, card.benchmark)))
    ]
    steps = sorted(set.intersection(*(set(first) & set(second) for first, second in matched)) - {0}) if matched else []
    rows = []
    for step in steps:
        sides = [[item_means(found[side][step]) for found in matched] for side in (0, 1)]
        cluster_of = {attempt.problem_id: attempt.cluster for attempt in matched[0][0][step]}
        found = _paired(sides[0], sides[1], cluster_of)
        rows.append(
            {
                "benchmark": card.benchmark,
                "metric": card.metric,
                "model": pair[0].model,
                "dataset": pair[0].dataset,
                "other_dataset": pair[1].dataset,
                "arm": pair[0].label,
                "other_arm": pair[1].label,
                "step": step,
                "num_seeds": len(matched),
                "num_items": found.estimate.num_items,
                **flat("difference", found.estimate),
                "p_value": found.p_value,
                "p_value_adjusted": None,
                "false_discovery_rate": None,
                "is_last": step == steps[-1],
            }
        )
    return rows


def _paired(before: list[dict[str, float]], after: list[dict[str, float]], cluster_of: Mapping[str, str]) -> Difference:
    """The second less the first, an item's means over seeds averaged first: seeds do not make more items."""
    items = set.intersection(*(set(each) for each in [*before, *after]))
    first, second = ({item: math.fsum(each[item] for each in side) / len(side) for item in items} for side in (before, after))
    return paired_difference(first, second, cluster_of)


def _figure(material: Material, rows: list[dict[str, Any]]) -> Any:
    """The difference over steps, a panel a benchmark and pair of data sets, a line a model."""
    # A run of each model, all of one data set where they can be: so colours stand for models.
    first = {arm.model: arm.runs[0].id for arm in reversed(material.arms)}
    runs = {arm.label: first[arm.model] for arm in material.arms}
    panels: dict[tuple[str, str], list[Series]] = {}
    for row in rows:
        panels.setdefault((row["benchmark"], f"{row['other_dataset']} less {row['dataset']}"), [])
    labels = {}
    for key, found in panels.items():
        own = [row for row in rows if (row["benchmark"], f"{row['other_dataset']} less {row['dataset']}") == key]
        for arm in dict.fromkeys(row["arm"] for row in own):
            line = [row for row in own if row["arm"] == arm]
            labels[runs[arm]] = line[0]["model"]
            found.append(
                Series(
                    key=runs[arm],
                    steps=[row["step"] for row in line],
                    values=[_points(row["difference"]) for row in line],
                    low=[_points(row["difference_low"]) for row in line],
                    high=[_points(row["difference_high"]) for row in line],
                )
            )
    return series_grid(material.study, panels, y_label="difference, points", zero_line=True, labels=labels)


def _points(value: float | None) -> float | None:
    return None if value is None else 100 * value
