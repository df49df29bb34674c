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

from ray_study import cards
from ray_study.claims import alone
from ray_study.config import Study
from ray_study.evaluate import Cell, Exam
from ray_study.grid import planned
from ray_study.materials import stored_dataset
from ray_study.results import Findings, score_cell, training_rows
from ray_study.rows import Checkpoint, Run
from ray_study.runs import as_row
from ray_study.store import Result, Store
from ray_study.tracking import Tracker, default_uri
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
        # A driver that trains and one that scores may open it at the same time.
        with alone(store, "tracking"):
            self._tracker = Tracker(file.study.tracking or default_uri(store.root), file.study.name, store.path("artifacts"))
            self._parent = self._tracker.parent(file.study.name, {"sweep.yaml": file.text})
        self._datasets: Mapping[str, Result] = {}
        self._exams: dict[str, Exam] = {}
        self._children: dict[str, str] = {}
        self._waiting: dict[str, list[Mapping[str, float]]] = defaultdict(list)
        self._told_at: dict[str, float] = {}
        # Checkpoints are scored by several threads at once where there are several replicas.
        self._lock = threading.Lock()

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
            for exam in exams:
                self._tracker.dataset(self._parent, exam.name, _exam_facts(exam), "eval")

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

    def _found(self, event: Checkpoint | Run) -> None:
        """The child run and the logged model of a checkpoint, found or made; of runs the driver that trains them tells."""
        if isinstance(event, Run):
            return
        if event.run not in self._children:
            run = next(each for each in planned(self._study) if each.id == event.run)
            dataset = stored_dataset(self._study, self._store, run.dataset)
            made = dataset.made if dataset is not None else UNMADE
            self._children[run.id] = self._tracker.find_child(self._parent, as_row(run, status="owed"), made)
        self._tracker.checkpoint(self._children[event.run], event)

    def _run(self, run: Run) -> None:
        dataset = self._datasets.get(run.dataset)
        self._waiting.pop(run.id, None)
        child = self._tracker.child(self._parent, run, dataset.made if dataset is not None else UNMADE)
        self._children[run.id] = child
        if dataset is not None:
            self._tracker.dataset(child, run.dataset, _dataset_facts(dataset), "training")
        self._tracker.training(child, [(step, key, value) for _, step, key, value in training_rows(self._store, run)])

    def _lengths(self, run: str) -> None:
        """How many rows a run learns from, how many were over-long, and where its model's template is not what it is taught."""
        found = (self._store.read_json(LENGTHS) or {}).get(run)
        if found is None:
            return
        counts = {key: str(found[key]) for key in ("num_rows", "num_held_out", "num_dropped", "num_truncated")}
        differences = {"ray_study.template_differences": "; ".join(found["template_differences"])} if found["template_differences"] else {}
        self._tracker.params(self._children[run], counts, differences)

    def scored(self, cells: Sequence[Cell]) -> None:
        """Publishes the scores of a checkpoint, tied to its logged model and to the exams."""
        with self._one_at_a_time():
            for cell in cells:
                exam = self._exams[cell.exam]
                child = self._children[cell.checkpoint.run]
                scores = score_cell(cell, exam)[0]
                self._tracker.scores(child, cell.checkpoint, scores, {exam.name: exam.digest[:8]})

    def report(self, page: str, found: Findings) -> None:
        """Publishes the report, and ends the parent run: failed where something failed or is owed."""
        self._tracker.artifacts(self._parent, str(Path(page).parent), "report")
        self._tracker.finish(self._parent, complete=not found.failed and not found.owed)


def _dataset_facts(result: Result) -> dict[str, str]:
    counts = {key: value for key, value in result.record.items() if key.startswith("num_") or key == "verdicts"}
    return {"digest": result.record["content"], "source": result.path, "profile": json.dumps(counts)}


def _exam_facts(exam: Exam) -> dict[str, str]:
    profile = {"num_items": len(exam.items), "num_samples": exam.benchmark.num_samples, "group": exam.benchmark.group}
    return {"digest": exam.digest[:8], "source": exam.source.path, "profile": json.dumps(profile)}
