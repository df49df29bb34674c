"""Safety against reasoning: the path of each arm in the plane, over-refusal beside it, and what judges measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from ray_study.analyze.asymmetry import PathPoint
from ray_study.analyze.judged_table import judged_table
from ray_study.analyze.page.content import Content, Material, flat
from ray_study.analyze.plane import plot_plane
from ray_study.analyze.sides import REASONING

QUANTITIES = ("reasoning_gain", "safety_loss", "over_refusal", "loss_less_gain")


def safety(material: Material) -> Content:
    """Safety lost against reasoning gained, step by step."""
    groups = {card.group for card in material.cards}
    found = material.paths
    rows = [
        {"arm": label, "step": point.step} | {key: value for name in QUANTITIES for key, value in flat(name, getattr(point, name)).items()}
        for label, path in found.items()
        for point in path
    ]
    why = ""
    if not rows:
        missing = [name for name, there in (("safety", "safety" in groups), ("reasoning", bool(groups & set(REASONING)))) if not there]
        why = f"The study has no {' and no '.join(missing)} benchmark." if missing else "No two steps have the attempts of both sides."
    judged = judged_table(material.study)
    names = {side: [card.benchmark for card in material.cards if card.group in of] for side, of in _SIDES.items()}
    values: dict[str, Any] = {
        "why": why,
        "ends": [{"arm": label, "point": path[-1], "worst": max(path[1:], key=_loss)} for label, path in found.items()],
        "has_over_refusal": any(path[-1].over_refusal is not None for path in found.values()),
        "names": names,
        "judged": judged,
        "validation": dict(material.study.facts.get("judge_validation") or {}),
    }
    if not rows and not judged:
        return Content(nothing=f"{why} So what reasoning cost in safety is not known.")
    styles = {arm.label: arm.runs[0].id for arm in material.arms}
    return Content(
        values=values,
        figures={"asymmetry": partial(plot_plane, material.study, found, styles)} if rows else {},
        tables=({"asymmetry": pl.DataFrame(rows, schema=_SCHEMA)} if rows else {})
        | ({"judged": pl.DataFrame(judged, infer_schema_length=None)} if judged else {}),
    )


_SIDES: Mapping[str, tuple[str, ...]] = {"reasoning": REASONING, "safety": ("safety",)}
_SCHEMA = {"arm": pl.String, "step": pl.Int64} | {
    name: pl.Float64 for quantity in QUANTITIES for name in (quantity, f"{quantity}_low", f"{quantity}_high")
}


def _loss(point: PathPoint) -> float:
    return point.safety_loss.value or 0.0
