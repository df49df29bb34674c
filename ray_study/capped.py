"""Scores as if the cap on new tokens had been smaller, for all checkpoints, from the attempts that are stored: no model is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ray_study import tables
from ray_study.analyze.caps import COLUMNS, WhenCut, accuracy_at_caps, measured
from ray_study.analyze.statistics import Estimate
from ray_study.chat import Chat
from ray_study.config import Study
from ray_study.cut_short import verdicts_when_cut
from ray_study.evaluate import Exam
from ray_study.materials import Lab
from ray_study.owed import MatrixRow, stored_answers, verdicts_mark
from ray_study.recall import stored_exam
from ray_study.rows import GradedAttempt
from ray_study.runs import BASES
from ray_study.train.layout import step_directory
from ray_study.verify import grade


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

    Where answers are right or wrong, one that a cap cuts is judged as far as it came. What a judge measures it measures of answers that
    ended, so that a smaller cap would leave out the long ones, and the numbers under two caps would be of two sets of answers.
    """
    judged = {name: study.evaluation.benchmarks[name].judge for name in benchmarks if study.evaluation.benchmarks[name].judge}
    return [
        f"{name}: no score under smaller caps: {', '.join(judges)} judged the answers that ended, and a smaller cap would leave out the "
        "long ones, so that each cap would measure other answers; share_unfinished in the report says how many were cut"
        for name, judges in judged.items()
    ]


def at_caps(lab: Lab, benchmarks: Sequence[str], caps: Sequence[int]) -> tuple[list[CapRow], list[str]]:
    """Every scored cell of the benchmarks under every cap, the cap that it was asked with last; none of those that judges measure.

    An answer that is longer than a cap is cut there, by the checkpoint's own tokenizer, and what is left is judged as a cut answer is.

    Returns:
        The rows, and a sentence for each cell whose answers cannot be cut.
    """
    rows: list[CapRow] = []
    left_out: list[str] = []
    known: dict[str, Exam] = {}
    for mark, name, row in stored_answers(lab.study, lab.store):
        if name not in benchmarks or lab.study.evaluation.benchmarks[name].judge:
            continue
        exam = known[name] = known.get(name) or stored_exam(lab, name)
        try:
            rows += _under_caps(lab, (mark, exam, row), caps)
        except (ValueError, RuntimeError) as error:
            # Such as programs where there is no sandbox: the others have their scores.
            left_out.append(f"{name} at step {row.step} of {row.run.name}: {error}")
    return rows, left_out


def _under_caps(lab: Lab, cell: tuple[str, Exam, MatrixRow], caps: Sequence[int]) -> list[CapRow]:
    mark, exam, row = cell
    directory = lab.store.path(f"verdicts-{verdicts_mark(lab.study, exam.name, mark)}/rows")
    attempts = measured(tables.columns(directory, GradedAttempt, COLUMNS))
    own = max((attempt.cap for attempt in attempts), default=exam.sampling.max_tokens)
    longest = max((attempt.num_tokens for attempt in attempts), default=0)
    when_cut: WhenCut = {}
    if smaller := sorted({cap for cap in caps if cap < longest}):
        reads = exam.benchmark.reads
        judge = partial(
            grade,
            problems={item.id: item for item in exam.items},
            num_workers=max(1, int(lab.study.resources.generate.cpus_per_replica)),
            reads=reads,
        )
        when_cut = verdicts_when_cut(tables.stream(directory, GradedAttempt), smaller, _chat(lab, row), judge, reads)
    kinds = {item.kind for item in exam.items}
    metric = "share_refused" if kinds == {"refusal"} else "accuracy"
    found = accuracy_at_caps(attempts, sorted({*caps, own}), when_cut)
    return [_cap_row(row, (exam.name, metric), cap, estimate) for cap, estimate in found.items()]


def _chat(lab: Lab, row: MatrixRow) -> Chat:
    """The tokenizer of what answered; ValueError where neither it nor that of its model's step 0 is there."""
    base = (lab.store.read_json(BASES) or {}).get(row.run.id, {}).get("path")
    own = step_directory(Path(lab.store.path(f"train-{row.run.id}")), row.step)
    places = [place for place in (own, *([Path(base)] if base else [])) if place.is_dir()]
    if not places:
        raise ValueError(f"answers cannot be cut without the tokenizer of {base or own}, which is not there")
    return Chat(places[0], trust_remote_code=lab.study.models[row.run.model].trust_remote_code, turns=False)


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
