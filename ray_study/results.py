"""What a study found: its runs, checkpoints and scores as tables, what is owed and why, and the report made from them."""

from __future__ import annotations

import json
import logging
import platform
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_study import analyze, models
from ray_study.analyze import ScoredAttempts, StudyTables
from ray_study.declared import declared
from ray_study.evaluate import Cell, Exam, is_owed
from ray_study.grid import planned
from ray_study.making import unmade
from ray_study.materials import Lab
from ray_study.pricing import cost
from ray_study.provenance import package_versions
from ray_study.rows import UNJUDGED, Checkpoint, GradedAttempt, Run, Score
from ray_study.runs import as_row
from ray_study.store import Result, Store
from ray_study.stored_steps import stored_steps
from ray_study.train.layout import LENGTHS

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Found:
    """What the flow has gathered so far."""

    runs: list[Run] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The tables of a study, with what failed and what is owed in words."""

    tables: StudyTables
    failed: tuple[str, ...]
    owed: tuple[str, ...]


def findings(lab: Lab, found: Found, exams: Sequence[Exam], datasets: Mapping[str, Result], text: str) -> Findings:
    """The study's findings: scores of every cell, and everything that is missing by name."""
    runs = _all_runs(lab, found)
    mixed = _mixed_conditions(found.cells)
    refused = {} if lab.study.evaluation.allow_mixed_conditions else mixed
    scores, attempts = _scores(found.cells, exams, refused)
    failed = tuple(f"run {run.name!r} failed: {run.error}" for run in runs if run.status == "failed")
    lost = {run.id: stored_steps(lab.store, run.id).lost for run in runs}
    finished = {run.id for run in runs if lab.store.recall("train", run.id) is not None}
    owed = tuple([*_untrained(runs, lost, finished), *_owed(lab, runs, found, exams, refused)])
    tables = StudyTables(
        runs=runs,
        checkpoints=[*found.checkpoints, *_lost(found, lost)],
        scores=scores,
        benchmarks=[exam.card() for exam in exams],
        attempts=attempts,
        training=[row for run in runs for row in training_rows(lab.store, run)],
        facts=_facts(lab, datasets, text)
        | {
            "owed": list(owed),
            "mixed_conditions": {" ".join(key): value for key, value in mixed.items()},
            "examined_at": {exam.name: exam.benchmark.at for exam in exams},
            "max_tokens": {exam.name: exam.sampling.max_tokens for exam in exams},
            "stop_ids": _stop_ids(lab, found.cells),
            "judge_validation": _validations(found.cells),
        },
    )
    return Findings(tables=tables, failed=failed, owed=owed)


def _all_runs(lab: Lab, found: Found) -> list[Run]:
    ended = {run.id: run for run in found.runs}
    return [ended.get(run.id, as_row(run, status="owed")) for run in planned(lab.study)]


def score_cell(cell: Cell, exam: Exam) -> tuple[list[Score], list[GradedAttempt]]:
    """The scores of a cell, and the graded attempts that they were made from; none where it is owed."""
    if cell.verdicts is None:
        return [], []
    graded = cell.verdicts.rows(GradedAttempt)
    of: dict[str, Any] = {"run": cell.checkpoint.run, "step": cell.checkpoint.step, "benchmark": exam.name, "group": exam.benchmark.group}
    num_samples = exam.benchmark.num_samples
    scores = analyze.summarize(graded, **of, num_samples=num_samples, expected_items=len(exam.items))
    scores += analyze.further_scores(graded, **of, num_samples=num_samples)
    rates = {metric: analyze.ErrorRates(**found) for metric, found in cell.verdicts.record.get("rates", {}).items()}
    return [*scores, *analyze.corrected_scores(scores, rates)], graded


def _scores(
    cells: Sequence[Cell], exams: Sequence[Exam], refused: Mapping[tuple[str, str], list[str]]
) -> tuple[list[Score], list[ScoredAttempts]]:
    by_name = {exam.name: exam for exam in exams}
    scores: list[Score] = []
    attempts: list[ScoredAttempts] = []
    for cell in cells:
        if (cell.checkpoint.run, cell.exam) in refused:
            continue
        made, graded = score_cell(cell, by_name[cell.exam])
        scores += made
        if graded:
            attempts.append(ScoredAttempts(run=cell.checkpoint.run, step=cell.checkpoint.step, benchmark=cell.exam, attempts=tuple(graded)))
    return scores, attempts


def _mixed_conditions(cells: Sequence[Cell]) -> dict[tuple[str, str], list[str]]:
    """The curves (run, benchmark) whose points were not measured under one condition, with the conditions."""
    conditions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in cells:
        if cell.verdicts is not None:
            conditions[cell.checkpoint.run, cell.exam] |= {
                row.conditions for row in cell.verdicts.rows(GradedAttempt) if row.finish_reason != "refused"
            }
    return {key: sorted(found) for key, found in conditions.items() if len(found) > 1}


def _untrained(runs: Sequence[Run], lost: Mapping[str, Mapping[int, str]], finished: Container[str]) -> list[str]:
    """The runs that are not trained, and the checkpoints that were saved and cannot be used."""
    # Of a finished run that has to be trained again, its checkpoints tell.
    untrained = [f"run {run.name!r} is not trained" for run in runs if run.status == "owed" and run.id not in finished]
    return [
        *untrained,
        *(f"step {step} of {run.name!r} cannot be scored: {why}" for run in runs for step, why in lost[run.id].items()),
    ]


def _owed(lab: Lab, runs: Sequence[Run], found: Found, exams: Sequence[Exam], refused: Mapping[tuple[str, str], list[str]]) -> list[str]:
    names = {run.id: run.name for run in runs}
    owed = []
    used = {run.dataset for run in runs}
    # Where a run learns from it, the failed run says so.
    broken = {name: why for name, why in unmade(lab.store).items() if name in lab.study.datasets}
    owed += [f"data set {name!r} could not be made: {why}" for name, why in broken.items() if name not in used]
    for cell in found.cells:
        if cell.verdicts is None:
            owed.append(f"{cell.exam} at step {cell.checkpoint.step} of {names[cell.checkpoint.run]!r}: {cell.why}")
        elif set(cell.verdicts.record["verdicts"]) <= set(UNJUDGED):
            why = next((row.explanation for row in cell.verdicts.rows(GradedAttempt)), "there are none")
            owed.append(
                f"{cell.exam} at step {cell.checkpoint.step} of {names[cell.checkpoint.run]!r}: none of its attempts could be judged, "
                f"the first because {why}"
            )
    for (run, name), conditions in refused.items():
        owed.append(
            f"{name} of {names[run]!r}: its points were measured under different conditions ({' | '.join(conditions)}); "
            "set evaluation.allow_mixed_conditions to draw them all the same, or delete its answers to measure them again"
        )
    scored = {(cell.checkpoint.run, cell.checkpoint.step, cell.exam) for cell in found.cells}
    for checkpoint in found.checkpoints:
        last = lab.last_steps[checkpoint.run]
        for exam in exams:
            if is_owed(exam, checkpoint.step, last) and (checkpoint.run, checkpoint.step, exam.name) not in scored:
                owed.append(f"{exam.name} at step {checkpoint.step} of {names[checkpoint.run]!r} is not scored")
    return owed


def _lost(found: Found, lost: Mapping[str, Mapping[int, str]]) -> list[Checkpoint]:
    """The checkpoints that were saved and cannot be used: points of their curves that are missing there. Of them only the step is known."""
    known = {(each.run, each.step) for each in found.checkpoints}
    return [
        Checkpoint(run=run, step=step, path="", num_tokens=0, fingerprint="", canary="{}")
        for run, steps in lost.items()
        for step in steps
        if (run, step) not in known
    ]


def training_rows(store: Store, run: Run) -> list[tuple[str, int, str, float]]:
    """The training metrics of a run by step, as the training loop wrote them."""
    path = Path(store.path(f"train-{run.id}/metrics.jsonl"))
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        values: dict[str, Any] = json.loads(line)
        step = int(values.pop("step"))
        rows += [(run.id, step, key, float(value)) for key, value in values.items() if isinstance(value, int | float)]
    return rows


def _facts(lab: Lab, datasets: Mapping[str, Result], text: str) -> dict[str, Any]:
    study = lab.study
    learned = _learned(lab.store)
    runs = [run for run in planned(study) if run.id in learned]
    return {
        "name": study.name,
        "question": study.question,
        "sweep": text,
        "versions": package_versions(),
        "git_commit": lab.store.facts()["git_commit"],
        "seeds": {"study": study.seed, "runs": list(study.sweep.seed)},
        "stages": stage_seconds(lab.store),
        "device": platform.processor() or platform.machine(),
        "datasets": [_card(lab, name, result) for name, result in datasets.items()],
        "declared": declared(study),
        "learned": learned,
        "parameters": {name: found.num_parameters for name, model in study.models.items() if (found := models.facts(model)) is not None},
        "planned": cost(study),
        "template_differences": {f"{run.dataset} as {run.model}": learned[run.id]["template_differences"] for run in runs},
    }


def _learned(store: Store) -> dict[str, dict[str, Any]]:
    """What each run learns from by its id: its rows, those over its `max_length`, and where its template is not what is taught."""
    return dict(store.read_json(LENGTHS) or {})


def _validations(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """How often the judges of each benchmark are right about what people labelled, by the metric that this corrects."""
    found: dict[str, dict[str, str]] = {}
    for cell in cells:
        for metric, rates in (cell.verdicts.record.get("rates") or {} if cell.verdicts is not None else {}).items():
            found.setdefault(cell.exam, {})[metric] = analyze.ErrorRates(**rates).in_words()
    return found


def _stop_ids(lab: Lab, cells: Sequence[Cell]) -> dict[str, list[int]]:
    """The ids that ended the answers of each model: the tokenizer's EOS and the template's end of turn."""
    models = {run.id: run.model for run in planned(lab.study)}
    found: dict[str, set[int]] = defaultdict(set)
    for cell in cells:
        answers = lab.store.recall("answers", cell.verdicts.record["inputs"]["attempts"]) if cell.verdicts is not None else None
        if answers is not None:
            found[models[cell.checkpoint.run]] |= set(answers.record.get("stop_ids", ()))
    return {model: sorted(ids) for model, ids in found.items() if ids}


def _card(lab: Lab, name: str, result: Result) -> dict[str, Any]:
    dataset = lab.study.datasets[name]
    record = result.record
    card = {
        "name": name,
        "examples": record["num_rows"],
        "teacher": dataset.teacher or dataset.read,
        "problems": dataset.problems or dataset.name,
        "transform": dataset.transform,
        "verdicts": record.get("verdicts", {}),
        "num_dropped": record["num_dropped_by_transform"],
        "num_removed_by_overlap": record["num_removed_by_overlap"],
    }
    return card


def stage_seconds(store: Store) -> dict[str, float]:
    """Seconds spent in each stage, over all its results."""
    spent: dict[str, float] = {}
    for stage in ("problems", "attempts", "dataset", "lengths", "train", "answers", "judgements", "verdicts"):
        records = [store.record(name) for name in store.directories(stage)]
        seconds = [float(record["seconds"]) for record in records if record is not None and "seconds" in record]
        if seconds:
            spent[stage] = round(sum(seconds), 1)
    return spent


def write_report(store: Store, found: Findings) -> str:
    """The path of the report's page, written beside the study's results."""
    return str(analyze.write_report(Path(store.root), found.tables))
