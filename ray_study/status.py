"""What of a study is made and what is owed, as lines for people, read from the store: no cluster, no claim, nothing heavy."""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from ray_study.claims import describe
from ray_study.config import Study
from ray_study.grid import planned
from ray_study.making import unmade
from ray_study.owed import MatrixRow, State, checkpoint_steps, matrix
from ray_study.store import Store
from ray_study.stored_steps import missing_steps, stored_steps

SIGNS: dict[State, str] = {"scored": "#", "running": "~", "owed": ".", "failed": "!"}
"""A character a cell; blank where the benchmark is not asked at that step."""

NAMED_CELLS = 3
"""Cells that are named for one reason; of the others there is the number."""


def status(study: Study, store: Store) -> tuple[list[str], bool]:
    """Lines for people, and whether everything owed is scored."""
    lines = [f"study {study.name} in {store.root}", *(f"working now: {line}" for line in describe(store))]
    broken = {name: why for name, why in unmade(store).items() if name in study.datasets}
    lines += [f"data set {name} could not be made: {why}" for name, why in broken.items()]
    rows = matrix(study, store)
    by_run: dict[str, list[MatrixRow]] = defaultdict(list)
    for row in rows:
        by_run[row.run.id].append(row)
    complete = not broken
    benchmarks = list(study.evaluation.benchmarks)
    lines += _columns(benchmarks)
    for run in planned(study):
        state, whole = _run_state(store, run.id)
        complete &= whole
        lines.append(f"{run.name} [{run.id}]: {state}")
        lines += [_line(row, benchmarks) for row in by_run[run.id]]
    lost = list(_lost(study, store))
    lines += [*_legend(rows), *_running(rows), *lost, *_reasons(rows)]
    return lines, complete and not lost and all(cell.state == "scored" for row in rows for cell in row.cells.values())


def is_reported(store: Store) -> bool:
    """Whether the report's tables are newer than every result, so that drawing them again says all that is known."""
    tables = Path(store.path("report/data/facts.json"))
    made = [path.stat().st_mtime for path in Path(store.root).glob("*/record.json")]
    return tables.is_file() and (not made or max(made) <= tables.stat().st_mtime)


def has_lost_steps(study: Study, store: Store) -> bool:
    """Whether a checkpoint that a run has saved cannot be used any more, which the tables of a report need not know."""
    return any(stored_steps(store, run.id).lost for run in planned(study))


def beyond_reach(study: Study, store: Store) -> list[str]:
    """What the study asks of checkpoints whose weights were deleted after they were scored: it cannot be done without training again."""
    if not store.is_local:
        return []
    return [
        f"benchmark {name} at step {row.step} of {row.run.name}: {cell.why}"
        for row in matrix(study, store)
        if row.deleted
        for name, cell in row.cells.items()
        if cell.state == "failed"
    ]


def _run_state(store: Store, run: str) -> tuple[str, bool]:
    finished = store.recall("train", run)
    if finished is not None:
        steps = ", ".join(map(str, missing_steps(finished)))
        return (f"finished, and its checkpoints at {steps} are gone", False) if steps else ("finished", True)
    failed = store.read_json(f"train-{run}/failed.json")
    if failed is not None:
        return f"failed: {failed['error']}", False
    saved = checkpoint_steps(store, run)
    return (f"begun, checkpoints at {', '.join(map(str, saved))}" if saved else "not trained yet"), False


def _letter(column: int) -> str:
    """What stands above a column: letters and digits first, and more letters where a suite has more benchmarks than those."""
    signs = string.ascii_letters + string.digits
    return signs[column] if column < len(signs) else chr(0x100 + column - len(signs))


def _columns(benchmarks: Sequence[str]) -> Iterator[str]:
    yield "benchmarks: " + ", ".join(f"{_letter(column)} {name}" for column, name in enumerate(benchmarks))
    yield "    step  " + "".join(_letter(column) for column in range(len(benchmarks)))


def _line(row: MatrixRow, benchmarks: Sequence[str]) -> str:
    cells = "".join(SIGNS[row.cells[name].state] if name in row.cells else " " for name in benchmarks)
    note = "  lost" if row.lost else "" if row.trained else "  not trained yet"
    return f"{row.step:8d}  {cells}{'  weights deleted' if row.deleted else note}"


def _legend(rows: Sequence[MatrixRow]) -> Iterator[str]:
    """How many cells there are of each state; states that no cell has are not explained."""
    counts = Counter(cell.state for row in rows for cell in row.cells.values())
    if counts:
        yield "cells: " + ", ".join(f"{sign} {state} {counts[state]}" for state, sign in SIGNS.items() if counts[state])


def _running(rows: Sequence[MatrixRow]) -> Iterator[str]:
    """Each cell that is worked at, with how much of it is stored; a base model's is told once for all runs of it."""
    found = [(row, name, cell) for row in rows for name, cell in row.cells.items() if cell.state == "running"]
    told = {(row.fingerprint, name): f"running: {name} at step {row.step} of {row.run.name}: {cell.why}" for row, name, cell in found[::-1]}
    yield from reversed(told.values())


def _lost(study: Study, store: Store) -> Iterator[str]:
    """Each checkpoint that was saved and cannot be used, with what to do, whether it owes something or not."""
    for run in planned(study):
        for step, why in stored_steps(store, run.id).lost.items():
            yield f"lost: step {step} of {run.name}: {why}"


def _reasons(rows: Sequence[MatrixRow]) -> Iterator[str]:
    """Each reason once, with the cells that failed for it; those of a lost checkpoint are told with it."""
    failed: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for name, cell in row.cells.items():
            if cell.state == "failed" and not row.lost:
                failed[cell.why].append(f"{name} at step {row.step} of {row.run.name}")
    for why, cells in failed.items():
        more = f" and {len(cells) - NAMED_CELLS} more" if len(cells) > NAMED_CELLS else ""
        yield f"failed: {'; '.join(cells[:NAMED_CELLS])}{more}: {why}"
