"""THE FLOW: read this first. What a study makes, from what, in what order, and what happens to a failure.

problems -> attempts -> verdicts -> data sets -> runs -> checkpoints -> scores -> report

Everything that is made is kept, and found again by the next `run`. Accelerators are spent in three places: a teacher's attempts
(inside `make_dataset`), training (`train`), and the students' attempts (`score_checkpoint`). A data set that cannot be made fails
its runs alone, a run that fails is a row with its error, a checkpoint that cannot be scored stays owed with the reason, and the
report is written all the same.

`train_only` and `evaluate` are `run` in two halves, for two jobs that work on one study, at the same time or one after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from ray_study import following, results
from ray_study.checks.at_work import before_spending, judges_are_there
from ray_study.claims import claim
from ray_study.evaluate import Cell, Exam, Sittings, exams, in_rounds, lanes, score_checkpoint
from ray_study.examples import make_dataset
from ray_study.making import make_each
from ray_study.materials import Lab, load_problems
from ray_study.publish import Publisher, SweepFile
from ray_study.recall import stored_datasets
from ray_study.results import Found
from ray_study.retention import settle
from ray_study.rows import Checkpoint, Run
from ray_study.runs import train
from ray_study.store import Result, Store
from ray_study.working import open_lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a study ended: where its report is, which runs failed and what is owed, each with its reason."""

    report: str
    """Empty where none was written."""
    failed: tuple[str, ...]
    owed: tuple[str, ...]


def run(file: SweepFile, store: Store, progress: Callable[[str], None]) -> Outcome:
    """Makes whatever of the study is not made yet, and says what failed and what is still owed.

    Raises:
        ValueError: something in the sweep file, its inputs or the cluster cannot work, or another driver took the store over; what is
            stored stays.
    """
    with claim(store, "train", "evaluate"), open_lab(file.study, store, _checked(store, progress)) as lab:
        suite, publisher, datasets = _materials(lab, file, scores=True)

        events: Iterable[Checkpoint | Run] = publisher.passing(train(lab, datasets, publisher.metrics))
        if not lab.study.resources.overlaps:
            # The cluster cannot hold both, or nobody said that it can: every run is trained before the first is scored.
            events = list(events)
        found = score(lab, events, suite, publisher.scored)
        return _conclude(lab, (file, publisher), found, suite, datasets)


def train_only(file: SweepFile, store: Store, progress: Callable[[str], None]) -> Outcome:
    """Makes the data sets and trains the runs; scores nothing and writes no report. Errors are those of `run`."""
    with claim(store, "train"), open_lab(file.study, store, _checked(store, progress), "train") as lab:
        _, publisher, datasets = _materials(lab, file, scores=False)
        runs = [event for event in publisher.passing(train(lab, datasets, publisher.metrics)) if isinstance(event, Run)]
    failed = tuple(f"run {run.name!r} failed: {run.error}" for run in runs if run.status == "failed")
    unmade = tuple(f"data set {name!r} could not be made" for name in lab.study.datasets if name not in datasets)
    return Outcome(report="", failed=failed, owed=unmade)


def evaluate(file: SweepFile, store: Store, progress: Callable[[str], None], *, follow: bool) -> Outcome:
    """Scores what is owed of the checkpoints that exist, and writes the report; trains nothing.

    Args:
        file: the study.
        store: where another driver keeps its checkpoints, or kept them.
        progress: told what is done.
        follow: whether checkpoints that are still to come are waited for, until every run has ended or nobody trains any more.

    Raises:
        ValueError: as `run`.
    """
    with claim(store, "evaluate"), open_lab(file.study, store, _checked(store, progress), "evaluate") as lab:
        suite = exams(lab.study, partial(load_problems, lab))
        judges_are_there(lab, suite)
        publisher = Publisher(file, store, trains=False)
        publisher.exams(suite)
        found = score(lab, publisher.passing(following.made(lab, follow=follow)), suite, publisher.scored)
        outcome = _conclude(lab, (file, publisher), found, suite, stored_datasets(lab))
    left = following.left_behind(found.runs) if follow else ""
    return replace(outcome, owed=(left, *outcome.owed)) if left else outcome


def _materials(lab: Lab, file: SweepFile, *, scores: bool) -> tuple[list[Exam], Publisher, dict[str, Result]]:
    """The exams, whom to tell, and the data sets that could be made, by name, without what also stands in an exam."""
    suite = exams(lab.study, partial(load_problems, lab))
    before_spending(lab, suite, scores=scores)
    publisher = Publisher(file, lab.store)
    items = {exam.name: exam.items for exam in suite}
    datasets = make_each(lab.store, lab.study.datasets, lambda name: make_dataset(lab, name, items))
    publisher.materials(datasets, suite)
    return suite, publisher, datasets


def _conclude(lab: Lab, told: tuple[SweepFile, Publisher], found: Found, suite: Sequence[Exam], datasets: Mapping[str, Result]) -> Outcome:
    """The study's outcome, once its report is written and published."""
    file, publisher = told
    lab.store.check()
    findings = results.findings(lab, found, suite, datasets, file.text)
    report = results.write_report(lab.store, findings)
    publisher.report(report, findings)
    return Outcome(report=report, failed=findings.failed, owed=findings.owed)


def score(lab: Lab, events: Iterable[Checkpoint | Run], suite: Sequence[Exam], tell: Callable[[Sequence[Cell]], None]) -> Found:
    """Every run, checkpoint and cell of the study: each checkpoint is scored as it comes, and equal files once.

    While primary exams are owed, no checkpoint begins another; while none is, evaluators do not wait for the next checkpoint.
    """
    found = Found()
    rounds = in_rounds(suite)
    lane_of = lanes(lab.study)
    sat: dict[tuple[str, int], Future[list[Cell]]] = {}

    def sit(checkpoint: Checkpoint, which: int) -> list[Cell]:
        cells = score_checkpoint(lab, checkpoint, rounds[which])
        tell(cells)
        settle(lab, checkpoint, suite)
        return cells

    with Sittings[list[Cell]](lab.study.resources.evaluate.replicas, lab.engines.stop) as waiting:
        for event in events:
            if isinstance(event, Run):
                found.runs.append(event)
                continue
            found.checkpoints.append(event)
            for which in range(len(rounds)):
                if (event.fingerprint, which) not in sat:
                    sat[event.fingerprint, which] = waiting.owe(lane_of(event), which, partial(sit, event, which))
        for which, checkpoint in itertools.product(range(len(rounds)), found.checkpoints):
            cells = [replace(cell, checkpoint=checkpoint) for cell in sat[checkpoint.fingerprint, which].result()]
            found.cells.extend(cells)
            tell(cells)
    _settle_all(lab, found.checkpoints, suite)
    return found


def _settle_all(lab: Lab, checkpoints: Sequence[Checkpoint], exams: Sequence[Exam]) -> None:
    """Deletes what is scored and not kept, also the one that the engine was started from, which nobody asks any more."""
    if lab.study.checkpoints.keep != "all":
        lab.engines.close()
        for checkpoint in checkpoints:
            settle(lab, checkpoint, exams)


def _checked(store: Store, progress: Callable[[str], None]) -> Callable[[str], None]:
    """Tells progress while the store is ours: a stage that goes on for hours tells it every few seconds, and stops here where it is not."""

    def tell(line: str) -> None:
        store.check()
        progress(line)

    return tell
