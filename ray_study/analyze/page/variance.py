"""Where the spread of scores comes from, and how far a checkpoint is from itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from ray_study.analyze.page.content import Content, Material, flat
from ray_study.analyze.variance import components, noise_floor
from ray_study.rows import UNJUDGED, GradedAttempt


def variance(material: Material) -> Content:
    """Standard deviations between items, samples and seeds at the last step of each arm, and what more of each would buy."""
    rows = components_rows(material)
    if not rows:
        return Content(nothing="No arm has attempts at two steps, so nothing is known of where the spread comes from.")
    floor = noise_rows(material)
    tables = {"variance": pl.DataFrame(rows, infer_schema_length=None)}
    return Content(
        values={"rows": rows, "floor": floor, "one_seed": all(row["num_seeds"] == 1 for row in rows)},
        tables=tables | ({"noise_floor": pl.DataFrame(floor, infer_schema_length=None)} if floor else {}),
    )


def components_rows(material: Material) -> list[dict[str, Any]]:
    """A row an arm and benchmark: standard deviations of each part, in shares, and standard errors of this design and of larger ones."""
    rows = []
    for each in material.pooled:
        last = components(each.curves)[-1]
        num_seeds, num_items, _ = each.curves.means.shape
        num_samples = round(float(each.curves.num_samples.mean()))
        designs = {"now": (1, 1, 1), "items_twice": (2, 1, 1), "samples_twice": (1, 2, 1), "seeds_twice": (1, 1, 2)}
        errors = {
            f"standard_error_{name}": last.standard_error(
                num_items=num_items * items, num_samples=num_samples * samples, num_seeds=num_seeds * seeds
            )
            for name, (items, samples, seeds) in designs.items()
        }
        if last.samples is None:
            # One sample an item shows nothing of what more samples would do.
            errors["standard_error_samples_twice"] = math.nan
        if last.seeds is None:
            errors["standard_error_seeds_twice"] = math.nan
        rows.append(
            {
                "benchmark": each.card.benchmark,
                "arm": each.arm.label,
                "step": last.step,
                "num_items": num_items,
                "num_samples": num_samples,
                "num_seeds": num_seeds,
                **{f"sd_{name}": _root(getattr(last, name)) for name in ("items", "samples", "seeds", "seeds_by_items")},
                **{name: None if math.isnan(value) else value for name, value in errors.items()},
            }
        )
    return rows


def _root(variance_of: float | None) -> float | None:
    return None if variance_of is None else math.sqrt(variance_of)


def noise_rows(material: Material) -> list[dict[str, Any]]:
    """A row for each checkpoint that was scored twice at a benchmark: two sets of attempts of the same weights."""
    fingerprints = {(each.run, each.step): each.fingerprint for each in material.study.checkpoints if each.fingerprint}
    first: dict[tuple[str, str], Any] = {}
    rows = []
    for cell in material.study.attempts:
        key = (fingerprints.get((cell.run, cell.step), ""), cell.benchmark)
        if not key[0]:
            continue
        before = first.setdefault(key, cell)
        if before is not cell and _judged(before.attempts) & _judged(cell.attempts):
            found = noise_floor(before.attempts, cell.attempts)
            rows.append(
                {"benchmark": cell.benchmark, "run": cell.run, "step": cell.step, "num_attempts": found.num_attempts}
                | flat("difference", found.difference.estimate)
                | {"share_flipped": found.share_flipped, "share_same_text": found.share_same_text}
            )
    return rows


def _judged(graded: Sequence[GradedAttempt]) -> set[tuple[str, int]]:
    return {(each.problem_id, each.sample) for each in graded if each.verdict not in UNJUDGED}
