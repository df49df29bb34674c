"""Where a study is worked on, and what its stages share: problems, verdicts and base models, each made once and kept in the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ray_study import model_files, problems, tables, verify
from ray_study.claims import alone
from ray_study.config import Problems, Study
from ray_study.engines import Engines
from ray_study.grid import DATASET_VERSION, dataset_literal, problems_literal
from ray_study.ledger import Ledger
from ray_study.rows import GradedAttempt, Problem, Reads
from ray_study.store import Result, Store, Workspace, fingerprint
from ray_study.verify.shards import judge_shards

log = logging.getLogger(__name__)


UNJUDGEABLE = "gold answer that cannot be judged against"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Where a study is worked on: its words, its store, the engines, and whom to tell."""

    study: Study
    store: Store
    engines: Engines
    cache: Path
    """Models and assets, shared by the studies of a machine."""
    progress: Callable[[str], None]
    loaded: dict[str, tuple[Result, list[Problem]]] = field(default_factory=dict)
    """Problems that were read already, by name."""
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    """What judges behind endpoints have answered, by the name of the file in the store."""
    last_steps: dict[str, int] = field(default_factory=dict)
    """The last step of each run by its id, known once its data set is made."""


def ledger(lab: Lab, name: str) -> Ledger:
    """The ledger of that name: one for all threads of the study."""
    if name not in lab.ledgers:
        # Two threads may both read the file; the first to put it there is everybody's.
        lab.ledgers.setdefault(name, Ledger(lab.store.path(f"judges/{name}.jsonl")))
    return lab.ledgers[name]


def stored_dataset(study: Study, store: Store, name: str) -> Result | None:
    """A data set of the study where it is made, from whatever sources."""
    return store.recall("dataset", fingerprint("dataset", DATASET_VERSION, dataset_literal(study, name)))


def load_problems(lab: Lab, name: str) -> tuple[Result, list[Problem]]:
    """A set of problems and where it is stored."""
    if name in lab.loaded:
        return lab.loaded[name]
    settings = lab.study.problems[name]
    files = problems.local_sources(settings)

    def build(workspace: Workspace) -> Mapping[str, object]:
        lab.progress(f"problems {name}: loading from {settings.source}")
        found = problems.load_resolved(settings.source, num_problems=settings.num_problems, seed=settings.seed, options=settings.options)
        rows, unjudgeable = _judgeable(settings, found.problems)
        dropped = {**found.dropped, **({UNJUDGEABLE: len(unjudgeable)} if unjudgeable else {})}
        workspace.write("all", rows, Problem)
        if dropped:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in dropped.items())
            lab.progress(f"problems {name}: {len(rows)} taken; rows left out: {reasons}")
        facts = {"num_rows": len(rows), "dropped": dropped, "unjudgeable": unjudgeable, "resolved": found.resolved}
        return {**facts, **({"manifest": found.manifest} if found.manifest else {})}

    # A driver that trains and one that scores may want the same at once; made twice, what follows from the first would be made again.
    with alone(lab.store, "problems"):
        result = lab.store.make("problems", problems_literal(settings), build, sources=files)
    rows = result.rows(Problem)
    # They may have been stored on another machine: nothing is asked that cannot be judged here.
    verify.require({row.kind for row in rows})
    lab.loaded[name] = (result, rows)
    return lab.loaded[name]


def _judgeable(settings: Problems, rows: Sequence[Problem]) -> tuple[list[Problem], list[str]]:
    """The problems whose gold answers can be judged against, and why each of the others cannot where those may be left out."""
    if not settings.drop_unjudgeable:
        verify.check_gold(rows)
        return list(rows), []
    faults = verify.gold_faults(rows)
    return [row for place, row in enumerate(rows) if place not in faults], list(faults.values())


def base_directory(lab: Lab, name: str) -> str:
    """The local directory of a model as it comes, before this study trains it."""
    return str(model_files.prepare(lab.study.models[name], name, lab.cache, progress=lab.progress))


def grade(
    lab: Lab, attempts: Result, rows: Sequence[Problem], sources: Sequence[Result], inputs: Mapping[str, object], label: str
) -> Result:
    """The verdicts on stored attempts, shard by shard."""
    by_id = {row.id: row for row in rows}

    def build(workspace: Workspace) -> Mapping[str, object]:
        owed = sorted(Workspace(path=attempts.path).shards() - workspace.shards())
        num_workers = max(1, int(lab.study.resources.generate.cpus_per_replica))
        # What identifies verdicts says how a text is read for them.
        reads = cast(Reads, inputs.get("reads", "answer"))
        rows_of = (f"{attempts.path}/rows", f"{workspace.path}/rows")
        judge_shards(owed, *rows_of, by_id, num_workers=num_workers, reads=reads, progress=lab.progress)
        counts = verdict_counts(workspace.path)
        lab.progress(f"verdicts, {label}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        return {"num_rows": sum(counts.values()), "verdicts": counts}

    return lab.store.make("verdicts", inputs, build, sources=[attempts, *sources])


def verdict_counts(path: str) -> dict[str, int]:
    """How many attempts of a result had each verdict, the most frequent first; only the verdicts are read."""
    rows = f"{path}/rows"
    # A result without a shard has no directory of rows.
    found = tables.columns(rows, GradedAttempt, ["verdict"]) if tables.names(rows) else ()
    return dict(Counter(verdict for (verdict,) in found).most_common())
