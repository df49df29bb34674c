"""The runs of a study, and the literals that identify each thing in it. Pure: plan, status and a second run name the same runs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ray_study.config import AXES, Problems, SearchSpace, Study, Training, point_values
from ray_study.manifests import digest
from ray_study.rows import Stage
from ray_study.settings import explain

# They say where and how a run is computed and when it is given up, not what: the gradient is the same whatever they are.
NOT_IDENTIFYING = frozenset({"micro_batch_size", "packing", "micro_batch_tokens", "gradient_checkpointing", "zero_stage", "stop"})

LAYOUT = frozenset({"layout_workers", "layout_rows"})
"""They decide something only where the loss is aggregated for a stated layout."""

VERSION = 2
"""Raised by hand when the meaning of a run changes. 2: what a recipe sets is part of a run, and how its weights are split is none."""

DATASET_VERSION = 2
"""Raised by hand when the meaning of an example changes. 2: an example says where it comes from and why it is there."""

ATTEMPTS_VERSION = 2
"""Raised by hand when the meaning of a row of what teachers answer changes. 2: an answer says how long it took and how likely it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One point of the sweep before it runs; `id` is the fingerprint of the literals that decide its weights."""

    id: str
    name: str
    stage: Stage
    model: str
    dataset: str
    seed: int
    training: Training


def planned(study: Study) -> list[PlannedRun]:
    """The runs of a study in order: the pretraining of each swept model that has one, then the grid.

    Raises:
        ValueError: a point of the grid is no valid training setting (the axis and value are named), or two runs are one and the same.
    """
    pretrained = [name for name in study.sweep.model if study.models[name].pretrain is not None]
    runs = [*(_pretrain_run(study, name) for name in pretrained), *_grid(study)]
    names: dict[str, str] = {}
    for run in runs:
        if run.id in names:
            raise ValueError(
                f"the runs {names[run.id]!r} and {run.name!r} differ in nothing that decides their weights; "
                "take one of them out of the sweep"
            )
        names[run.id] = run.name
    return runs


def _pretrain_run(study: Study, model: str) -> PlannedRun:
    pretrain = study.models[model].pretrain
    assert pretrain is not None, model
    return PlannedRun(
        id=digest(pretrain_literal(study, model)),
        name=f"{model} pretrain",
        stage="pretrain",
        model=model,
        dataset=pretrain.dataset,
        seed=pretrain.seed,
        training=pretrain.training,
    )


def _grid(study: Study) -> list[PlannedRun]:
    axes, drawn = _axes(study)
    if study.sweep.num_samples > 1 and not drawn[0]:
        raise ValueError(
            f"`sweep.num_samples`: found {study.sweep.num_samples}, which repeats equal runs, since no axis is a search space; use `seed`"
        )
    points = study.sweep.points or ({},)
    grids = [_axes_at(study, axes, point) for point in points]
    # In a name stands what differs between the runs, in one grid or between two.
    seen = [{key: tuple(map(repr, values)) for key, values in grid.items()} for grid in grids]
    varied = {key for grid in seen for key in grid if any(other.get(key) != grid[key] for other in seen) or len(grid[key]) > 1}
    return [run for grid in grids for run in _runs_of(study, grid, drawn, varied.union(drawn[0]))]


def _axes_at(study: Study, axes: Mapping[str, list[Any]], point: dict[str, Any]) -> dict[str, list[Any]]:
    """The listed axes of one point of the sweep, those that every run has first."""
    fixed = {key: point_values(point, key, getattr(study.sweep, key)) for key in AXES}
    training = {key: point_values(point, key, axes.get(key, ())) for key in dict.fromkeys((*axes, *point)) if key not in AXES}
    return {**fixed, **training}


def _runs_of(study: Study, grid: Mapping[str, list[Any]], drawn: list[dict[str, Any]], varied: set[str]) -> list[PlannedRun]:
    runs = []
    for model, dataset, seed, *values in itertools.product(*grid.values()):
        for draw in drawn:
            point = {**dict(zip(list(grid)[len(AXES) :], values, strict=True)), **draw}
            label = [f"{key}={_text(value)}" for key, value in point.items() if key in varied]
            name = " ".join([model, dataset, *label, f"seed={seed}"])
            runs.append(_sft_run(study, (model, dataset, seed), resolve(study.training, point), name))
    return runs


def _sft_run(study: Study, point: tuple[str, str, int], training: Training, name: str) -> PlannedRun:
    model, dataset, seed = point
    literal = {
        "version": VERSION,
        "stage": "sft",
        "model": model_literal(study, model),
        "dataset": dataset_literal(study, dataset),
        "training": training_literal(training),
        "checkpoints": study.checkpoints.model_dump(mode="json", exclude={"keep"}),
        "seed": seed,
    }
    return PlannedRun(id=digest(literal), name=name, stage="sft", model=model, dataset=dataset, seed=seed, training=training)


def _axes(study: Study) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """The listed axes with their values, and the draws of the sampled ones (one empty draw where there are none)."""
    axes: dict[str, list[Any]] = {}
    spaces: dict[str, SearchSpace] = {}
    for key, value in study.sweep.training_axes.items():
        if isinstance(value, dict):
            spaces[key] = SearchSpace.model_validate(value)
        else:
            axes[key] = value if isinstance(value, list) else [value]
    draws: list[dict[str, Any]] = []
    for sample in range(study.sweep.num_samples):
        random_ = random.Random(int(digest(["search", study.seed, sample]), 16))
        draws.append({key: _draw(space, random_) for key, space in sorted(spaces.items())})
    # A choice may be drawn twice, and is one run all the same.
    return axes, [draw for number, draw in enumerate(draws) if draw not in draws[:number]]


def _draw(space: SearchSpace, random_: random.Random) -> Any:
    if space.choice is not None:
        return random_.choice(space.choice)
    if space.uniform is not None:
        return random_.uniform(*space.uniform)
    assert space.loguniform is not None
    low, high = space.loguniform
    return float(f"{math.exp(random_.uniform(math.log(low), math.log(high))):.6g}")


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def resolve(training: Training, point: Mapping[str, Any]) -> Training:
    """The training settings with a grid point's values in place; `steps` takes the place of `epochs` and the other way round.

    Raises:
        ValueError: the result is no valid setting.
    """
    # Only what was given: a recipe that is an axis sets the rest anew.
    settings = training.model_dump(exclude_unset=True)
    if "steps" in point or "epochs" in point:
        settings = {**settings, "steps": None, "epochs": None}
    try:
        return Training.model_validate({**settings, **point})
    except ValidationError as error:
        at = ", ".join(f"{key}={value!r}" for key, value in point.items())
        raise ValueError(f"`sweep` at {at}: {explain(error)}") from error


def training_literal(training: Training) -> dict[str, Any]:
    """What of the training settings decides the weights: all that a recipe sets, and not its name."""
    unused = LAYOUT if training.loss_aggregation == "token_mean" else frozenset()
    return training.model_dump(mode="json", exclude={"recipe", *NOT_IDENTIFYING, *unused})


def problems_literal(problems: Problems) -> dict[str, Any]:
    """What identifies a set of problems."""
    return problems.model_dump(mode="json")


def model_literal(study: Study, name: str) -> dict[str, Any]:
    """What identifies a model's step 0."""
    model = study.models[name]
    literal = model.model_dump(mode="json", exclude={"pretrain"})
    return {**literal, "pretrain": pretrain_literal(study, name) if model.pretrain is not None else None}


def pretrain_literal(study: Study, name: str) -> dict[str, Any]:
    """What identifies the run that makes a model's step 0."""
    model = study.models[name]
    assert model.pretrain is not None, name
    return {
        "version": VERSION,
        "stage": "pretrain",
        "model": model.model_dump(mode="json", exclude={"pretrain"}),
        "dataset": dataset_literal(study, model.pretrain.dataset),
        "training": training_literal(model.pretrain.training),
        "seed": model.pretrain.seed,
    }


HOW_OFTEN = ("num_attempts", "until_correct", "at_most")
"""Of a teacher's settings: how many attempts there are, not what each one is."""


def teacher_literal(study: Study, name: str) -> dict[str, Any]:
    """Who is asked and how: with the study's seed, a problem and the number of an attempt it decides what is asked."""
    settings = study.teachers[name]
    literal = settings.model_dump(
        mode="json",
        exclude={
            # Where a server stands and how the work is cut says nothing about an answer.
            **dict.fromkeys(("model", "shard_size", *HOW_OFTEN), True),
            "endpoint": {"url", "key_from", "requests_at_once", "timeout_seconds"},
        },
    )
    return {**literal, "model": model_literal(study, settings.model) if settings.model is not None else None}


def attempts_literal(study: Study, problems: str, teacher: str) -> dict[str, Any]:
    """What identifies a teacher's attempts at a set of problems."""
    settings = study.teachers[teacher]
    return {
        "problems": problems_literal(study.problems[problems]),
        "teacher": teacher_literal(study, teacher),
        **{key: getattr(settings, key) for key in HOW_OFTEN},
        "seed": study.seed,
    }


def dataset_literal(study: Study, name: str) -> dict[str, Any]:
    """What identifies a data set."""
    dataset = study.datasets[name]
    literal = dataset.model_dump(mode="json", exclude={"problems", "teacher", "tokens_by"})
    # Names of sections are for people: what counts tokens is the model, before any training, and the seed is the one that is used.
    literal["select"]["seed"] = selection_seed(study, name)
    if dataset.tokens_by is not None:
        literal["tokens_by"] = study.models[dataset.tokens_by].model_dump(mode="json", exclude={"pretrain"})
    if dataset.problems is None or dataset.teacher is None:
        return literal
    return {**literal, "attempts": attempts_literal(study, dataset.problems, dataset.teacher)}


def selection_seed(study: Study, name: str) -> int:
    """The seed that a data set's examples are chosen by."""
    seed = study.datasets[name].select.seed
    return study.seed if seed is None else seed


def counting_model(study: Study, name: str) -> str | None:
    """The model whose tokenizer counts a data set's responses: `tokens_by`, else the teacher's; None where neither says one."""
    dataset = study.datasets[name]
    if dataset.tokens_by is not None or dataset.teacher is None:
        return dataset.tokens_by
    return study.teachers[dataset.teacher].model
