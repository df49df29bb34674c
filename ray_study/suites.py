"""The exams for a model without a study: a suite's file or name, by which protocol, on what, and who judges."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ray_study import problems, sweep_file
from ray_study.benchmarks import SUITES, ProtocolName, written_out
from ray_study.config import Evaluation, Judge, Model, Problems, Resources
from ray_study.places import ModelSettings
from ray_study.settings import Settings

log = logging.getLogger(__name__)

USUAL: Mapping[str, ProtocolName] = {"paper": "paper"}
"""The protocol of a suite that is asked for by its name, where it is not the benchmarks' own rules: who wants the paper's numbers beside
their own asks as the paper does."""

_ASSIGNED = ("judge", "judge_thought", "metric", "options")
"""What the file of `--judges` says of a benchmark of the suite: who judges what of it, and where it is read."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the command line says beside a suite; it wins over the suite's file."""

    protocol: ProtocolName | None = None
    """Of named benchmarks, where an entry of the file does not say its own."""
    gpus: int | None = None
    """Accelerators of a replica: its tensor parallel size."""
    replicas: int | None = None
    judges: str | None = None
    """A sweep or suite file: its judges, and the models that they name."""


NOTHING_SAID = Said()


def read_suite(name: str, said: Said = NOTHING_SAID) -> tuple[Suite, ModelSettings]:
    """The exams of a suite's file or name, or of a sweep file, and the settings in which all its models agree.

    Raises:
        ValueError: something in it is wrong, or its models are set differently.
    """
    raw = suite_file(name, said)
    models: dict[str, Any] = raw.get("models") or {}
    judging = _judging(raw)
    own = {"models": {each: models[each] for each in models if each in judging}}
    try:
        suite = Suite.model_validate({**{key: raw[key] for key in Suite.model_fields if key in raw}, **own})
        settings = [_settings_of(model) for each, model in models.items() if each not in judging]
    except ValidationError as error:
        raise ValueError("\n".join(f"{name}: {line}" for line in sweep_file.faults(error, raw))) from error
    for fault in _unresolved(suite, judging, models):
        raise ValueError(f"{name}: {fault}")
    if any(each != settings[0] for each in settings):
        raise ValueError(f"{name}: its models differ in dtype or max_model_len, so it does not say which is meant; keep one of `models`")
    return suite, settings[0] if settings else ModelSettings()


def suite_file(name: str, said: Said = NOTHING_SAID) -> dict[str, Any]:
    """What a suite says, as a sweep file would, with its named benchmarks written out: a file, or one of `benchmarks.SUITES`.

    Of a suite without a file, benchmarks for which there is no judge, and those that cannot be read from where they are published, are
    left out, and that is told.

    Raises:
        ValueError: there is neither.
    """
    judges = sweep_file.mapping(Path(said.judges)) if said.judges is not None else {}
    if said.judges is not None and not _mapping(judges, "judges"):
        raise ValueError(
            f"--judges {said.judges}: has no `judges`; expected a sweep or suite file that has, such as sweeps/paper/default.yaml"
        )
    if Path(name).is_file():
        return _placed(_with_judges(_written_out(_by_protocol(sweep_file.mapping(Path(name)), said.protocol)), judges), said)
    if name not in SUITES:
        raise ValueError(
            f"--suite {name}: there is no such file, and no suite of that name; choose from {sorted(SUITES)}, or give a YAML file with "
            "`problems` and `evaluation`"
        )
    evaluation = {
        "suite": name,
        "protocol": said.protocol or USUAL.get(name, "standard"),
        "benchmarks": _assigned(judges, SUITES[name]),
    }
    raw = _with_judges(_written_out({"evaluation": evaluation}), judges)
    return _placed(_without_what_cannot_be(raw, name), said)


def _by_protocol(raw: dict[str, Any], protocol: ProtocolName | None) -> dict[str, Any]:
    evaluation = raw.get("evaluation")
    if protocol is None or not isinstance(evaluation, Mapping):
        return raw
    return {**raw, "evaluation": {**evaluation, "protocol": protocol}}


def _written_out(raw: dict[str, Any]) -> dict[str, Any]:
    made = written_out(raw)
    assert isinstance(made, Mapping)
    return dict(made)


def _assigned(judges: Mapping[str, Any], suite: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What the file with the judges says of who judges the suite's benchmarks, by name; what it is silent on is not there."""
    entries = _mapping(_mapping(judges, "evaluation"), "benchmarks")
    found: dict[str, dict[str, Any]] = {}
    for name, entry in entries.items():
        settings = entry if isinstance(entry, Mapping) else {}
        named = str(settings.get("benchmark", name))
        if named in suite and "problems" not in settings and named not in found:
            found[named] = {key: settings[key] for key in _ASSIGNED if key in settings}
    return found


def _with_judges(raw: dict[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    """A suite with the judges of another file beside its own, and the models that these name."""
    named = _judging(file)
    serving = {name: model for name, model in _mapping(file, "models").items() if name in named}
    both = {"judges": {**_mapping(raw, "judges"), **_mapping(file, "judges")}, "models": {**_mapping(raw, "models"), **serving}}
    return {**raw, **{key: value for key, value in both.items() if value}}


def _without_what_cannot_be(raw: dict[str, Any], suite: str) -> dict[str, Any]:
    """A named suite with who judges each of its benchmarks, and without those of which that, or where they are read, is not said."""
    judges, sets = _mapping(raw, "judges"), raw["problems"]
    kept: dict[str, Any] = {}
    unjudged = []
    for name, settings in raw["evaluation"]["benchmarks"].items():
        asked = settings.get("judge") or []
        found = [_who_judges(each, judges) for each in ([asked] if isinstance(asked, str) else asked)]
        if None in found:
            unjudged.append(name)
        elif (why := _unreadable(sets[settings["problems"]])) and settings.get("options"):
            raise ValueError(f"--judges: evaluation.benchmarks.{name}.options: {why}")
        elif why:
            log.warning("left out of the suite %s: %s: %s (`%s: {options: …}` in a file of --judges says so)", suite, name, why, name)
        else:
            kept[name] = {**settings, **({"judge": found} if found else {})}
    if unjudged:
        log.warning(
            "left out of the suite %s: %s, for which a judge is needed; name a file that has one with --judges", suite, ", ".join(unjudged)
        )
    needed = {settings["problems"] for settings in kept.values()}
    return {
        **raw,
        "problems": {name: settings for name, settings in sets.items() if name in needed},
        "evaluation": {**raw["evaluation"], "benchmarks": kept},
    }


def _who_judges(asked: str, judges: Mapping[str, Any]) -> str | None:
    """The judge of that name, or else the one whose rubric it names; None where there is none, or several."""
    if asked in judges:
        return asked
    rubrics = (asked, f"{asked}_completion")
    found = [name for name, judge in judges.items() if isinstance(judge, Mapping) and judge.get("rubric") in rubrics]
    return found[0] if len(found) == 1 else None


def _unreadable(settings: Mapping[str, Any]) -> str:
    """Why a set of problems cannot be read from what is said of it; empty where it can."""
    try:
        problems.check(settings["source"], settings["options"])
    except ValueError as error:
        return str(error)
    return ""


def _placed(raw: dict[str, Any], said: Said) -> dict[str, Any]:
    """The suite on as many replicas as were asked for, of that size: the cluster needs no more for it than these take."""
    if said.gpus is None and said.replicas is None:
        return raw
    resources = _mapping(raw, "resources")
    evaluate, generate = dict(_mapping(resources, "evaluate")), dict(_mapping(resources, "generate"))
    generate.pop("by_model", None)
    if said.gpus is not None:
        evaluate["gpus_per_replica"] = said.gpus
    if said.gpus == 0:
        own = _mapping(evaluate, "by_model")
        evaluate["by_model"] = {name: {key: each[key] for key in each if key != "gpus_per_replica"} for name, each in own.items()}
    if said.replicas is not None:
        evaluate["replicas"] = said.replicas
        if isinstance(fewest := evaluate.get("min_replicas"), int):
            evaluate["min_replicas"] = min(fewest, said.replicas)
    gpus = [evaluate.get("replicas", 1), evaluate.get("gpus_per_replica", 0)]
    # Nothing trains, and nobody teaches.
    kept: dict[str, Any] = {"evaluate": evaluate, "generate": {**generate, "gpus_per_replica": 0}}
    if all(isinstance(each, int) for each in gpus):
        kept["num_gpus"] = max(0, gpus[0] * gpus[1])
    return {**raw, "resources": kept}


def _mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What stands at a key where that is a mapping; what is none is said where the file is checked."""
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def _judging(raw: Mapping[str, Any]) -> set[str]:
    """The models that a file's judges name, before anything in it is checked."""
    named = [judge.get("model") for judge in _mapping(raw, "judges").values() if isinstance(judge, Mapping)]
    return {name for name in named if isinstance(name, str)}


def _settings_of(model: dict[str, Any]) -> ModelSettings:
    return ModelSettings.model_validate({key: model[key] for key in ModelSettings.model_fields if key in model})


def _unresolved(suite: Suite, judging: set[str], models: Mapping[str, Any]) -> Iterator[str]:
    """Names that the suite uses and does not have, a sentence for each section."""
    missing = sorted({benchmark.problems for benchmark in suite.evaluation.benchmarks.values()} - set(suite.problems))
    if missing:
        yield f"its benchmarks name the problems {missing}, which it does not have; it has {sorted(suite.problems)}"
    judges = sorted({judge for benchmark in suite.evaluation.benchmarks.values() for judge in benchmark.judge})
    if missing := [judge for judge in judges if judge not in suite.judges]:
        yield f"its benchmarks name the judges {missing}, which it does not have; each needs an entry of `judges`, there or in --judges"
    if missing := sorted(judging - suite.models.keys()):
        yield f"its judges name the models {missing}, which it does not have; it has {sorted(models)}"
