"""The per-benchmark table: scores with intervals, paired differences, and what several samples an item say."""

from __future__ import annotations

from typing import Any

import polars as pl

from ray_study.analyze.aggregates import AGGREGATES, together
from ray_study.analyze.findings import beside, final_table
from ray_study.analyze.page.content import Content, Material, flat
from ray_study.analyze.shares import at_k
from ray_study.analyze.trajectories import study_trajectories
from ray_study.rows import UNJUDGED


def final(material: Material) -> Content:
    """First and last step of each run at each benchmark."""
    if not material.changes:
        return Content(nothing="No scores yet.")
    several = several_samples(material)
    whole = in_parts(material)
    return Content(
        values={
            "changes": material.changes,
            "beside": beside(material.study, material.changes),
            "several": several,
            "together": whole,
            "weights": [f"{each.name}: {each.in_words()}" for each in AGGREGATES if whole],
            "ks": list(dict.fromkeys(row["k"] for row in several)),
        },
        tables={"final": final_table(material.study, material.changes)}
        | ({"at_k": _frame(several)} if several else {})
        | ({"together": pl.DataFrame(whole, infer_schema_length=None)} if whole else {}),
    )


def in_parts(material: Material) -> list[dict[str, Any]]:
    """Benchmarks in parts as one number each, a row a run and step. Nothing is tested of them: their parts are, each by itself."""
    return [
        {"benchmark": each.benchmark, "run": each.run.id, "label": material.labels[each.run.id], "step": point.step}
        | {key: getattr(point.score, key) for key in ("value", "standard_error", "low", "high", "num_items", "num_unjudged")}
        for each in study_trajectories(together(material.study))
        for point in each.points
        if point.value is not None
    ]


def several_samples(material: Material) -> list[dict[str, Any]]:
    """pass@k, pass^k and maj@k at the first and the last step of each run, for k of 2 and of all samples, where there are several."""
    rows = []
    for card in material.cards:
        if card.num_samples < 2 or card.kind in ("refusal", "judged"):
            continue
        for run, label in material.labels.items():
            by_step = material.by_step.get((run, card.benchmark), {})
            for step in sorted({min(by_step), max(by_step)} if by_step else ()):
                judged = sum(attempt.verdict not in UNJUDGED for attempt in by_step[step])
                for k in sorted({2, card.num_samples}) if judged else ():
                    rows += _at(material, (run, label, card.benchmark, step), k)
    return rows


def _at(material: Material, cell: tuple[str, str, str, int], k: int) -> list[dict[str, Any]]:
    run, label, benchmark, step = cell
    try:
        found = at_k(material.by_step[run, benchmark][step], k)
    except ValueError:
        # Too many attempts could not be judged: there is no such number.
        return []
    whole = dict(zip(("pass_at_k", "pass_hat_k", "maj_at_k"), found.values(), strict=True))
    return [{"benchmark": benchmark, "run": run, "label": label, "step": step, "k": k, "num_items": whole["pass_at_k"].num_items} | whole]


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = ("pass_at_k", "pass_hat_k", "maj_at_k")
    plain = [
        {key: value for key, value in row.items() if key not in names}
        | {key: value for name in names for key, value in flat(name, row[name]).items()}
        for row in rows
    ]
    return pl.DataFrame(plain, infer_schema_length=None)
