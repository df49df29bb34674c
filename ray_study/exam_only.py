"""Any model at a suite of exams, without a study: a directory, a model of the Hub, or each of its `stepNNN` folders."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from pydantic import Field, ValidationError

from ray_study import results, sweep_file
from ray_study.benchmarks import SUITES, written_out
from ray_study.claims import claim
from ray_study.config import Evaluation, Judge, Model, Problems, Resources, Study
from ray_study.evaluate import Cell, exams, sit
from ray_study.manifests import MANIFEST
from ray_study.materials import Lab, base_directory, load_problems
from ray_study.model_files import download
from ray_study.rows import Checkpoint, Score
from ray_study.runs import checkpoint_at
from ray_study.settings import Settings
from ray_study.store import Store
from ray_study.working import open_lab

log = logging.getLogger(__name__)

STEP_FOLDER = re.compile(r"(?:global_|checkpoint-)?step[-_]?(\d+)|checkpoint-(\d+)")
_HUB_NAME = re.compile(r"(?P<hub>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<folder>.+))?")


class ModelSettings(Settings):
    """What a suite says of a model, whichever it is."""

    dtype: str = "bfloat16"
    max_model_len: int | None = None


class Suite(Settings):
    """The exams of a suite file: what a sweep file says of problems and evaluation, and nothing of training."""

    seed: int = 0
    problems: dict[str, Problems]
    judges: dict[str, Judge] = Field(default_factory=dict)
    evaluation: Evaluation
    resources: Resources = Resources()
    storage: str = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model by what people call it, and where its weights are."""

    name: str
    step: int
    model: Model


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
    try:
        suite = Suite.model_validate({key: raw[key] for key in Suite.model_fields if key in raw})
        settings = [_settings_of(model) for model in (raw.get("models") or {}).values()]
    except ValidationError as error:
        raise ValueError("\n".join(f"{name}: {line}" for line in sweep_file.faults(error, raw))) from error
    missing = sorted({benchmark.problems for benchmark in suite.evaluation.benchmarks.values()} - set(suite.problems))
    if missing:
        raise ValueError(f"{name}: its benchmarks name the problems {missing}, which it does not have; it has {sorted(suite.problems)}")
    judges = {judge for benchmark in suite.evaluation.benchmarks.values() for judge in benchmark.judge}
    here = [judge for judge in sorted(judges) if judge not in suite.judges or suite.judges[judge].endpoint is None]
    if here:
        raise ValueError(
            f"{name}: its benchmarks name the judges {here}; without a study each needs an entry of `judges` that has an `endpoint`"
        )
    if any(each != settings[0] for each in settings):
        raise ValueError(f"{name}: its models differ in dtype or max_model_len, so it does not say which is meant; keep one of `models`")
    return suite, settings[0] if settings else ModelSettings()


def _settings_of(model: dict[str, Any]) -> ModelSettings:
    return ModelSettings.model_validate({key: model[key] for key in ModelSettings.model_fields if key in model})


def find_models(place: str, settings: ModelSettings, *, step_folders: bool, trust: bool) -> list[Named]:
    """The models at a place: itself, or each of its step folders by step.

    Args:
        place: a directory, or `owner/name` of the Hub, with `@revision` and `/folder` where they are wanted.
        settings: how it is served.
        step_folders: whether the models are its `stepNNN` folders.
        trust: whether code that comes with a model may run.

    Raises:
        ValueError: there is no model, or no step folder.
    """
    made = partial(_model, settings=settings, trust=trust)
    if Path(place).expanduser().is_dir():
        root = Path(place).expanduser()
        whole = root.resolve()
        if not step_folders:
            step = _step_of(whole.name)
            return [Named(name=_called(whole.parent.name if step else whole.name), step=step, model=made(path=str(root)))]
        folders = _by_step(path.name for path in root.iterdir() if path.is_dir())
        return [Named(name=_called(whole.name), step=step, model=made(path=str(root / folder))) for step, folder in _some(folders, place)]
    return _of_the_hub(place, made, step_folders=step_folders)


def _of_the_hub(place: str, made: Callable[..., Model], *, step_folders: bool) -> list[Named]:
    parts = _HUB_NAME.fullmatch(place)
    if parts is None:
        raise ValueError(f"--model {place}: expected a directory, or owner/name[@revision][/folder] of the Hub")
    hub, revision, folder = parts["hub"], parts["revision"], parts["folder"] or ""
    name = _called(hub.replace("/", "--"))
    if not step_folders and not folder:
        return [Named(name=name, step=0, model=made(hub=hub, revision=revision))]
    folders = [(_step_of(Path(folder).name), folder)] if not step_folders else _some(_folders_of(hub, revision, folder), place)
    return [Named(name=name, step=step, model=made(path=str(Path(download(hub, revision, inner)) / inner))) for step, inner in folders]


def _folders_of(hub: str, revision: str | None, below: str) -> list[tuple[int, str]]:
    """The step folders of a repository, or below one of its folders, by step."""
    try:
        files = HfApi().list_repo_files(hub, revision=revision)
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"the folders of {hub}@{revision or 'main'} could not be listed ({type(error).__name__}): no connection to the Hub, or no "
            "such model; give a directory of this machine in its place"
        ) from error
    prefix = f"{below}/" if below else ""
    names = {file.removeprefix(prefix).split("/")[0] for file in files if file.startswith(prefix) and "/" in file.removeprefix(prefix)}
    return [(step, f"{prefix}{name}") for step, name in _by_step(names)]


def _by_step(names: Any) -> list[tuple[int, str]]:
    return sorted((_step_of(name), name) for name in names if STEP_FOLDER.fullmatch(name))


def _step_of(name: str) -> int:
    found = STEP_FOLDER.fullmatch(name)
    return int(found[1] or found[2]) if found else 0


def _some(folders: list[tuple[int, str]], place: str) -> list[tuple[int, str]]:
    if not folders:
        raise ValueError(f"--step-folders: {place} has no folder such as step640; leave it out to score the model in {place} itself")
    return folders


def _model(*, settings: ModelSettings, trust: bool, **where: Any) -> Model:
    return Model.model_validate({**settings.model_dump(), "trust_remote_code": trust, **where})


def study_of(suite: Suite, models: Sequence[Named]) -> Study:
    """A study that has exams and models and trains nothing: whoever asks for its sweep or its data sets fails at once."""
    said: dict[str, Any] = {
        "name": f"evaluate-{models[0].name}",
        "question": f"How does {models[0].name} score?",
        "storage": suite.storage,
        "seed": suite.seed,
        "problems": suite.problems,
        "judges": suite.judges,
        "models": {label(each): each.model for each in models},
        "evaluation": suite.evaluation,
        "resources": suite.resources,
    }
    return Study.model_construct(**said)


def label(named: Named) -> str:
    """What a model is called in its directory and in the table."""
    return f"{named.name}-step{named.step}" if named.step else named.name


def _called(text: str) -> str:
    """A name that a study's store may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:40] or "model"


def evaluate(study: Study, store: Store, models: Sequence[Named], progress: Callable[[str], None]) -> tuple[list[Score], list[str]]:
    """The scores of each model at each exam, and why cells have none.

    Raises:
        ValueError: a model cannot be had, the exams cannot be loaded, or another driver works on the store.
    """
    with claim(store, "evaluate"), open_lab(study, store, progress, "evaluate") as lab:
        suite = exams(study, partial(load_problems, lab))
        by_name = {exam.name: exam for exam in suite}
        scores: list[Score] = []
        owed: list[str] = []
        for named in models:
            cells = sit(lab, _checkpoint(lab, named), label(named), label(named), suite)
            scores += [score for cell in cells for score in results.score_cell(cell, by_name[cell.exam])[0]]
            owed += [_owed(cell) for cell in cells if cell.verdicts is None]
    return scores, owed


def _checkpoint(lab: Lab, named: Named) -> Checkpoint:
    """The model as a checkpoint: one without a manifest of ours is given a directory that has one."""
    directory = base_directory(lab, label(named))
    assert (Path(directory) / MANIFEST).is_file(), directory
    return checkpoint_at(directory, label(named), step=named.step)


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
