"""Scores as if the cap on new tokens had been smaller, for all checkpoints, from the attempts that are stored: no model is asked."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ray_study import tables
from ray_study.analyze.caps import COLUMNS, accuracy_at_caps, measured
from ray_study.analyze.statistics import Estimate
from ray_study.config import Study
from ray_study.owed import MatrixRow, stored_answers, verdicts_mark
from ray_study.rows import GradedAttempt
from ray_study.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRow:
    """The accuracy of one checkpoint at one benchmark under one cap; empty where nobody knows it."""

    run: str
    step: int
    benchmark: str
    metric: str
    cap: int
    value: float | None
    low: float | None
    high: float | None
    num_items: int


def not_comparable(study: Study, benchmarks: Sequence[str]) -> list[str]:
    """Why benchmarks have no score under a smaller cap, a sentence for each.

    An answer that a cap cuts is wrong where answers are right or wrong. What a judge measures it measures of answers that ended, so that
    a smaller cap would leave out the long ones, and the numbers under two caps would be of two sets of answers.
    """
    judged = {name: study.evaluation.benchmarks[name].judge for name in benchmarks if study.evaluation.benchmarks[name].judge}
    return [
        f"{name}: no score under smaller caps: {', '.join(judges)} judged the answers that ended, and a smaller cap would leave out the "
        "long ones, so that each cap would measure other answers; share_unfinished in the report says how many were cut"
        for name, judges in judged.items()
    ]


def at_caps(study: Study, store: Store, benchmarks: Sequence[str], caps: Sequence[int]) -> list[CapRow]:
    """Every scored cell of the benchmarks under every cap, the cap that it was asked with last; none of those that judges measure."""
    rows = []
    for mark, name, row in stored_answers(study, store):
        if name not in benchmarks or study.evaluation.benchmarks[name].judge:
            continue
        benchmark = study.evaluation.benchmarks[name]
        directory = store.path(f"verdicts-{verdicts_mark(study, name, mark)}/rows")
        attempts = measured(tables.columns(directory, GradedAttempt, COLUMNS))
        kinds = {kind for (kind,) in itertools.islice(tables.columns(directory, GradedAttempt, ["kind"]), 1)}
        own = (benchmark.sampling or study.evaluation.sampling).max_tokens
        found = accuracy_at_caps(attempts, sorted({*caps, max((attempt.cap for attempt in attempts), default=own)}))
        metric = "share_refused" if kinds == {"refusal"} else "accuracy"
        rows += [_cap_row(row, (name, metric), cap, estimate) for cap, estimate in found.items()]
    return rows


def _cap_row(row: MatrixRow, of: tuple[str, str], cap: int, found: Estimate | None) -> CapRow:
    return CapRow(
        run=row.run.name if row.step else row.run.model,
        step=row.step,
        benchmark=of[0],
        metric=of[1],
        cap=cap,
        value=found.value if found is not None else None,
        low=found.low if found is not None else None,
        high=found.high if found is not None else None,
        num_items=found.num_items if found is not None else 0,
    )


def cap_table(rows: Sequence[CapRow]) -> list[str]:
    """A line a checkpoint and benchmark: the accuracy under each cap with its 95 % interval."""
    cells: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for row in rows:
        number = "not known" if row.value is None else f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
        cells[row.benchmark, row.run, row.step].append(f"{row.cap}: {number}")
    return [f"{benchmark}, {run} step {step}: " + "; ".join(found) for (benchmark, run, step), found in sorted(cells.items())]
