"""The report of a study: one page that needs no network and no script, with its figures and tables beside it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ray_study.analyze import findings, plots
from ray_study.analyze.cap_shape import cap_warnings
from ray_study.analyze.judged_table import judged_table
from ray_study.analyze.layout import run_labels
from ray_study.analyze.shapes import shape_rows
from ray_study.analyze.study_tables import StudyTables, write_tables
from ray_study.analyze.trajectories import benchmark_cards, conditions_used, find_attempts, study_trajectories
from ray_study.rows import BenchmarkCard, GradedAttempt, Run

logger = logging.getLogger(__name__)

SHOWN_CHARACTERS = 1600
"""Longer texts are shown by their beginning and end; the tables hold the whole."""
SAMPLES_PER_BENCHMARK = 2
KNOWN_FACTS = (
    "name",
    "question",
    "sweep",
    "versions",
    "seeds",
    "git_commit",
    "stages",
    "device",
    "datasets",
    "owed",
    "learned",
    "max_tokens",
    "judge_validation",
)
KNOWN_CARD_KEYS = ("name", "examples", "teacher", "problems", "verdicts", "num_dropped")


def write_report(directory: Path, study: StudyTables) -> Path:
    """The path of `report/index.html`, written below the store's `directory` with its figures, tables and `report.json`.

    The page comes last, so a page that exists has everything that it names.
    """
    report = Path(directory) / "report"
    files = write_tables(report / "data", study)
    table = findings.final_table(study)
    table.write_parquet(report / "data" / "final.parquet")
    table.write_csv(report / "data" / "final.csv")
    figures = {name: plots.save(figure, report / "figures", name) for name, figure in plots.plot_all(study).items()}
    context = build_context(study) | {
        "files": sorted([*files, "final.parquet", "final.csv"]),
        "figures": {name: base64.b64encode(paths[1].read_bytes()).decode("ascii") for name, paths in figures.items()},
    }
    summary = {key: context[key] for key in ("name", "question", "answer", "failures", "missing", "owed", "conditions", "files")}
    summary |= {"final": table.to_dicts(), "figures": sorted(path.name for paths in figures.values() for path in paths)}
    (report / "report.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False, default=str), encoding="utf-8")
    page = report / "index.html"
    page.write_text(render(context), encoding="utf-8")
    logger.info("report: %d runs, %d scores, %d missing, %s", len(study.runs), len(study.scores), len(context["missing"]), page)
    return page


def render(context: Mapping[str, Any]) -> str:
    """The page of a context, in which every text is escaped."""
    environment = Environment(
        loader=PackageLoader("ray_study", "analyze"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "points": _points, "count": _count}
    return environment.get_template("report.html").render(context)


def build_context(study: StudyTables) -> dict[str, Any]:
    """Everything that the page says, as plain values."""
    facts = dict(study.facts)
    found = findings.changes(study)
    drawn = study_trajectories(study)
    return {
        "name": facts.get("name") or "study",
        "question": facts.get("question") or "",
        "answer": findings.answer(study, found),
        "changes": found,
        "beside": findings.beside(study, found),
        "judged": judged_table(study),
        "judge_validation": dict(facts.get("judge_validation") or {}),
        "shapes": shape_rows(found),
        "cards": [{"card": card, "note": card_note(card)} for card in benchmark_cards(study)],
        "caps": findings.caps_table(study),
        "cap_warnings": cap_warnings(study),
        "clipped": clipped(study),
        "datasets": [_dataset(card) for card in facts.get("datasets") or []],
        "samples": samples(study),
        "failures": [_failure(run) for run in study.runs if run.status == "failed"],
        "missing": findings.missing_cells(study, drawn),
        "owed": [str(cell) for cell in facts.get("owed") or []],
        "runs": [{"run": run, "learned": dict((facts.get("learned") or {}).get(run.id) or {})} for run in study.runs],
        "conditions": conditions_used(study),
        "sweep": str(facts.get("sweep") or ""),
        "provenance": _provenance(facts),
        "stages": _pairs(facts.get("stages") or {}),
        "versions": _pairs(facts.get("versions") or {}),
    }


def card_note(card: BenchmarkCard) -> str:
    """What a reader must know of a benchmark; a refusal is found by its phrases, and the report says so."""
    refusal = "phrase match, not judged" if card.kind == "refusal" else ""
    return card.note if refusal in card.note else "; ".join(part for part in (refusal, card.note) if part)


def clipped(study: StudyTables) -> list[dict[str, Any]]:
    """How many attempts at each benchmark had a smaller cap than it asks for, since the model has no more positions.

    Counted once where several runs share a checkpoint, as they do step 0.
    """
    asked = dict(study.facts.get("max_tokens") or {})
    caps: dict[str, dict[tuple[str, str, int], int]] = {}
    for cell in study.attempts:
        caps.setdefault(cell.benchmark, {}).update({(each.asked_of, each.problem_id, each.sample): each.cap for each in cell.attempts})
    return [
        {
            "benchmark": card.benchmark,
            "max_tokens": asked[card.benchmark],
            "num_attempts": len(caps[card.benchmark]),
            "num_clipped": sum(cap < asked[card.benchmark] for cap in caps[card.benchmark].values()),
        }
        for card in benchmark_cards(study)
        if card.benchmark in asked and card.benchmark in caps
    ]


def samples(study: StudyTables) -> list[dict[str, Any]]:
    """A few problems of each benchmark as one run answered them at its first and at its last step, those that changed verdict first."""
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    attempts = find_attempts(study)
    shown: list[dict[str, Any]] = []
    for each in study_trajectories(study):
        if any(sample["benchmark"] == each.benchmark for sample in shown):
            continue
        steps = [point.step for point in each.points if attempts(each.run.id, point.step, each.benchmark)]
        if not steps:
            continue
        by_step = {step: _first_samples(attempts(each.run.id, step, each.benchmark) or ()) for step in {steps[0], steps[-1]}}
        problems = _interesting(by_step[steps[0]], by_step[steps[-1]])[:SAMPLES_PER_BENCHMARK]
        for problem in problems:
            sides = [{"step": step, "attempt": _shown(by_step[step][problem])} for step in sorted(by_step) if problem in by_step[step]]
            shown.append({"benchmark": each.benchmark, "label": labels[each.run.id], "problem": problem, "sides": sides})
    return shown


def _first_samples(graded: Sequence[GradedAttempt]) -> dict[str, GradedAttempt]:
    return {attempt.problem_id: attempt for attempt in sorted(graded, key=lambda attempt: -attempt.sample)}


def _interesting(first: Mapping[str, GradedAttempt], last: Mapping[str, GradedAttempt]) -> list[str]:
    """The problems at both steps by id, one that was gained and one that was lost in front: neither side is picked to please."""
    both = sorted(set(first) & set(last))
    gained = [item for item in both if first[item].verdict != "correct" and last[item].verdict == "correct"][:1]
    lost = [item for item in both if first[item].verdict == "correct" and last[item].verdict != "correct"][:1]
    return [*gained, *lost, *(item for item in both if item not in (*gained, *lost))]


def _shown(attempt: GradedAttempt) -> dict[str, Any]:
    left_out = len(attempt.text) - SHOWN_CHARACTERS
    half = SHOWN_CHARACTERS // 2
    text = attempt.text if left_out <= 0 else f"{attempt.text[:half]}\n[… {left_out:,} characters left out …]\n{attempt.text[-half:]}"
    return asdict(attempt) | {"text": text}


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


def _share(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "not recorded" if value is None else str(value)
