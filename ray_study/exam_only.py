"""Any model at a suite of exams, without a study: a directory, a model of the Hub, or each of its `stepNNN` folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ray_study import results, sweep_file
from ray_study.benchmarks import SUITES, written_out
from ray_study.claims import claim
from ray_study.config import Evaluation, Judge, Model, Problems, Resources, Study
from ray_study.evaluate import Cell, exams, keep_lists, sit
from ray_study.manifests import MANIFEST
from ray_study.materials import Lab, base_directory, load_problems
from ray_study.places import ModelSettings, Named, label
from ray_study.rows import Checkpoint, Score
from ray_study.runs import BASES, checkpoint_at
from ray_study.settings import Settings
from ray_study.store import Store
from ray_study.working import open_lab

log = logging.getLogger(__name__)


class Suite(Settings):
    """The exams of a suite file: what a sweep file says of problems and evaluation, and nothing of training."""

    seed: int = 0
    problems: dict[str, Problems]
    judges: dict[str, Judge] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    """Those that judge, served as what they judge is."""
    evaluation: Evaluation
    resources: Resources = Resources()
    storage: str = "results"


def suite_file(name: str) -> dict[str, Any]:
    """What a suite says, as a sweep file would, with its named benchmarks written out: a file, or one of `benchmarks.SUITES`.

    Of a suite without a file, benchmarks that need a judge are left out, and that is told: only a file can say who judges.

    Raises:
        ValueError: there is neither.
    """
    if Path(name).is_file():
        return dict(_written_out(sweep_file.mapping(Path(name))))
    if name not in SUITES:
        raise ValueError(
            f"--suite {name}: there is no such file, and no suite of that name; choose from {sorted(SUITES)}, or give a YAML file with "
            "`problems` and `evaluation`"
        )
    raw = dict(_written_out({"evaluation": {"suite": name}}))
    benchmarks = raw["evaluation"]["benchmarks"]
    judged = [each for each, settings in benchmarks.items() if settings.get("judge")]
    if judged:
        log.warning("left out of the suite %s: %s, for which a judge is needed; name one in a file of your own", name, ", ".join(judged))
    kept = {each: settings for each, settings in benchmarks.items() if each not in judged}
    return {**raw, "evaluation": {**raw["evaluation"], "benchmarks": kept}}


def _written_out(raw: dict[str, Any]) -> Mapping[str, Any]:
    made = written_out(raw)
    assert isinstance(made, Mapping)
    return made


def read_suite(name: str) -> tuple[Suite, ModelSettings]:
    """The exams of a suite's file, or of a sweep file, and the settings in which all its models agree.

    Raises:
        ValueError: something in it is wrong, or its models are set differently.
    """
    raw = suite_file(name)
    models: dict[str, Any] = raw.get("models") or {}
    judging = _judging(raw)
    own = {"models": {each: models[each] for each in models if each in judging}}
    try:
        suite = Suite.model_validate({**{key: raw[key] for key in Suite.model_fields if key in raw}, **own})
        settings = [_settings_of(model) for each, model in models.items() if each not in judging]
    except ValidationError as error:
        raise ValueError("\n".join(f"{name}: {line}" for line in sweep_file.faults(error, raw))) from error
    missing = sorted({benchmark.problems for benchmark in suite.evaluation.benchmarks.values()} - set(suite.problems))
    if missing:
        raise ValueError(f"{name}: its benchmarks name the problems {missing}, which it does not have; it has {sorted(suite.problems)}")
    judges = sorted({judge for benchmark in suite.evaluation.benchmarks.values() for judge in benchmark.judge})
    if missing := [judge for judge in judges if judge not in suite.judges]:
        raise ValueError(f"{name}: its benchmarks name the judges {missing}, which it does not have; each needs an entry of `judges`")
    if missing := sorted(judging - suite.models.keys()):
        raise ValueError(f"{name}: its judges name the models {missing}, which it does not have; it has {sorted(models)}")
    if any(each != settings[0] for each in settings):
        raise ValueError(f"{name}: its models differ in dtype or max_model_len, so it does not say which is meant; keep one of `models`")
    return suite, settings[0] if settings else ModelSettings()


def _judging(raw: Mapping[str, Any]) -> set[str]:
    """The models that a file's judges name, before anything in it is checked."""
    judges = raw.get("judges")
    named = [judge.get("model") for judge in judges.values() if isinstance(judge, Mapping)] if isinstance(judges, Mapping) else []
    return {name for name in named if isinstance(name, str)}


def _settings_of(model: dict[str, Any]) -> ModelSettings:
    return ModelSettings.model_validate({key: model[key] for key in ModelSettings.model_fields if key in model})


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
        ValueError: the only model cannot be had, the exams cannot be loaded, or another driver works on the store.
    """
    with claim(store, "evaluate"), open_lab(study, store, progress, "evaluate") as lab:
        return score_models(lab, models)


def score_models(lab: Lab, models: Sequence[Named]) -> tuple[list[Score], list[str]]:
    """What `evaluate` gives, of an open lab; errors are the same."""
    suite = exams(lab.study, partial(load_problems, lab))
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


def _owed(cell: Cell) -> str:
    return f"{cell.exam} of {cell.checkpoint.run}: {cell.why}"


def table(scores: Sequence[Score]) -> list[str]:
    """A line a score: the metric with its 95 % interval, items and attempts that could not be judged."""
    lines = []
    for score in scores:
        interval = "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
        number = "not known" if score.value is None else f"{score.value:.3f}{interval}"
        unjudged = f", {score.num_unjudged} attempts unjudged" if score.num_unjudged else ""
        lines.append(f"{score.run}  {score.benchmark}  {score.metric}: {number}, {score.num_items} items{unjudged}")
    return lines
