"""Problems from one's own rows: which column holds what, and an error that names the row which does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from ray_study.problems import files
from ray_study.problems.draws import digest, subset
from ray_study.problems.formats import Request, with_request
from ray_study.problems.source import Options, SourceSpec
from ray_study.problems.turns import only_user_turn
from ray_study.rows import COMPLY, Kind, Problem

FIELDS = ("prompt", "answer", "solution", "id", "cluster")


OPEN_KINDS: frozenset[Kind] = frozenset({"refusal", "judged"})
"""Kinds that need no gold answer."""


class TabularOptions(Options):
    """What the columns hold."""

    kind: Kind
    columns: dict[str, str] = Field(default={"prompt": "prompt", "answer": "answer"})
    """Column of each of `prompt`, `answer`, `solution`, `id`, `cluster`. A prompt may be text or one user turn in a list."""
    request: Request = "none"
    """Prompts are taken as they are unless a request is asked for."""

    @field_validator("columns")
    @classmethod
    def known_fields(cls, columns: dict[str, str]) -> dict[str, str]:
        """The mapping, if it names fields of a problem and the prompt among them."""
        unknown = sorted(set(columns) - set(FIELDS))
        if unknown or "prompt" not in columns:
            raise ValueError(f"columns must map 'prompt' and may map {list(FIELDS[1:])}, each to a column's name; unknown: {unknown}")
        return columns

    @model_validator(mode="after")
    def has_gold(self) -> TabularOptions:
        """The options, if the verifier will have something to judge against."""
        if self.kind not in OPEN_KINDS and "answer" not in self.columns:
            raise ValueError(f"kind {self.kind!r} needs a gold answer: map 'answer' to its column in columns")
        return self


class FileOptions(TabularOptions):
    """Where the file is and what its columns hold."""

    path: str

    def exists(self) -> None:
        """Nothing, where the file is there; ValueError otherwise."""
        files.exists(self.path, "the problems")

    def identity(self) -> dict[str, str]:
        """The file's SHA-256: its place and name do not identify it."""
        self.exists()
        return {"sha256": files.sha256(self.path)}


def load_jsonl(spec: SourceSpec[FileOptions]) -> list[Problem]:
    """Problems from a local file with one JSON object a line; ValueError names the line that does not fit."""
    spec.options.exists()
    return to_problems(files.read("jsonl", spec.options.path, ()), spec)


def load_parquet(spec: SourceSpec[FileOptions]) -> list[Problem]:
    """Problems from a local parquet file; ValueError names the row that does not fit."""
    check_parquet(spec.options)
    return to_problems(files.read("parquet", spec.options.path, sorted(set(spec.options.columns.values()))), spec)


def check_jsonl(options: FileOptions) -> None:
    """Nothing, where the file is there and its first row has the columns; ValueError otherwise."""
    options.exists()
    require_columns(options, files.column_names("jsonl", options.path), options.path)


def check_parquet(options: FileOptions) -> None:
    """Nothing, where the file is there and has the columns; ValueError otherwise."""
    options.exists()
    require_columns(options, files.column_names("parquet", options.path), options.path)


def require_columns(options: TabularOptions, found: Iterable[str], where: str) -> None:
    """Nothing, where every mapped column is there; ValueError names the columns found otherwise."""
    found = list(found)
    missing = sorted(set(options.columns.values()) - set(found))
    if missing:
        raise ValueError(f"{where} has no columns {missing}, found {found}; set columns: {{prompt: …, answer: …}} to the right names")


def to_problems(rows: Iterable[tuple[str, Mapping[str, Any]]], spec: SourceSpec[Any]) -> list[Problem]:
    """The subset that was asked for of the rows, each with a phrase that says where it stands; repeats are left out."""
    problems: dict[str, Problem] = {}
    ids: dict[str, str] = {}
    clashes: list[str] = []
    num_rows = 0
    for where, row in rows:
        require_columns(spec.options, row, where)
        problem = _problem(where, row, spec)
        num_rows += 1
        if problem.prompt in problems:
            continue
        if problem.id in ids:
            clashes.append(f"{problem.id!r} in {ids[problem.id]} and in {where}")
            continue
        problems[problem.prompt], ids[problem.id] = problem, where
    if clashes:
        raise ValueError(
            f"{len(clashes)} of {num_rows} rows have the id of another prompt, first {clashes[0]}; ids must be unique: mend the rows, "
            "or leave id out of columns, which names problems by what they ask"
        )
    return subset(list(problems.values()), spec.num_problems, spec.seed)


def _problem(where: str, row: Mapping[str, Any], spec: SourceSpec[Any]) -> Problem:
    options: TabularOptions = spec.options
    values = {name: row[column] for name, column in options.columns.items()}
    prompt = _prompt(values["prompt"], f"{where}, column {options.columns['prompt']!r}")
    answer = _text(values.get("answer"))
    if options.kind == "refusal" and answer != COMPLY:
        # Whatever else stands there is no gold of a refusal.
        answer = ""
    if not answer and options.kind not in OPEN_KINDS:
        raise ValueError(f"{where} has no answer in column {options.columns['answer']!r}; kind {options.kind!r} needs one")
    name = _text(values.get("id")) or digest(options.kind, prompt)[:16]
    return Problem(
        id=f"{spec.source}-{name}",
        source=spec.source,
        kind=options.kind,
        prompt=with_request(prompt, options.kind, options.request),
        answer=answer,
        cluster=_text(values.get("cluster")) or f"{spec.source}-{name}",
        solution=_text(values.get("solution")),
    )


def _prompt(value: object, where: str) -> str:
    text = value if isinstance(value, str) else only_user_turn(value)
    if text is None or not text.strip():
        raise ValueError(f"{where}: expected a text or a list with one user turn, found {str(value)[:80]!r}")
    return text


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return str(value).strip()
