"""A data set that is made, as a file of somebody else's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ray_study.config import Study
from ray_study.grid import DATASET_VERSION, dataset_literal, problems_literal
from ray_study.rows import Example, Problem
from ray_study.store import Result, Store, fingerprint
from ray_study.sweep_file import nearest

Pairs = Iterable[tuple[Problem, Example]]


def export(study: Study, store: Store, name: str, path: str | Path, write: Callable[[str | Path, Pairs], object]) -> int:
    """How many rows of a data set were written to a file.

    Args:
        study: whose data set it is.
        store: where it was made.
        name: of the data set.
        path: of the file.
        write: writes pairs of problem and example in a layout, one after the other.

    Raises:
        ValueError: there is no such data set, or it is not made yet.
    """
    if name not in study.datasets:
        raise ValueError(f"unknown data set {name!r}; {nearest(name, list(study.datasets))}")
    made = store.recall("dataset", fingerprint("dataset", DATASET_VERSION, dataset_literal(study, name)))
    if made is None:
        raise ValueError(f"data set {name!r} is not made yet in {store.root}; run the study first")
    write(path, _pairs(study, store, name, made))
    return int(made.record["num_rows"])


def _pairs(study: Study, store: Store, name: str, made: Result) -> Iterator[tuple[Problem, Example]]:
    asked = study.datasets[name].problems
    source = None if asked is None else store.recall("problems", fingerprint("problems", 1, problems_literal(study.problems[asked])))
    by_id = {} if source is None else {row.id: row for row in source.stream(Problem)}
    for example in made.stream(Example):
        yield by_id.get(example.problem_id) or _unknown(example), example


def _unknown(example: Example) -> Problem:
    """The problem of a row that was read ready-made: its prompt is known, and no answer."""
    name = example.problem_id
    return Problem(id=name, source=example.source, kind="exact", prompt=example.prompt, answer="", cluster=name, solution="")
