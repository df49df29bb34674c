"""A sweep file as a `Study`, or one sentence for each thing that is wrong with it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ray_study.chosen import num_asked
from ray_study.config import NO_SCHEDULER, SCHEDULERS, Model, Resources, Study, Sweep, Teacher, Training
from ray_study.grid import planned
from ray_study.settings import NAME_PATTERN, looks_secret


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key said twice, where YAML itself silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice; keep one", key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else repr(key.value))
        return super().construct_mapping(node, deep=deep)


def read(path: str | Path) -> Study:
    """The study that a sweep file describes, with every name in it resolved.

    Raises:
        ValueError: the file is missing, is no YAML mapping, or says something that a study may not; one line for each fault, with the
            file, the key, what was found, what was expected and the nearest valid name.
    """
    source = Path(path)
    text = _text(source)
    raw = _mapping(source, text)
    try:
        study = Study.model_validate(raw)
    except RecursionError as error:
        raise ValueError(f"{source}: an alias (`*name`) holds itself; write its content out") from error
    except ValidationError as error:
        raise ValueError("\n".join(f"{source}: {line}" for line in faults(error, raw))) from error
    found = [*_secret_comments(text), *_unknown_axes(raw), *_unresolved(study), *_unlisted(study)]
    if found:
        raise ValueError("\n".join(f"{source}: {line}" for line in found))
    try:
        planned(study)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return study


def mapping(path: Path) -> dict[str, Any]:
    """What a YAML file says, before anything is checked but that it holds no credential; ValueError where it is no mapping."""
    text = _text(path)
    secrets = _secret_comments(text)
    if secrets:
        raise ValueError("\n".join(f"{path}: {line}" for line in secrets))
    return _mapping(path, text)


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: is not text in UTF-8 (byte {error.start}); expected a YAML file") from error
    except OSError as error:
        raise ValueError(f"{source}: cannot be read ({error.strerror}); expected a sweep file such as sweeps/quickstart.yaml") from error


def _mapping(source: Path, text: str) -> dict[str, Any]:
    try:
        # A safe loader: it makes plain values only.
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where is not None else ""
        raise ValueError(f"{source}:{line} is not a YAML mapping: {getattr(error, 'problem', error)}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{source}: expected a mapping with keys such as name, datasets and sweep, found {type(raw).__name__}")
    return raw


def _secret_comments(text: str) -> list[str]:
    # Values were looked at already; a comment would be published with the file.
    lines = [number for number, line in enumerate(text.splitlines(), 1) if looks_secret(line)]
    return [f"line {number} holds what looks like a credential; a sweep file holds none: take it out" for number in lines]


def schema() -> str:
    """The JSON Schema of a sweep file, as indented JSON."""
    return json.dumps(Study.model_json_schema(), indent=2, sort_keys=True) + "\n"


def nearest(name: str, valid: list[str]) -> str:
    """A phrase that names the valid names, the nearest one first where there is one."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? Valid are {sorted(valid)}" if close else f"valid are {sorted(valid)}"


def faults(error: ValidationError, raw: dict[str, Any]) -> list[str]:
    """A sentence for each thing that is wrong with a file's content."""
    # Unknown keys first: a misspelt key is usually the cause of the others.
    unknown = [_sentence(fault) for fault in error.errors() if fault["type"] == "extra_forbidden"]
    return [*unknown, *_unknown_axes(raw), *(_sentence(fault) for fault in error.errors() if fault["type"] != "extra_forbidden")]


def _sentence(fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden" and fault["loc"][-1] in SCHEDULERS:
        return NO_SCHEDULER.format(key=key)
    if fault["type"] == "extra_forbidden":
        return f"unknown key `{key}`; {nearest(str(fault['loc'][-1]), _keys_at(fault['loc'][:-1]))}"
    if fault["type"] in ("model_type", "dict_type") and _keys_at(fault["loc"]):
        return f"`{key}`: found {_short(fault['input'])}; expected a mapping with keys such as {', '.join(_keys_at(fault['loc'])[:4])}"
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] == NAME_PATTERN:
        return f"`{key}`: found {_short(fault['input'])}; expected a name of up to 64 letters, digits, dots, dashes and underscores"
    if fault["type"] == "missing":
        return f"`{key}` is missing; it is required"
    if fault["type"] == "value_error":
        return f"`{key}`: {fault['ctx']['error']!s}" if fault["loc"] else str(fault["ctx"]["error"])
    if fault["type"] == "literal_error" and isinstance(fault["input"], str):
        valid = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        return f"`{key}`: found {_short(fault['input'])}; {nearest(fault['input'], valid)}"
    return f"`{key}`: found {_short(fault['input'])}; {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid at a place of the file."""
    kind: Any = Study
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation if part in kind.model_fields else None
        else:
            # A mapping or a list: step into what it holds.
            kind = get_args(kind)[-1] if get_args(kind) else None
        kind = _model_in(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _model_in(kind: Any) -> Any:
    """The settings type of an optional field; other types as they are."""
    options = [option for option in get_args(kind) if isinstance(option, type) and issubclass(option, BaseModel)]
    return options[0] if type(None) in get_args(kind) and options else kind


def _unknown_axes(raw: Mapping[str, Any]) -> list[str]:
    known = [*Sweep.model_fields, *Training.model_fields]
    sweep = raw.get("sweep")
    if not isinstance(sweep, dict):
        return []
    points = sweep.get("points") if isinstance(sweep.get("points"), list) else []
    places = [("sweep", sweep), *((f"sweep.points[{number}]", point) for number, point in enumerate(points or []))]
    axes = [(where, str(axis)) for where, place in places if isinstance(place, dict) for axis in place]
    return [f"unknown key `{where}.{axis}`; {nearest(axis, known)}" for where, axis in axes if axis not in (*known, *SCHEDULERS)]


def _unresolved(study: Study) -> list[str]:
    known: dict[str, dict[str, Any]] = {
        "problems": study.problems,
        "teachers": study.teachers,
        "datasets": study.datasets,
        "models": study.models,
        "judges": study.judges,
    }
    faults = [
        f"`{where}` names {name!r}, which is not in `{section}`; {nearest(name, list(known[section]))}"
        for where, name, section in _references(study)
        if name is not None and name not in known[section]
    ]
    return [*faults, *(fault for key, teacher in study.teachers.items() for fault in _teacher_that_learns(key, teacher, study.models))]


def _references(study: Study) -> Iterator[tuple[str, str | None, str]]:
    """Every name that the file uses: where, which, and the section that must have it."""
    for key, dataset in study.datasets.items():
        yield f"datasets.{key}.problems", dataset.problems, "problems"
        yield f"datasets.{key}.teacher", dataset.teacher, "teachers"
        yield f"datasets.{key}.tokens_by", dataset.tokens_by, "models"
    for key, teacher in study.teachers.items():
        yield f"teachers.{key}.model", teacher.model, "models"
    for key, model in study.models.items():
        yield f"models.{key}.pretrain.dataset", model.pretrain.dataset if model.pretrain else None, "datasets"
    for key, benchmark in study.evaluation.benchmarks.items():
        yield f"evaluation.benchmarks.{key}.problems", benchmark.problems, "problems"
        yield from ((f"evaluation.benchmarks.{key}.judge", name, "judges") for name in benchmark.judge)
    for key, judge in study.judges.items():
        yield f"judges.{key}.model", judge.model, "models"
    yield from ((f"resources.{stage}.by_model.{name}", name, "models") for stage, name in _held_apart(study.resources))
    yield from (("sweep.model", name, "models") for name in study.sweep.model)
    yield from (("sweep.dataset", name, "datasets") for name in study.sweep.dataset)


def _held_apart(resources: Resources) -> Iterator[tuple[str, str]]:
    """The stages that hold some models otherwise than the rest, with their names."""
    for stage, names in (
        ("generate", resources.generate.by_model),
        ("train", resources.train.by_model),
        ("evaluate", resources.evaluate.by_model),
    ):
        yield from ((stage, name) for name in names)


def _unlisted(study: Study) -> Iterator[str]:
    """Benchmarks whose list of items cannot be read: known now, so that none that comes later needs to name the benchmark."""
    for key, benchmark in study.evaluation.benchmarks.items():
        try:
            num_asked(benchmark.items)
        except ValueError as error:
            yield f"`evaluation.benchmarks.{key}.items`: {error}"


def _teacher_that_learns(key: str, teacher: Teacher, models: dict[str, Model]) -> list[str]:
    if teacher.model in models and models[str(teacher.model)].pretrain is not None:
        return [
            f"`teachers.{key}.model` names {teacher.model!r}, which is pretrained in this study; a teacher's weights must be ready-made"
        ]
    return []
