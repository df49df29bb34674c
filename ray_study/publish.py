"""What a study shows in MLflow, as it comes: materials, runs, checkpoints, scores, the report."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_study import cards, descriptions, machine, plan
from ray_study.claims import alone
from ray_study.config import Study
from ray_study.evaluate import Cell, Exam, keep_lists
from ray_study.grid import PlannedRun, planned
from ray_study.materials import stored_dataset
from ray_study.results import Findings, score_cell, training_rows
from ray_study.rows import Checkpoint, Run
from ray_study.runs import as_row
from ray_study.store import Result, Store
from ray_study.tracking import Look, Point, Tracker
from ray_study.tracking_uri import default_uri
from ray_study.train.layout import LENGTHS

BATCH_SECONDS = 10.0
"""Training metrics are told in batches: a call for each step would cost more than a small model's step."""
BATCH_STEPS = 200

UNMADE = "without a data set"
"""The making of a run whose data set could not be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFile:
    """A study and the text of the file that says it."""

    study: Study
    text: str


class Publisher:
    """Tells the tracking store what is made; everything it says can be said again without doubling."""

    def __init__(self, file: SweepFile, store: Store, *, trains: bool = True) -> None:
        """Opens the experiment and its parent run.

        Args:
            file: the study.
            store: where it is kept.
            trains: whether this driver trains. One that only scores leaves what is said of runs and their training to the one that does.

        Raises:
            ValueError: the tracking store cannot be used.
        """
        self._study = file.study
        self._store = store
        self._trains = trains
        self._datasets: Mapping[str, Result] = {}
        self._exams: dict[str, Exam] = {}
        # What the newest report says of each run, by its id; nothing before there is one.
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        self._children: dict[str, str] = {}
        self._waiting: dict[str, list[Mapping[str, float]]] = defaultdict(list)
        self._told_at: dict[str, float] = {}
        # How far each file of measurements is told, and when it begins.
        self._offsets: dict[Path, int] = {}
        self._began: dict[Path, float] = {}
        # Checkpoints are scored by several threads at once where there are several replicas.
        self._lock = threading.Lock()
        # A driver that trains and one that scores may open it at the same time.
        with alone(store, "tracking"):
            self._tracker = Tracker(file.study.tracking or default_uri(store.root), file.study.name, store.path("artifacts"))
            self._parent = self._tracker.parent(file.study.name, self._texts(file), self._study_look(None))
        self._planned = {run.id: run for run in planned(file.study)}

    def materials(self, datasets: Mapping[str, Result], exams: Sequence[Exam]) -> None:
        """Publishes the data sets with their cards, and the exams, at the parent run."""
        self._datasets = datasets
        self.exams(exams)
        with self._one_at_a_time():
            for name, result in datasets.items():
                self._tracker.dataset(self._parent, name, _dataset_facts(result), "training")
                self._tracker.files(self._parent, [f"{result.path}/{file}" for file in cards.FILES], f"datasets/{name}")
            for run in planned(self._study):
                self._run(as_row(run, status="owed"))

    def exams(self, exams: Sequence[Exam]) -> None:
        """Publishes the exams at the parent run."""
        self._exams = {exam.name: exam for exam in exams}
        with self._one_at_a_time():
            self._tracker.show(self._parent, self._study_look(None))
            for exam in exams:
                self._tracker.dataset(self._parent, exam.name, _exam_facts(exam), "eval")
            self._tracker.files(self._parent, keep_lists(self._store, exams, self._study.seed), "exams")

    def _texts(self, file: SweepFile) -> dict[str, str]:
        """The files of the parent run: the sweep file and the plan, for people and for machines."""
        made = plan.plan(file.study)
        lines = "".join(f"{line}\n" for line in made.lines)
        return {"sweep.yaml": file.text, "plan.txt": lines, "plan.json": descriptions.plan_json(file.study, made)}

    def _study_look(self, outcome: descriptions.Outcome | None) -> Look:
        """How the parent run looks: at work, or with an outcome."""
        commit = self._store.facts()["git_commit"]
        status = "at work" if outcome is None else outcome.status
        return Look(
            tags={**descriptions.study_tags(self._study, commit, status), **descriptions.group_tags(self._study)},
            note=descriptions.study_note(self._study, [exam.card() for exam in self._exams.values()], outcome),
        )

    def _trial_look(self, run: PlannedRun, status: str | None = None) -> Look:
        """How the child run of a trial looks, by what is known of it now; its status where this driver knows it."""
        rows = self._rows.get(run.id, [])
        # A driver that only scores has no data sets of its own.
        dataset = self._datasets.get(run.dataset) or stored_dataset(self._study, self._store, run.dataset)
        groups = descriptions.group_tags(self._study) if run.stage == "sft" else {}
        said = {"ray_study.status": status} if status is not None else {}
        return Look(
            tags={"study": self._study.name, **said, **groups, **descriptions.verdict_tags(rows)},
            note=descriptions.trial_note(self._study, run, dataset, rows),
        )

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Neither another thread nor another driver of the store looks for a run or a model and makes it meanwhile."""
        with self._lock, alone(self._store, "tracking"):
            yield

    def passing(self, events: Iterable[Checkpoint | Run]) -> Iterator[Checkpoint | Run]:
        """The events of training, each once it is published: runs with their metrics, checkpoints as logged models."""
        for event in events:
            with self._one_at_a_time():
                if not self._trains:
                    self._found(event)
                elif isinstance(event, Run):
                    self._run(event)
                    self._lengths(event.id)
                else:
                    if event.step == 0:
                        self._lengths(event.run)
                    self._tracker.checkpoint(self._children[event.run], event)
            yield event

    def metrics(self, run: str, values: Mapping[str, float]) -> None:
        """Publishes a run's training metrics while it trains, some seconds or steps at a time; what is left comes when it ends."""
        with self._one_at_a_time():
            waiting = self._waiting[run]
            waiting.append(values)
            now = time.monotonic()
            if now - self._told_at.setdefault(run, now) < BATCH_SECONDS and len(waiting) < BATCH_STEPS:
                return
            self._told_at[run] = now
            self._waiting[run] = []
            self._tracker.training(
                self._children[run], [(int(row["step"]), key, value) for row in waiting for key, value in row.items() if key != "step"]
            )
            self._machines(run)

    def _found(self, event: Checkpoint | Run) -> None:
        """The child run and the logged model of a checkpoint, found or made; of runs the driver that trains them tells."""
        if isinstance(event, Run):
            return
        if event.run not in self._children:
            run = self._planned[event.run]
            dataset = stored_dataset(self._study, self._store, run.dataset)
            made = dataset.made if dataset is not None else UNMADE
            self._children[run.id] = self._tracker.find_child(
                self._parent, as_row(run, status="owed"), made, axes=descriptions.axes_of(self._study, run)
            )
        self._tracker.checkpoint(self._children[event.run], event)

    def _run(self, run: Run) -> None:
        dataset = self._datasets.get(run.dataset)
        self._waiting.pop(run.id, None)
        point = self._planned[run.id]
        made = dataset.made if dataset is not None else UNMADE
        look, axes = self._trial_look(point, run.status), descriptions.axes_of(self._study, point)
        child = self._tracker.child(self._parent, run, made, axes=axes, look=look)
        self._children[run.id] = child
        if dataset is not None:
            self._tracker.dataset(child, run.dataset, _dataset_facts(dataset), "training")
        self._tracker.training(child, [(step, key, value) for _, step, key, value in training_rows(self._store, run)])
        self._machines(run.id)

    def _machines(self, run: str = "") -> None:
        """Tells what was measured since the last look, of the cluster's nodes and of those of a run's workers."""
        self._measured(self._parent, self._store.path(machine.DIRECTORY), "run")
        if run:
            self._measured(self._children[run], self._store.path(f"train-{run}"), "node-0")

    def _measured(self, ours: str, directory: str, usual: str) -> None:
        """Tells a run of ours the new measurements of a directory, as `system/WHAT`; with whose they are where not of the usual one."""
        for path in sorted(Path(directory).glob(f"*{machine.SUFFIX}")):
            whose = path.name.removesuffix(machine.SUFFIX)
            prefix = "system/" if whose == usual else f"system/{whose.removeprefix(f'{usual}-')}/"
            rows, self._offsets[path] = machine.read(path, self._offsets.get(path, 0))
            began = self._began.setdefault(path, rows[0]["time"]) if rows else 0.0
            self._tracker.system(
                ours,
                [
                    Point(time=int(1000 * row["time"]), step=int(row["time"] - began), key=f"{prefix}{key}", value=value)
                    for row in rows
                    for key, value in row.items()
                    if key != "time"
                ],
            )

    def _lengths(self, run: str) -> None:
        """How many rows a run learns from, how many were over-long, and where its model's template is not what it is taught."""
        found = (self._store.read_json(LENGTHS) or {}).get(run)
        if found is None:
            return
        counts = {f"data/{key}": str(found[key]) for key in ("num_rows", "num_held_out", "num_dropped", "num_truncated")}
        differences = {"ray_study.template_differences": "; ".join(found["template_differences"])} if found["template_differences"] else {}
        self._tracker.show(self._children[run], Look(params=counts, tags=differences))

    def scored(self, cells: Sequence[Cell]) -> None:
        """Publishes the scores of a checkpoint, tied to its logged model and to the exams."""
        with self._one_at_a_time():
            for cell in cells:
                exam = self._exams[cell.exam]
                child = self._children[cell.checkpoint.run]
                scores = score_cell(cell, exam)[0]
                self._tracker.scores(child, cell.checkpoint, scores, {exam.name: exam.digest[:8]})
            self._machines()

    def report(self, page: str, found: Findings) -> None:
        """Publishes the report and the verdicts that it comes to, and ends the parent run: failed where something failed or is owed."""
        outcome = descriptions.read_outcome(Path(page).parent, found.failed, found.owed)
        self._rows = defaultdict(list)
        for row in outcome.final:
            self._rows[row["run"]].append(row)
        with self._one_at_a_time():
            for run, child in self._children.items():
                self._tracker.show(child, self._trial_look(self._planned[run]))
                # A run is seen to have ended before its workers have measured for the last time.
                self._machines(run)
            self._tracker.show(self._parent, self._study_look(outcome))
            self._machines()
            self._tracker.artifacts(self._parent, str(Path(page).parent), "report")
            self._tracker.finish(self._parent, complete=not found.failed and not found.owed)


def _dataset_facts(result: Result) -> dict[str, str]:
    counts = {key: value for key, value in result.record.items() if key.startswith("num_") or key == "verdicts"}
    return {"digest": result.record["content"], "source": result.path, "profile": json.dumps(counts)}


def _exam_facts(exam: Exam) -> dict[str, str]:
    profile = {"num_items": len(exam.items), "num_samples": exam.benchmark.num_samples, "group": exam.benchmark.group}
    return {"digest": exam.digest[:8], "source": exam.source.path, "profile": json.dumps(profile)}
