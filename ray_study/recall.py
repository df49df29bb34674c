"""What the store holds of a study, without a cluster: for a report of what was made when a driver is gone or could not go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ray_study import evaluate
from ray_study.assets import cache_directory
from ray_study.config import Study
from ray_study.engines import Engines
from ray_study.evaluate import Cell, Exam
from ray_study.evaluate.scoring import stored
from ray_study.grid import PlannedRun, planned, problems_literal
from ray_study.manifests import gone, has_weights
from ray_study.materials import Lab, stored_dataset
from ray_study.owed import last_known_steps
from ray_study.publish import SweepFile
from ray_study.results import Findings, Found, findings, write_report
from ray_study.rows import Checkpoint, Problem, Run
from ray_study.runs import as_row, stored_checkpoints, stored_start
from ray_study.store import Result, Store, fingerprint
from ray_study.stored_steps import missing_steps

NOT_YET = "not scored yet; run the study again"


def report_stored(file: SweepFile, store: Store, progress: Callable[[str], None], *, why: str = NOT_YET) -> str:
    """The path of the report, made again from all that is stored, as `stored_findings` has it."""
    return write_report(store, stored_findings(file, store, progress, why=why))


def stored_findings(file: SweepFile, store: Store, progress: Callable[[str], None], *, why: str = NOT_YET) -> Findings:
    """What the store holds of a study; cells without verdicts are owed, because of `why`.

    Raises:
        ValueError: not even the exams' problems are stored.
    """
    lab = offline(file.study, store, progress)
    exams = evaluate.exams(lab.study, lambda name: stored_problems(lab, name))
    datasets = stored_datasets(lab)
    found = Found()
    for run in planned(lab.study):
        row = stored_run(lab, run)
        found.runs.append(row)
        if run.dataset not in datasets or run.stage != "sft":
            continue
        for checkpoint in _checkpoints(lab, run):
            found.checkpoints.append(checkpoint)
            found.cells += [_cell(lab, run, checkpoint, exam, why) for exam in exams if _owes(lab, run, checkpoint, exam)]
    return findings(lab, found, exams, datasets, file.text)


def offline(study: Study, store: Store, progress: Callable[[str], None]) -> Lab:
    """A lab without a cluster, in which no engine can be opened: for what only reads, or judges what is stored."""
    engines = Engines(progress, shard_size=1, owner=store.root)
    return Lab(study=study, store=store, engines=engines, cache=cache_directory(), progress=progress)


def stored_problems(lab: Lab, name: str) -> tuple[Result, list[Problem]]:
    """A set of problems that is stored; ValueError where it is not."""
    mark = fingerprint("problems", 1, problems_literal(lab.study.problems[name]))
    found = lab.store.recall("problems", mark)
    if found is None:
        raise ValueError(f"{lab.store.root} does not hold the problems {name!r} yet, so there is nothing to report; run the study first")
    return found, found.rows(Problem)


def stored_exam(lab: Lab, name: str) -> Exam:
    """One exam of the study from the problems that are stored; ValueError where they are not."""
    one = lab.study.evaluation.model_copy(update={"benchmarks": {name: lab.study.evaluation.benchmarks[name]}})
    (exam,) = evaluate.exams(lab.study.model_copy(update={"evaluation": one}), lambda problems: stored_problems(lab, problems))
    return exam


def stored_datasets(lab: Lab) -> dict[str, Result]:
    """The data sets of the study that are made, by name."""
    found = {name: stored_dataset(lab.study, lab.store, name) for name in lab.study.datasets}
    return {name: result for name, result in found.items() if result is not None}


def stored_run(lab: Lab, run: PlannedRun) -> Run:
    """A run as the store has it: finished with all that it saved, failed when it was last tried, or owed."""
    finished = lab.store.recall("train", run.id)
    if finished is not None:
        # Where a checkpoint is gone, it has to be trained again.
        return as_row(run, status="owed" if missing_steps(finished) else "finished")
    failed = lab.store.read_json(f"train-{run.id}/failed.json")
    return as_row(run, status="failed", error=failed["error"]) if failed is not None else as_row(run, status="owed")


def _checkpoints(lab: Lab, run: PlannedRun) -> Iterator[Checkpoint]:
    made = stored_checkpoints(lab.store, run.id)
    lab.last_steps[run.id] = max(last_known_steps(lab.study, lab.store, run) or (each.step for each in made), default=0)
    start = stored_start(lab.store, run.id)
    if start is not None:
        yield start
    yield from made


def _owes(lab: Lab, run: PlannedRun, checkpoint: Checkpoint, exam: Exam) -> bool:
    return evaluate.is_owed(exam, checkpoint.step, lab.last_steps[run.id])


def _cell(lab: Lab, run: PlannedRun, checkpoint: Checkpoint, exam: Exam, why: str) -> Cell:
    verdicts = stored(lab, exam, checkpoint, run.model)
    directory = Path(checkpoint.path)
    why = why if has_weights(directory) else gone(directory)
    return Cell(checkpoint=checkpoint, exam=exam.name, verdicts=verdicts, why="" if verdicts is not None else why)
