"""What of a study is made and what is owed, read from the store: no cluster, no claim, nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_study.claims import describe
from ray_study.config import Study
from ray_study.grid import benchmark_literal, planned
from ray_study.manifests import MANIFEST, digest, read_manifest
from ray_study.plan import saved_steps
from ray_study.store import Store
from ray_study.verify import VERSION as VERIFY_VERSION


def status(study: Study, store: Store) -> tuple[list[str], bool]:
    """Lines for people, and whether everything owed is scored."""
    answers = _scored_cells(study, store)
    lines = [f"study {study.name} in {store.root}", *(f"working now: {line}" for line in describe(store))]
    complete = True
    for run in planned(study):
        state, whole = _run_state(store, run.id)
        complete &= whole
        lines.append(f"{run.name} [{run.id}]: {state}")
        if run.stage == "pretrain":
            continue
        for benchmark in study.evaluation.benchmarks:
            row, owed = _matrix_row(study, store, run.id, benchmark, answers)
            complete &= not owed
            lines.append(row)
    return lines, complete


def is_reported(store: Store) -> bool:
    """Whether the report's tables are newer than every result, so that drawing them again says all that is known."""
    tables = Path(store.path("report/data/facts.json"))
    made = [path.stat().st_mtime for path in Path(store.root).glob("*/record.json")]
    return tables.is_file() and (not made or max(made) <= tables.stat().st_mtime)


def _run_state(store: Store, run: str) -> tuple[str, bool]:
    if store.recall("train", run) is not None:
        return "finished", True
    failed = store.read_json(f"train-{run}/failed.json")
    if failed is not None:
        return f"failed: {failed['error']}", False
    saved = checkpoint_steps(store, run)
    return (f"begun, checkpoints at {', '.join(map(str, saved))}" if saved else "owed"), False


def checkpoint_steps(store: Store, run: str) -> dict[int, str]:
    """The fingerprint of each whole checkpoint of a run by step."""
    found = Path(store.path(f"train-{run}")).glob(f"step-*/{MANIFEST}") if store.is_local else []
    manifests = [read_manifest(path.parent) for path in found]
    return {manifest.step: manifest.fingerprint for manifest in sorted(manifests, key=lambda each: each.step)}


def _scored_cells(study: Study, store: Store) -> set[tuple[str, str]]:
    """(checkpoint fingerprint, benchmark) of the answers that are stored whole, with their verdicts."""
    wanted = {digest(benchmark_literal(study, name)): name for name in study.evaluation.benchmarks}
    judged = {record["inputs"]["attempts"] for record in _records(store, "verdicts") if record["inputs"]["verify"] == VERIFY_VERSION}
    return set(_cells((record for record in _records(store, "answers") if record["fingerprint"] in judged), wanted))


def _records(store: Store, stage: str) -> Iterator[dict[str, Any]]:
    found = (store.record(name) for name in store.directories(stage))
    return (record for record in found if record is not None)


def _cells(records: Iterator[dict[str, Any]], wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
    for record in records:
        benchmark = wanted.get(digest(record["inputs"]["benchmark"]))
        if benchmark is not None:
            yield record["inputs"]["checkpoint"], benchmark


def _matrix_row(study: Study, store: Store, run: str, benchmark: str, scored: set[tuple[str, str]]) -> tuple[str, bool]:
    settings = study.evaluation.benchmarks[benchmark]
    made = checkpoint_steps(store, run)
    plan = next(each for each in planned(study) if each.id == run)
    finished = store.recall("train", run) is not None
    # What a finished run has made is what is owed: its data set may have come out smaller than planned.
    steps = tuple(made) if finished else saved_steps(study, plan) or tuple(made)
    base = (store.read_json("bases.json") or {}).get(run, {})
    prints = {0: base.get("fingerprint", ""), **made}
    cells = []
    for step in (0, *steps):
        if settings.at == "final" and step not in (0, *steps[-1:]):
            continue
        if isinstance(settings.at, tuple) and step not in (0, *settings.at, *steps[-1:]):
            continue
        state = "scored" if (prints.get(step, ""), benchmark) in scored else ("owed" if step in prints else "not trained")
        cells.append((step, state))
    text = "  ".join(f"{step}:{state}" for step, state in cells)
    return f"  {benchmark}: {text}", any(state != "scored" for _, state in cells)
