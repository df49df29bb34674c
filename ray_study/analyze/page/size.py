"""Score, fall and recovery against the size of the model, the number of examples and the number of steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from ray_study.analyze.bootstrap import draw_trajectories, percentile_interval
from ray_study.analyze.judged import MEANS
from ray_study.analyze.page.content import Arm, Content, Material, Pooled, flat
from ray_study.analyze.scaling import LEAST_SIZES, Law, SizePoint, fit_law
from ray_study.analyze.size_figure import plot_sizes
from ray_study.analyze.statistics import Estimate

DRAWS = 2_000
QUANTITIES = ("score", "fall", "share_recovered")
AXES = ("parameters", "examples", "steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """One arm at one benchmark with its sizes and what was measured there."""

    pooled: Pooled
    sizes: Mapping[str, float | None]
    """`AXES` -> the size; None where it is not known."""
    measured: Mapping[str, Estimate | None]
    """`QUANTITIES` -> the number, in shares."""


def size(material: Material) -> Content:
    """What was measured at each size, and a law where there are enough sizes."""
    sized = [_sized(material, each) for each in material.pooled if each.card.metric not in MEANS]
    rows = [row for axis in AXES for row in _rows(sized, axis)]
    models = list(dict.fromkeys(arm.model for arm in material.arms))
    why = _why_no_parameters(models, sized)
    if not rows:
        return Content(nothing=f"{why} Examples and steps do not vary while the rest is held fixed either.")
    laws = _laws(rows)
    shown = [axis for axis in AXES if any(row["axis"] == axis for row in rows)]
    return Content(
        values={"rows": rows, "axes": shown, "why": why, "laws": laws, "least": LEAST_SIZES},
        figures={f"size_{axis}": partial(plot_sizes, material.study, [row for row in rows if row["axis"] == axis]) for axis in shown},
        tables={"size": pl.DataFrame([_plain(row) for row in rows], infer_schema_length=None)}
        | ({"laws": pl.DataFrame(laws, infer_schema_length=None)} if laws else {}),
    )


def _why_no_parameters(models: Sequence[str], sized: Sequence[Sized]) -> str:
    if len(models) < 2:
        return f"The study has one model{f' ({models[0]})' if models else ''}, so nothing is said of model size."
    if len({each.sizes["parameters"] for each in sized} - {None}) < 2:
        return "The numbers of parameters of the models are not known, so nothing is said of model size."
    return ""


def _sized(material: Material, each: Pooled) -> Sized:
    facts, run = material.study.facts, each.arm.runs[0]
    parameters = dict(facts.get("parameters") or {}).get(run.model)
    learned = dict((facts.get("learned") or {}).get(run.id) or {}).get("num_rows")
    draws = draw_trajectories(each.curves, num_draws=DRAWS)[:, -1]
    low, high = percentile_interval(draws)
    last = Estimate(
        value=float(each.curves.curve()[-1]),
        standard_error=float(draws.std(ddof=1)),
        low=low,
        high=high,
        num_items=len(each.curves.items),
    )
    return Sized(
        pooled=each,
        sizes={"parameters": parameters, "examples": learned, "steps": each.last_step or None},
        measured={
            "score": last,
            "fall": each.dip.depth if each.dip is not None else None,
            "share_recovered": each.dip.share_recovered if each.dip is not None else None,
        },
    )


def _settings(arm: Arm) -> dict[str, Any]:
    found = json.loads(arm.settings or "{}")
    return found if isinstance(found, dict) else {}


_HELD: Mapping[str, Callable[[Arm], tuple[str, ...]]] = {
    "parameters": lambda arm: (arm.dataset, arm.settings),
    "examples": lambda arm: (arm.model, arm.settings),
    # How long a run is trained is one of its settings.
    "steps": lambda arm: (
        arm.model,
        arm.dataset,
        json.dumps({key: value for key, value in _settings(arm).items() if key not in ("steps", "epochs")}, sort_keys=True),
    ),
}
"""Axis -> what must be the same for two arms to stand on one line."""


def _rows(sized: Sequence[Sized], axis: str) -> list[dict[str, Any]]:
    """A row a point of every line that has two sizes or more."""
    lines: dict[tuple[str, ...], list[Sized]] = {}
    for each in sized:
        if each.sizes[axis] is not None:
            lines.setdefault((each.pooled.card.benchmark, *_HELD[axis](each.pooled.arm)), []).append(each)
    rows = []
    for found in lines.values():
        if len({each.sizes[axis] for each in found}) < 2:
            continue
        arm = found[0].pooled.arm
        held = arm.dataset if axis == "parameters" else arm.model if axis == "examples" else f"{arm.model}, {arm.dataset}"
        for each in sorted(found, key=lambda each: each.sizes[axis] or 0.0):
            rows.append(
                {
                    "axis": axis,
                    "benchmark": each.pooled.card.benchmark,
                    "held_fixed": held,
                    "run": found[0].pooled.arm.runs[0].id,
                    "arm": each.pooled.arm.label,
                    "size": float(each.sizes[axis] or 0.0),
                    "num_seeds": len(each.pooled.arm.runs),
                    "start": float(each.pooled.curves.curve()[0]),
                    "shape": each.pooled.dip.shape if each.pooled.dip is not None else None,
                    "measured": each.measured,
                }
            )
    return rows


def _laws(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The laws of those lines that have enough sizes."""
    lines: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["axis"], row["benchmark"], row["held_fixed"]), []).append(row)
    found = []
    for (axis, benchmark, held), line in lines.items():
        for quantity in QUANTITIES:
            measured = [(row["size"], row["measured"][quantity]) for row in line]
            points = [
                SizePoint(size=at, value=each.value, standard_error=each.standard_error)
                for at, each in measured
                if each is not None and each.value is not None and each.standard_error is not None
            ]
            law = fit_law(points) if points else None
            if law is not None:
                found.append({"axis": axis, "benchmark": benchmark, "held_fixed": held, "quantity": quantity} | _law(law))
    return found


def _law(law: Law) -> dict[str, Any]:
    names = ("slope", "slope_low", "slope_high", "intercept", "held_out_error", "constant_error", "coverage", "num_points")
    return {name: getattr(law, name) for name in names} | {"holds": law.holds}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "measured"} | {
        key: value for name in QUANTITIES for key, value in flat(name, row["measured"][name]).items()
    }
