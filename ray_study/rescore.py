"""Judging stored attempts again with today's verifier. No model is asked, and no cluster is needed.

Verdicts of today's version that are stored must come out the same, or the store and the code disagree. Those of an older version stay
as they are: today's become a result of their own beside them.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, fields
from typing import Any

from ray_study import materials, tables
from ray_study.claims import claim
from ray_study.evaluate import subset
from ray_study.materials import Lab
from ray_study.owed import MatrixRow, answers_mark, matrix, verdicts_inputs, verdicts_mark
from ray_study.recall import stored_problems
from ray_study.rows import GradedAttempt, Problem
from ray_study.store import Result, Workspace
from ray_study.verify import JUDGES
from ray_study.verify import VERSION as VERIFY_VERSION
from ray_study.verify.again import JUDGED, Change, changes_between, judge_again


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One attempt that is judged otherwise now."""

    benchmark: str
    run: str
    step: int
    item: str
    sample: int
    change: str
    """What it was and what it is now."""
    version: int
    """Of the verifier that gave the stored verdict."""


@dataclass(slots=True)
class Rescored:
    """What came of judging again."""

    num_attempts: int = 0
    flips: list[Flip] = field(default_factory=list)
    judged_anew: int = 0
    """Cells that had no verdicts of today's version and have them now."""
    left_alone: list[str] = field(default_factory=list)
    """Cells that cannot be judged without a model, with the reason."""

    @property
    def contradictions(self) -> list[Flip]:
        """Attempts that today's version of the verifier has judged in two ways: no change of version explains it."""
        return [flip for flip in self.flips if flip.version == VERIFY_VERSION]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    row: MatrixRow
    benchmark: str
    answers: Result
    source: Result
    items: Mapping[str, Problem]

    @property
    def name(self) -> str:
        return f"{self.benchmark} at step {self.row.step} of {self.row.run.name}"


def rescore(lab: Lab, benchmarks: Sequence[str]) -> Rescored:
    """What is judged otherwise now, over all stored answers of the benchmarks.

    Raises:
        ValueError: verdicts of today's version have to be written, and another driver scores the study now.
    """
    found = Rescored()
    cells = list(_cells(lab, benchmarks, found))
    verdicts = [_verdicts(lab, cell) for cell in cells]
    with ExitStack() as stack:
        if any(VERIFY_VERSION not in by_version for by_version in verdicts):
            stack.enter_context(claim(lab.store, "evaluate"))
        for cell, by_version in zip(cells, verdicts, strict=True):
            _rescore_cell(lab, cell, by_version, found)
    return found


def _cells(lab: Lab, benchmarks: Sequence[str], found: Rescored) -> Iterator[_Cell]:
    """The cells whose answers are stored whole, each once; of those that a function cannot judge it is noted why."""
    study, seen = lab.study, set()
    problems: dict[str, tuple[Result, list[Problem]]] = {}
    for row in matrix(study, lab.store):
        for name in (name for name in row.cells if name in benchmarks and row.trained):
            mark = answers_mark(study, name, row.fingerprint, row.run.model)
            answers = lab.store.recall("answers", mark)
            if answers is None or (mark, name) in seen:
                continue
            seen.add((mark, name))
            benchmark = study.evaluation.benchmarks[name]
            if benchmark.problems not in problems:
                problems[benchmark.problems] = stored_problems(lab, benchmark.problems)
            source, rows = problems[benchmark.problems]
            if answers.record["sources"] != {f"problems-{source.fingerprint}": source.made}:
                found.left_alone.append(f"{name} at step {row.step} of {row.run.name}: its problems were made again since it was asked")
                continue
            items = {item.id: item for item in subset(rows, benchmark.items, study.seed)}
            cell = _Cell(row=row, benchmark=name, answers=answers, source=source, items=items)
            if benchmark.judge:
                found.left_alone.append(f"{cell.name}: judged by {', '.join(benchmark.judge)}, whose stored replies `run` reads again")
                continue
            kinds = {item.kind for item in items.values()} - JUDGES.keys()
            if kinds:
                found.left_alone.append(f"{cell.name}: answers of kind {', '.join(sorted(kinds))} are judged by more than a function")
                continue
            yield cell


def _verdicts(lab: Lab, cell: _Cell) -> dict[int, Result]:
    """The stored verdicts on a cell's answers by the version of the verifier."""
    found: dict[int, Result] = {}
    for version in range(1, VERIFY_VERSION + 1):
        mark = verdicts_mark(lab.study, cell.benchmark, cell.answers.fingerprint, version)
        result = lab.store.find("verdicts", mark, [cell.answers, cell.source])
        if result is not None:
            found[version] = result
    return found


def _rescore_cell(lab: Lab, cell: _Cell, stored: Mapping[int, Result], found: Rescored) -> None:
    found.num_attempts += int(cell.answers.record["num_rows"])
    if VERIFY_VERSION in stored:
        changes = _judged_again(lab, cell, stored[VERIFY_VERSION])
    else:
        inputs = verdicts_inputs(lab.study, cell.benchmark, cell.answers.fingerprint)
        today = materials.grade(lab, cell.answers, list(cell.items.values()), [cell.source], inputs, cell.name)
        found.judged_anew += 1
        if not stored:
            return
        changes = list(changes_between(_judged(stored[max(stored)]), _judged(today)))
    for item, sample, change in changes:
        found.flips.append(
            Flip(
                benchmark=cell.benchmark,
                run=cell.row.run.name,
                step=cell.row.step,
                item=item,
                sample=sample,
                change=change,
                version=max(stored),
            )
        )


def _judged_again(lab: Lab, cell: _Cell, stored: Result) -> list[Change]:
    """What of a cell comes out otherwise than it is stored; nothing is written."""
    names = sorted(Workspace(path=cell.answers.path).shards())
    num_workers = max(1, int(lab.study.resources.generate.cpus_per_replica))
    reads = lab.study.evaluation.benchmarks[cell.benchmark].reads
    rows_of = (f"{cell.answers.path}/rows", f"{stored.path}/rows")
    return judge_again(names, *rows_of, cell.items, num_workers=num_workers, reads=reads)


def _judged(verdicts: Result) -> Iterator[tuple[Any, ...]]:
    return tables.columns(f"{verdicts.path}/rows", GradedAttempt, JUDGED)


def flip_table(flips: Sequence[Flip]) -> list[str]:
    """How many attempts flipped by benchmark and kind of change, each with the first items."""
    items: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for flip in flips:
        items[flip.benchmark, flip.change][flip.item] += 1
    lines = []
    for (benchmark, change), counts in sorted(items.items()):
        more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
        lines.append(f"{benchmark}: {change}: {counts.total()} attempts at {len(counts)} items: {', '.join(list(counts)[:5])}{more}")
    return lines


def as_csv(rows: Sequence[Any], row_type: type) -> bytes:
    """The rows as CSV with a header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([each.name for each in fields(row_type)])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue().encode()
