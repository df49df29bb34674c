"""Published sets of problems: what each is called and holds, and the one way in which all of them are read.

A new set is one `PublishedSet` with a function from a row to an `Item`, and one entry in `SOURCES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from ray_study.problems import files, hub
from ray_study.problems.draws import digest, subset
from ray_study.problems.formats import Request, with_request, without_request
from ray_study.problems.source import Loaded, Options, Source, SourceSpec
from ray_study.rows import Kind, Problem

REPEATED = "asked by an earlier row"
DISPUTED = "rows disagree about the answer"
UNANSWERED = "no answer"
NO_QUESTION = "no question"


class SetOptions(Options):
    """Where the set is read from, and how its problems are asked."""

    name: str | None = None
    """Another name on the hub, or a local directory in the layout of one; None is the published name."""
    revision: str = "main"
    """A branch, tag or commit of the hub; it is resolved to a commit, and that identifies the problems."""
    subset: str | None = None
    """None is the published one on the hub, and a local directory's only one."""
    path: str | None = None
    """A local .parquet, .jsonl or .json file (an object a line; .json also one list of them), or a directory, in place of the hub."""
    request: Request = "long"
    ids: Literal["content", "column"] = "content"
    """A problem is named by what it asks, or by the set's own column, where it has one; that must be unique then."""
    drop_unanswered: bool = False
    """Whether rows without an answer are left out and counted; otherwise they are an error."""

    @model_validator(mode="after")
    def one_place(self) -> SetOptions:
        """The options, if they name one place."""
        if self.path is not None and (self.name is not None or self.revision != "main"):
            raise ValueError(f"found path {self.path!r} and a name or revision of the hub; give one or the other")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What one row holds, before the request for an answer's format is added."""

    question: str
    answer: str
    solution: str = ""
    kind: Kind = "math"
    cluster: str = ""
    """Empty where the problem stands alone."""
    name: str = ""
    """The set's own id of the row."""
    num_choices: int = 4
    """How many letters the request for one names."""
    key: str = ""
    """Equal for rows that ask the same, where it decides the answer as well; empty where the question itself is compared."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a row is no problem."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A set as it was published. `read` gets a row and the options; a ValueError of it is said with the row's place."""

    name: str
    """On the hub."""
    columns: tuple[str, ...]
    """Those that are read, all of which must be there."""
    read: Callable[[Mapping[str, Any], Any], Item | Dropped]
    licence: str
    has_solutions: bool
    kinds: tuple[Kind, ...] = ("math",)
    subsets: tuple[str | None, ...] = (None,)
    """On the hub; several are read one after the other."""
    split: str = "train"
    has_ids: bool = False
    access: str = ""
    """How to get it where it is gated; empty where anybody may read it."""
    files: tuple[str, ...] = ()
    """JSON files that hold the rows, where the set is not read as tables; of the hub or of a local directory."""
    options: type[SetOptions] = SetOptions


@dataclass(slots=True)
class _Collected:
    """What was read so far."""

    problems: dict[str, Problem] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    disputed: set[str] = field(default_factory=set)
    clashes: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0


def source(described: PublishedSet) -> Source[Any]:
    """The set as a problem source."""
    return Source(
        options=described.options,
        load=partial(load, described),
        kinds=described.kinds,
        check=partial(check, described),
        identify=partial(identity, described),
        pin=partial(pinned, described),
        licence=described.licence,
        has_solutions=described.has_solutions,
        hub=described.name,
        access=described.access,
    )


def load(described: PublishedSet, spec: SourceSpec[SetOptions]) -> Loaded:
    """The subset of the set that was asked for, and how many rows are no problems by reason.

    Raises:
        ValueError: it is not there, lacks a column (those expected and found are named), rows have no answer, or ids repeat.
    """
    check(described, spec.options)
    found = _Collected()
    for where, row in _rows(described, spec.options):
        found.num_rows += 1
        _add(found, described, spec, (where, row))
    _complain(found, described, spec.options)
    for key in found.disputed:
        del found.problems[key]
    counts = found.dropped + Counter({DISPUTED: len(found.disputed)})
    if not found.problems:
        raise ValueError(
            f"none of {found.num_rows} rows of {_where(described, spec.options)} is a problem: {dict(counts) or 'it is empty'}"
        )
    return Loaded(problems=subset(list(found.problems.values()), spec.num_problems, spec.seed), dropped=dict(sorted(counts.items())))


def check(described: PublishedSet, options: SetOptions) -> None:
    """Nothing, where the options suit the set and a local file has its columns; ValueError otherwise."""
    if options.ids == "column" and not described.has_ids:
        raise ValueError(f"{described.name} has no column of ids; set ids: content")
    if options.path is None or Path(options.path).is_dir():
        return
    files.exists(options.path, f"a file or directory with the rows of {described.name}")
    _require(described, files.column_names(_kind(options.path), options.path), options.path)


def identity(described: PublishedSet, options: SetOptions) -> dict[str, str]:
    """The commit that the revision stands for now, or the SHA-256 of a local file or directory."""
    if options.path is not None and not Path(options.path).is_dir():
        check(described, options)
        return {"sha256": files.sha256(options.path)}
    with _saying_how(described):
        return hub.commit_of(_where(described, options), options.revision)


def pinned(described: PublishedSet, options: SetOptions) -> SetOptions:
    """The options with the commit in place of a revision of the hub."""
    commit = None if options.path is not None else identity(described, options).get("commit")
    return options if commit is None else options.model_copy(update={"revision": commit})


@contextmanager
def _saying_how(described: PublishedSet) -> Iterator[None]:
    """Adds to an error of the hub how a gated set is got."""
    try:
        yield
    except ValueError as error:
        if not described.access:
            raise
        raise ValueError(
            f"{error}; {described.name} is gated: {described.access}, put a token into a file on each node and set HF_TOKEN_PATH, "
            "or give a local file in its layout as option path"
        ) from error


def _where(described: PublishedSet, options: SetOptions) -> str:
    return options.path or options.name or described.name


def _kind(path: str) -> files.FileKind:
    suffix = Path(path).suffix
    if suffix not in (".parquet", ".jsonl", ".json"):
        raise ValueError(f"path {path!r} ends in {suffix!r}; expected .parquet, .jsonl, .json or a directory")
    return "parquet" if suffix == ".parquet" else "jsonl"


def _rows(described: PublishedSet, options: SetOptions) -> files.Rows:
    where = _where(described, options)
    if options.path is not None and not Path(where).is_dir():
        return files.read(_kind(where), where, described.columns)
    commit = identity(described, options).get("commit")
    if described.files:
        return chain.from_iterable(_file(described, where, one, commit) for one in described.files)
    published: Sequence[str | None] = (None,) if Path(where).is_dir() else described.subsets
    return chain.from_iterable(_table(described, where, one, commit) for one in ((options.subset,) if options.subset else published))


def _file(described: PublishedSet, name: str, file: str, commit: str | None) -> files.Rows:
    path = Path(name) / file if Path(name).is_dir() else hub.download(name, file, commit)
    files.exists(str(path), f"{file} of {described.name}")
    return files.read("jsonl", str(path), described.columns)


def _table(described: PublishedSet, name: str, part: str | None, commit: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _saying_how(described):
        table = hub.open_table(name, part, described.split, commit)
    where = f"data set {name!r}" if part is None else f"data set {name!r}, subset {part!r}"
    _require(described, table.column_names, where)
    for number, row in enumerate(table.select_columns(list(described.columns)), 1):
        yield f"row {number} of {where}", row


def _require(described: PublishedSet, found: Sequence[str], where: str) -> None:
    missing = sorted(set(described.columns) - set(found))
    if missing:
        raise ValueError(
            f"{where} has no columns {missing}; expected those of {described.name}, {sorted(described.columns)}, found {sorted(found)}; "
            "read other layouts with source jsonl, parquet or hub and its option columns"
        )


def _add(found: _Collected, described: PublishedSet, spec: SourceSpec[SetOptions], placed: tuple[str, Mapping[str, Any]]) -> None:
    where, row = placed
    _require(described, list(row), where)
    try:
        item = described.read(row, spec.options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if isinstance(item, Item) and not item.question.strip():
        item = Dropped(NO_QUESTION)
    if isinstance(item, Dropped):
        found.dropped[item.reason] += 1
        return
    if not item.answer.strip() and item.kind not in ("refusal", "judged"):
        found.unanswered.append(where)
        return
    key = digest(item.kind, item.key or " ".join(without_request(item.question).split()))[:16]
    name = item.name if spec.options.ids == "column" else key
    other, first = found.names.setdefault(name, (key, where))
    if other != key or not name:
        found.clashes.append(f"{name!r} in {first} and in {where}" if name else f"none in {where}")
    elif key not in found.problems:
        found.problems[key] = _problem(item, name, spec)
    else:
        found.dropped[REPEATED] += 1
        if not item.key and found.problems[key].answer != item.answer.strip():
            found.disputed.add(key)


def _problem(item: Item, name: str, spec: SourceSpec[SetOptions]) -> Problem:
    request = spec.options.request
    prompt = (
        item.question if request == "none" else with_request(without_request(item.question.strip()), item.kind, request, item.num_choices)
    )
    return Problem(
        id=f"{spec.source}-{name}",
        source=spec.source,
        kind=item.kind,
        prompt=prompt,
        answer=item.answer.strip(),
        cluster=item.cluster or f"{spec.source}-{name}",
        solution=item.solution.strip(),
    )


def _complain(found: _Collected, described: PublishedSet, options: SetOptions) -> None:
    where = _where(described, options)
    if found.clashes:
        raise ValueError(
            f"{len(found.clashes)} of {found.num_rows} rows of {where} have no id or that of another question, first {found.clashes[0]}; "
            "ids must be unique: mend the rows, or set ids: content"
        )
    if found.unanswered and not options.drop_unanswered:
        raise ValueError(
            f"{len(found.unanswered)} of {found.num_rows} rows of {where} have no answer, first {found.unanswered[0]}; "
            "mend the rows, or leave them out with drop_unanswered: true"
        )
    found.dropped[UNANSWERED] += len(found.unanswered)
