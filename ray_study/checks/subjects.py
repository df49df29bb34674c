"""A study as checks see it: as it lies there, without writing anything into its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ray_study import assets, problems
from ray_study.chat import Chat
from ray_study.checks.finding import JudgeModel, Rendering, Subject
from ray_study.chosen import subset
from ray_study.config import Problems, Study
from ray_study.grid import problems_literal
from ray_study.prepared import files_of, prepared
from ray_study.problems import SOURCES, local_sources
from ray_study.rows import Problem
from ray_study.store import Store, fingerprint

NEEDS_A_DOWNLOAD = "not made yet, and loading them may need a download; `run` does that and checks again"
NOT_PREPARED = "not prepared on this machine yet; `run` does that and checks again"


def is_loaded_here(settings: Problems) -> bool:
    """Whether a set of problems can be loaded again with nothing from elsewhere: made on demand, from a cached asset or a local file."""
    source = SOURCES[settings.source]
    if source.assets:
        return all(assets.is_cached(name) for name in source.assets)
    return source.endless or bool(local_sources(settings))


def as_it_is(study: Study, store: Store, progress: Callable[[str], None]) -> Subject:
    """The study with what is stored, and what can be made in memory in a moment. Nothing is written into the store."""
    sets: dict[str, Sequence[Problem]] = {}
    missing: dict[str, str] = {}
    for name, settings in study.problems.items():
        found = store.find("problems", fingerprint("problems", 1, problems_literal(settings)), local_sources(settings))
        if found is not None:
            sets[name] = found.rows(Problem)
        elif is_loaded_here(settings):
            sets[name] = problems.load(settings.source, num_problems=settings.num_problems, seed=settings.seed, options=settings.options)
        else:
            missing[f"problems {name!r}"] = NEEDS_A_DOWNLOAD
    exams = {
        name: subset(sets[benchmark.problems], benchmark.items, study.seed)
        for name, benchmark in study.evaluation.benchmarks.items()
        if benchmark.problems in sets
    }
    asked = renderings(study, lambda name: _prepared(study, name), missing)
    return Subject(
        study=study,
        store=store,
        exams=exams,
        sets=sets,
        renderings=asked,
        missing=missing,
        progress=progress,
        judge_model=partial(judge_as_it_is, study, assets.cache_directory()),
    )


def judge_as_it_is(study: Study, cache: Path, name: str, rewards: bool) -> JudgeModel:
    """A model that judges, as far as it is on this machine; nothing is made.

    Raises:
        ValueError: it is a directory and holds no model, or a reward model that comes from elsewhere than the Hub or a directory.
    """
    model = study.models[name]
    if rewards and model.hub is None:
        if model.path is None:
            raise ValueError("a reward model comes from `hub` or `path`: assets and random weights are language models")
        files_of(Path(model.path))
        return JudgeModel(directory=Path(model.path))
    found = None if rewards else prepared(model, name, cache)
    if found is None and (model.hub is not None or (model.asset is not None and not assets.is_cached(model.asset))):
        return JudgeModel(unseen=NOT_PREPARED)
    return JudgeModel(directory=found)


def _prepared(study: Study, name: str) -> Path | None:
    """The directory of a model where it is prepared, or made from random weights in a moment."""
    model = study.models[name]
    found = prepared(model, name, assets.cache_directory())
    if found is None and model.scratch is not None:
        # Not at the top: torch takes seconds to load, and is needed once.
        from ray_study import model_files  # noqa: PLC0415

        return model_files.prepare(model, name, assets.cache_directory())
    return found


def renderings(study: Study, directory_of: Callable[[str], Path | None], missing: dict[str, str]) -> dict[str, Rendering]:
    """How each swept model is asked; why one cannot be looked at goes into `missing`."""
    found: dict[str, Rendering] = {}
    for name in study.sweep.model:
        directory = directory_of(name)
        if directory is None:
            missing[f"model {name!r}"] = NOT_PREPARED
            continue
        try:
            chat = Chat(directory, trust_remote_code=study.models[name].trust_remote_code, end_token=study.training.end_token)
        except ValueError as error:
            # Its runs fail alone, with the same sentence.
            missing[f"model {name!r}"] = str(error)
            continue
        found[name] = Rendering(chat=chat, directory=directory)
    return found
