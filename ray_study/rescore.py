"""Judging stored attempts again with today's verifier. No model is asked, and no cluster is needed.

What judges said of attempts is stored as they said it, and today's reader reads it again. Verdicts of today's version that are stored must
come out the same, or the store and the code disagree. Those of an older version stay as they are: today's become a result of their own
beside them.
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
from ray_study.evaluate import Exam
from ray_study.evaluate.judging import read_again, stored_replies, verdicts_from_stored
from ray_study.materials import Lab
from ray_study.owed import MatrixRow, answers_mark, matrix, verdicts_inputs, verdicts_mark
from ray_study.recall import stored_exam
from ray_study.rows import GradedAttempt
from ray_study.store import Result, Workspace
from ray_study.verify import JUDGES
from ray_study.verify import VERSION as VERIFY_VERSION
from ray_study.verify.again import JUDGED, Change, changes_between, decided, judge_again


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

    @property
    def by_the_clock(self) -> bool:
        """Whether one of the two says no more than that time ran out, which depends on how busy the machine was."""
        return "timeout" in self.change.split()


@dataclass(slots=True)
class Rescored:
    """What came of judging again."""

    num_attempts: int = 0
    flips: list[Flip] = field(default_factory=list)
    judged_anew: int = 0
    """Cells that had no verdicts of today's version and have them now."""
    left_alone: list[str] = field(default_factory=list)
    """Cells that cannot be judged again here, with the reason."""

    @property
    def contradictions(self) -> list[Flip]:
        """Attempts that today's version of the verifier has judged in two ways: neither a change of version nor the clock explains it."""
        return [flip for flip in self.flips if flip.version == VERIFY_VERSION and not flip.by_the_clock]

    @property
    def by_the_clock(self) -> list[Flip]:
        """Attempts of which the same version once had too little time to judge them, as comparisons are limited by the wall clock."""
        return [flip for flip in self.flips if flip.version == VERIFY_VERSION and flip.by_the_clock]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    row: MatrixRow
    exam: Exam
    answers: Result
    replies: Mapping[str, Result]
    """What each judge said of the answers; empty where the problems' own kind decides."""

    @property
    def name(self) -> str:
        return f"{self.exam.name} at step {self.row.step} of {self.row.run.name}"


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
    """The cells whose answers are stored whole, each once; of those that cannot be judged here it is noted why."""
    seen = set()
    suite: dict[str, Exam] = {}
    for row in matrix(lab.study, lab.store):
        if row.lost and any(name in benchmarks for name in row.cells):
            found.left_alone.append(f"step {row.step} of {row.run.name}: {row.lost}")
        for name in (name for name in row.cells if name in benchmarks and row.trained):
            mark = answers_mark(lab.study, name, row.fingerprint, row.run.model)
            answers = lab.store.recall("answers", mark)
            if answers is None or (mark, name) in seen:
                continue
            seen.add((mark, name))
            if name not in suite:
                suite[name] = stored_exam(lab, name)
            try:
                yield _cell(lab, row, suite[name], answers)
            except ValueError as error:
                found.left_alone.append(f"{name} at step {row.step} of {row.run.name}: {error}")


def _cell(lab: Lab, row: MatrixRow, exam: Exam, answers: Result) -> _Cell:
    """One cell with all that judging it again takes; ValueError where that is not there."""
    source = exam.source
    if answers.record["sources"] != {f"problems-{source.fingerprint}": source.made}:
        raise ValueError("its problems were made again since it was asked")
    kinds = {item.kind for item in exam.items} - JUDGES.keys()
    if kinds:
        raise ValueError(f"answers of kind {', '.join(sorted(kinds))} are judged by more than a function")
    return _Cell(row=row, exam=exam, answers=answers, replies=stored_replies(lab, exam, answers))


def _verdicts(lab: Lab, cell: _Cell) -> dict[int, Result]:
    """The stored verdicts on a cell's answers by the version of the verifier."""
    found: dict[int, Result] = {}
    for version in range(1, VERIFY_VERSION + 1):
        mark = verdicts_mark(lab.study, cell.exam.name, cell.answers.fingerprint, version)
        result = lab.store.find("verdicts", mark, [cell.answers, cell.exam.source])
        if result is not None:
            found[version] = result
    return found


def _rescore_cell(lab: Lab, cell: _Cell, stored: Mapping[int, Result], found: Rescored) -> None:
    found.num_attempts += int(cell.answers.record["num_rows"])
    if VERIFY_VERSION in stored:
        changes = _judged_again(lab, cell, stored[VERIFY_VERSION])
    else:
        today = _judged_today(lab, cell)
        found.judged_anew += 1
        if not stored:
            return
        changes = list(changes_between(_judged(stored[max(stored)]), _judged(today)))
    for item, sample, change in changes:
        found.flips.append(
            Flip(
                benchmark=cell.exam.name,
                run=cell.row.run.name,
                step=cell.row.step,
                item=item,
                sample=sample,
                change=change,
                version=max(stored),
            )
        )


def _judged_today(lab: Lab, cell: _Cell) -> Result:
    """The verdicts of today's version, kept in the store."""
    if cell.replies:
        return verdicts_from_stored(lab, cell.exam, cell.answers, cell.replies, cell.name)
    inputs = verdicts_inputs(lab.study, cell.exam.name, cell.answers.fingerprint)
    return materials.grade(lab, cell.answers, cell.exam.items, [cell.exam.source], inputs, cell.name)


def _judged_again(lab: Lab, cell: _Cell, stored: Result) -> list[Change]:
    """What of a cell comes out otherwise than it is stored; nothing is written."""
    if cell.replies:
        read = read_again(lab, cell.exam, cell.answers, cell.replies)
        return list(changes_between(_judged(stored), (decided(each) for _, graded in read for each in graded)))
    names = sorted(Workspace(path=cell.answers.path).shards())
    num_workers = max(1, int(lab.study.resources.generate.cpus_per_replica))
    rows_of = (f"{cell.answers.path}/rows", f"{stored.path}/rows")
    items = {item.id: item for item in cell.exam.items}
    return judge_again(names, *rows_of, items, num_workers=num_workers, reads=cell.exam.benchmark.reads)


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
