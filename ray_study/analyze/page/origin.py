"""Where it all comes from: data sets, what failed and is owed, and how it was made and at what cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from ray_study.analyze.findings import missing_cells
from ray_study.analyze.page.content import Content, Material
from ray_study.analyze.trajectories import conditions_used, study_trajectories
from ray_study.rows import Run

KNOWN_FACTS = (
    *("name", "question", "sweep", "versions", "seeds", "git_commit", "stages", "device", "datasets", "owed", "learned", "max_tokens"),
    *("judge_validation", "parameters", "planned", "declared"),
)
KNOWN_CARD_KEYS = ("name", "examples", "teacher", "problems", "verdicts", "num_dropped")


def data(material: Material) -> Content:
    """The data sets with their teachers."""
    cards = material.study.facts.get("datasets") or []
    return Content(values={"datasets": [_dataset(card) for card in cards]}) if cards else Content(nothing="No data set was described.")


def failures(material: Material) -> Content:
    """Runs that failed, cells that are owed, points that are missing."""
    study = material.study
    return Content(
        values={
            "failures": [_failure(run) for run in study.runs if run.status == "failed"],
            "missing": missing_cells(study, study_trajectories(study)),
            "owed": [str(cell) for cell in study.facts.get("owed") or []],
        }
    )


def provenance(material: Material) -> Content:
    """Versions, seeds, commit, cost planned and spent, conditions, runs."""
    facts = dict(material.study.facts)
    cost = costs(material)
    return Content(
        values={
            "facts": _provenance(facts),
            "cost": cost,
            "stages": _pairs(facts.get("stages") or {}),
            "versions": _pairs(facts.get("versions") or {}),
            "conditions": conditions_used(material.study),
            "runs": [{"run": run, "learned": dict((facts.get("learned") or {}).get(run.id) or {})} for run in material.study.runs],
            "sweep": str(facts.get("sweep") or ""),
        },
        tables={"cost": pl.DataFrame(cost, schema={"what": pl.String, "planned": pl.Float64, "spent": pl.Float64})} if cost else {},
    )


def costs(material: Material) -> list[dict[str, Any]]:
    """What was planned at most, beside what was spent so far; None where one of the two is not known."""
    study = material.study
    planned = dict(study.facts.get("planned") or {})
    last = {each.run: max(other.num_tokens for other in study.checkpoints if other.run == each.run) for each in study.checkpoints}
    answers = [attempt for cell in study.attempts for attempt in cell.attempts if attempt.finish_reason != "refused"]
    stages = study.facts.get("stages") or {}
    seconds = {str(key): value for key, value in stages.items() if isinstance(value, int | float)} if isinstance(stages, Mapping) else {}
    scoring = [seconds[key] for key in ("answers", "evaluate", "judgements", "verdicts") if key in seconds]
    rows = [
        ("training tokens", planned.get("training_tokens"), sum(last.values()) if last else None),
        ("training FLOPs", planned.get("training_flops"), None),
        ("training hours", planned.get("training_hours"), seconds["train"] / 3600 if "train" in seconds else None),
        ("checkpoints scored", planned.get("num_checkpoints"), len({(cell.run, cell.step) for cell in study.attempts}) or None),
        ("answers", planned.get("num_attempts"), len(answers) or None),
        ("answer tokens", planned.get("num_tokens"), sum(each.num_tokens for each in answers) or None),
        ("scoring hours", planned.get("scoring_hours"), sum(scoring) / 3600 if scoring else None),
    ]
    return [
        {"what": what, "planned": None if plan is None else float(plan), "spent": None if spent is None else float(spent)}
        for what, plan, spent in rows
        if plan is not None or spent is not None
    ]


def _failure(run: Run) -> dict[str, str]:
    return {"run": run.id, "name": run.name, "error": run.error or "no error was recorded"}


def _dataset(card: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's card with every known key, and the rest by name."""
    known: dict[str, Any] = {key: card.get(key) for key in KNOWN_CARD_KEYS}
    return known | {
        "verdicts": dict(card.get("verdicts") or {}),
        "rest": _pairs({k: v for k, v in card.items() if k not in KNOWN_CARD_KEYS}),
    }


def _provenance(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = {key: facts[key] for key in ("git_commit", "device", "seeds") if key in facts}
    return _pairs(shown | {key: value for key, value in facts.items() if key not in KNOWN_FACTS})


def _pairs(values: Any) -> list[tuple[str, str]]:
    """Names and values as text; a list of records, as stages may come, is shown record by record."""
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    return [(str(key), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)) for key, value in items]
