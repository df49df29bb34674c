"""Whether a model, a run's training and an exam are those of the paper, by what the sweep file declares of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_study.analyze.aggregates import PARTS
from ray_study.analyze.published import cells, exams
from ray_study.rows import BenchmarkCard, Run
from ray_study.training import PAPER_FAITHFUL

Declared = Mapping[str, Mapping[str, Any]]
Recipe = tuple[int | None, float | None, int | None, float | None, str]
"""Examples, epochs, batch size, learning rate, schedule."""

RECIPE = ("num_examples", "epochs", "batch_size", "learning_rate", "schedule")
SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "max_tokens")
NOT_SAID = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Of a study's sampling, what a declaration leaves out where it is zero."""
NOT_DECLARED = "what its names stand for is not in its tables; write its report again"

ROWS_AT_ONCE = {"internlm/internlm2_5-20b": 2}
"""Rows of a micro-batch in the authors' scripts, where it is another number than their usual four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What something of ours is in the paper, or why it is nothing there."""

    value: str = ""
    """The paper's model, data set or benchmark."""
    recipe: Recipe = (None, None, None, None, "")
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What must be said beside a comparison."""


def match_model(declared: Declared, run: Run) -> Matched:
    """The paper's base model that a run starts from."""
    model = declared.get("models", {}).get(run.model)
    if model is None:
        return Matched(reasons=(NOT_DECLARED,))
    known = {cell.model for cell in cells()}
    hub = str(model.get("hub") or "")
    if hub not in known:
        return Matched(reasons=(f"a model of which the paper prints no number ({hub or run.model})",))
    if model.get("pretrained_here"):
        return Matched(value=hub, reasons=(f"{hub} was pretrained further before step 0",))
    positions = model.get("max_model_len")
    short = positions is not None and positions < max(exam.max_tokens for exam in exams().values())
    return Matched(value=hub, reasons=(f"another cap: only {positions:,} positions are kept",) if short else ())


def match_exam(declared: Declared, card: BenchmarkCard) -> Matched:
    """The paper's benchmark that an exam is, asked as its authors' code asks it."""
    settings = declared.get("benchmarks", {}).get(card.benchmark)
    if settings is None:
        return Matched(reasons=(NOT_DECLARED,))
    name = str(settings.get("benchmark") or "")
    if name in PARTS:
        return Matched(reasons=(f"a part of {PARTS[name]}, of which the paper prints one number over all parts",))
    if name not in exams():
        return Matched(
            reasons=("a benchmark that the paper does not have" if name else "an exam written out by itself, and no named benchmark",)
        )
    exam = exams()[name]
    stops = [exam.never] if exam.never else []
    if settings.get("protocol") != "paper":
        stops.append(f"{name} is asked by the protocol {settings.get('protocol')}, and not by the paper's")
    sampling = settings.get("sampling") or {}
    said = NOT_SAID | sampling
    other = [f"{key} {said.get(key)}, not {getattr(exam, key)}" for key in SAMPLING if said.get(key) != getattr(exam, key)]
    stops += [f"{name} is sampled otherwise: {', '.join(other)}"] if other else []
    if exam.num_items is not None and card.num_items != exam.num_items:
        stops.append(f"other items: {card.num_items} of {name}, not {exam.num_items}")
    samples = [] if card.num_samples == exam.num_samples else [f"{card.num_samples} answers an item, {exam.num_samples} in the paper"]
    return Matched(value=name, reasons=tuple(stops), notes=(*samples, *([exam.caveat] if exam.caveat else [])))


def match_training(declared: Declared, facts: Mapping[str, Any], run: Run, model: str) -> Matched:
    """The paper's data set and recipe that a run learns from; further switches in which it differs from the authors' trainer are notes."""
    dataset = declared.get("datasets", {}).get(run.dataset)
    if dataset is None:
        return Matched(reasons=(NOT_DECLARED,))
    name = str(dataset.get("name") or "") if dataset.get("read") == "hub" else ""
    there = {_recipe_of(cell) for cell in cells() if (cell.model, cell.dataset) == (model, name) and cell.step}
    if name not in {cell.dataset for cell in cells() if cell.dataset}:
        return Matched(reasons=(f"data of which the paper prints no number ({name or run.dataset})",))
    if not there:
        return Matched(reasons=(f"the paper prints no numbers of {model or 'this model'} after {name}",))
    if dataset.get("transform", "none") != "none" or dataset.get("truncate_thinking") is not None:
        return Matched(reasons=(f"{name} was transformed",))
    settings = json.loads(run.settings or "{}")
    ours = recipe_of_run(settings, dataset, dict((facts.get("learned") or {}).get(run.id) or {}))
    if ours not in there:
        nearest = min(there, key=lambda recipe: sum(a != b for a, b in zip(ours, recipe, strict=True)))
        apart = [f"{key} {a}, not {b}" for key, a, b in zip(RECIPE, ours, nearest, strict=True) if a != b]
        return Matched(value=name, reasons=(f"another recipe: {', '.join(apart)}",))
    if settings.get("max_length") != PAPER_FAITHFUL["max_length"]:
        return Matched(
            value=name, reasons=(f"another recipe: max_length {settings.get('max_length')}, not {PAPER_FAITHFUL['max_length']}",)
        )
    trainer = dict(PAPER_FAITHFUL) | {"layout_rows": ROWS_AT_ONCE.get(model, PAPER_FAITHFUL["layout_rows"])}
    switches = [key for key, value in trainer.items() if key in settings and settings[key] != value and key not in RECIPE]
    notes = (f"trained otherwise than the authors' code in {', '.join(switches)}",) if switches else ()
    return Matched(value=name, recipe=ours, notes=notes)


def recipe_of_run(settings: Mapping[str, Any], dataset: Mapping[str, Any], learned: Mapping[str, Any]) -> Recipe:
    """What a run is recognised by; epochs from its steps where it says those."""
    rows = (dataset.get("select") or {}).get("num_examples") or learned.get("num_rows")
    batch, epochs = settings.get("batch_size"), settings.get("epochs")
    if epochs is None and settings.get("steps") and rows and batch:
        epochs = settings["steps"] * batch / rows
    return (rows, epochs, batch, settings.get("learning_rate"), settings.get("schedule") or "")


def _recipe_of(cell: Any) -> Recipe:
    return (cell.num_examples, cell.epochs, cell.batch_size, cell.learning_rate, cell.schedule)
