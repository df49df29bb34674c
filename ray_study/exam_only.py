"""Any model at a suite of exams, without a study: a directory, a model of the Hub, or each of its `stepNNN` folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray_study import results
from ray_study.checks.at_work import judges_are_there
from ray_study.claims import claim
from ray_study.config import Study
from ray_study.evaluate import Cell, exams, keep_lists, sit
from ray_study.manifests import MANIFEST
from ray_study.materials import Lab, base_directory, load_problems
from ray_study.owed import matrix
from ray_study.places import Named, label
from ray_study.prepared import prepared
from ray_study.rows import Checkpoint, Score
from ray_study.runs import BASES, checkpoint_at
from ray_study.store import Store
from ray_study.suites import Suite
from ray_study.working import open_lab


def study_of(suite: Suite, models: Sequence[Named]) -> Study:
    """A study that has exams and models and trains nothing: whoever asks for its sweep or its data sets fails at once.

    Raises:
        ValueError: a model is called as one that judges.
    """
    both = sorted({label(each) for each in models} & suite.models.keys())
    if both:
        raise ValueError(
            f"the suite has a model {both[0]!r} that judges, and what is scored is called so too; give that of the suite another name"
        )
    said: dict[str, Any] = {
        "name": f"evaluate-{models[0].name}",
        "question": f"How does {models[0].name} score?",
        "storage": suite.storage,
        "seed": suite.seed,
        "problems": suite.problems,
        "judges": suite.judges,
        "models": {**suite.models, **{label(each): each.model for each in models}},
        "evaluation": suite.evaluation,
        "resources": suite.resources,
    }
    return Study.model_construct(**said)


def evaluate(study: Study, store: Store, models: Sequence[Named], progress: Callable[[str], None]) -> tuple[list[Score], list[str]]:
    """The scores of each model at each exam, and why cells have none. One of several models that cannot be had is owed.

    Raises:
        ValueError: the only model, or a judge, cannot be had, the exams cannot be loaded, or another driver works on the store.
    """
    with claim(store, "evaluate"), open_lab(study, store, progress, "evaluate") as lab:
        return score_models(lab, models)


def score_models(lab: Lab, models: Sequence[Named]) -> tuple[list[Score], list[str]]:
    """What `evaluate` gives, of an open lab; errors are the same."""
    suite = exams(lab.study, partial(load_problems, lab))
    known = [row for row in matrix(lab.study, lab.store) if row.run.id in {label(each) for each in models}]
    scored = {exam.name for exam in suite if len(known) == len(models) and all(row.cells[exam.name].state == "scored" for row in known)}
    judges_are_there(lab, [exam for exam in suite if exam.name not in scored])
    keep_lists(lab.store, suite, lab.study.seed)
    by_name = {exam.name: exam for exam in suite}
    scores: list[Score] = []
    owed: list[str] = []
    for named in models:
        try:
            checkpoint = _checkpoint(lab, named)
        except ValueError as error:
            if len(models) == 1:
                raise
            owed.append(f"{label(named)}: {error}")
            continue
        _note(lab.store, checkpoint)
        cells = sit(lab, checkpoint, label(named), label(named), suite)
        scores += [score for cell in cells for score in results.score_cell(cell, by_name[cell.exam])[0]]
        owed += [_owed(cell) for cell in cells if cell.verdicts is None]
    return scores, owed


def _checkpoint(lab: Lab, named: Named) -> Checkpoint:
    """The model as a checkpoint: one without a manifest of ours is given a directory that has one."""
    directory = base_directory(lab, label(named))
    assert (Path(directory) / MANIFEST).is_file(), directory
    return checkpoint_at(directory, label(named), step=named.step)


def _note(store: Store, checkpoint: Checkpoint) -> None:
    """Keeps which weights a model had when it was asked, and where they are, for whoever judges its answers again."""
    known = {"fingerprint": checkpoint.fingerprint, "path": checkpoint.path, "step": checkpoint.step}
    store.write_json(BASES, {**(store.read_json(BASES) or {}), checkpoint.run: known})


def check_models(store: Store, models: Sequence[Named], cache: Path) -> None:
    """Returns when the models are those whose answers the store holds, as far as they are on this machine.

    Raises:
        ValueError: another model of the same name was asked last.
    """
    noted = store.read_json(BASES) or {}
    for named in models:
        name, directory = label(named), prepared(named.model, label(named), cache)
        if name in noted and directory is not None and str(directory) != noted[name]["path"]:
            raise ValueError(
                f"{store.root} holds the answers of another model called {name!r}, of {noted[name]['path']}; evaluate this one again "
                "first: what is stored of it is not asked again"
            )


def _owed(cell: Cell) -> str:
    return f"{cell.exam} of {cell.checkpoint.run}: {cell.why}"


def how_asked(study: Study) -> dict[str, dict[str, Any]]:
    """How each exam was asked and judged, for whoever sets its scores beside those of others."""
    evaluation = study.evaluation
    return {
        name: {
            "protocol": benchmark.protocol,
            "num_samples": benchmark.num_samples,
            "sampling": (benchmark.sampling or evaluation.sampling).model_dump(mode="json"),
            "reads": benchmark.reads,
            "judges": [_who(study, judge) for judge in benchmark.judge],
        }
        for name, benchmark in evaluation.benchmarks.items()
    }


def _who(study: Study, judge: str) -> dict[str, str | None]:
    settings = study.judges[judge]
    return {"name": judge, "rubric": settings.rubric, "model": settings.model if settings.endpoint is None else settings.endpoint.model}


def table(scores: Sequence[Score]) -> list[str]:
    """A line a score: the metric with its 95 % interval, items and attempts that could not be judged."""
    lines = []
    for score in scores:
        interval = "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
        number = "not known" if score.value is None else f"{score.value:.3f}{interval}"
        unjudged = f", {score.num_unjudged} attempts unjudged" if score.num_unjudged else ""
        lines.append(f"{score.run}  {score.benchmark}  {score.metric}: {number}, {score.num_items} items{unjudged}")
    return lines
