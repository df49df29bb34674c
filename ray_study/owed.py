"""What is owed: checkpoint x benchmark, each `owed`, `running`, `scored` or `failed` with the reason, from the store alone. Pure, light.

A benchmark in two protocols is two entries of `evaluation.benchmarks`, so two columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ray_study.claims import holder
from ray_study.config import Study, Training
from ray_study.exam_literals import ANSWERS_VERSION, answers_literal, verdicts_literal
from ray_study.grid import PlannedRun, planned, problems_literal
from ray_study.manifests import gone, has_weights
from ray_study.plan import saved_steps
from ray_study.problems import local_sources
from ray_study.store import Result, Store, Workspace, fingerprint
from ray_study.stored_steps import saved, stored_steps
from ray_study.train.layout import LENGTHS, step_directory
from ray_study.verify import VERSION as VERIFY_VERSION
from ray_study.verify.rubrics import judging_literal

State = Literal["owed", "running", "scored", "failed"]

FAILURE = "failed.json"
"""In the directory of a cell's answers: why it could not be scored when that was last tried."""

SITTING = "sitting-{benchmark}.json"
"""Beside it: the claim of the evaluator at which a cell is being answered or judged. One that was killed leaves it behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellState:
    """How far one checkpoint is with one benchmark."""

    state: State
    why: str = ""
    """Why it failed; of what is running, how much is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One checkpoint, there already or to come, and the benchmarks that it sits."""

    run: PlannedRun
    step: int
    fingerprint: str
    """Of the checkpoint; empty where it is not trained yet, or lost."""
    deleted: bool
    """Whether its weights were deleted: nothing more can be asked of it."""
    cells: Mapping[str, CellState]
    """By benchmark; those that ask for other steps are not in it."""
    lost: str = ""
    """Why a checkpoint that was saved cannot be used, and what to do; empty for all others."""

    @property
    def trained(self) -> bool:
        """Whether the checkpoint is there."""
        return bool(self.fingerprint)


def matrix(study: Study, store: Store) -> list[MatrixRow]:
    """A row for each checkpoint of each SFT run by step, step 0 first; where there is no sweep, for each model. Nothing is written."""
    states = Cells(study, store)
    if "sweep" not in study.model_fields_set:
        return list(_models(states))
    return [row for run in planned(study) if run.stage == "sft" for row in _rows(states, run)]


def answers_mark(study: Study, benchmark: str, checkpoint: str, model: str) -> str:
    """The fingerprint of a checkpoint's answers at a benchmark."""
    return fingerprint("answers", ANSWERS_VERSION, answers_literal(study, benchmark, checkpoint, model))


def verdicts_inputs(study: Study, benchmark: str, answers: str, version: int = VERIFY_VERSION) -> dict[str, object]:
    """What identifies the verdicts that a version of the verifier gives on the answers to a benchmark, by their fingerprint."""
    reads = study.evaluation.benchmarks[benchmark].reads
    return verdicts_literal(answers, version, reads, judging_literal(study, benchmark))


def verdicts_mark(study: Study, benchmark: str, answers: str, version: int = VERIFY_VERSION) -> str:
    """The fingerprint of those verdicts."""
    return fingerprint("verdicts", 1, verdicts_inputs(study, benchmark, answers, version))


def stored_answers(study: Study, store: Store) -> Iterator[tuple[str, str, MatrixRow]]:
    """The fingerprint of each scored cell's answers, its benchmark and its checkpoint; what several runs share comes once."""
    seen: set[tuple[str, str]] = set()
    for row in matrix(study, store):
        for name, cell in row.cells.items():
            mark = answers_mark(study, name, row.fingerprint, row.run.model)
            if cell.state == "scored" and (mark, name) not in seen:
                seen.add((mark, name))
                yield mark, name, row


def note_failure(store: Store, answers: str, why: str) -> None:
    """Notes why a cell could not be scored, for whoever looks when the driver has ended; an empty reason takes the note away."""
    name = f"answers-{answers}/{FAILURE}"
    if why:
        store.write_json(name, {"why": why})
    else:
        Path(store.path(name)).unlink(missing_ok=True)


def note_sitting(store: Store, answers: str, benchmark: str) -> None:
    """Notes that whoever evaluates the store has begun with a cell, for whoever looks meanwhile; where nobody has claimed it, nothing."""
    token = holder(store, "evaluate")
    if token:
        store.write_json(_sitting(answers, benchmark), {"claim": token})


def note_sitting_over(store: Store, answers: str, benchmark: str) -> None:
    """Takes that note away."""
    Path(store.path(_sitting(answers, benchmark))).unlink(missing_ok=True)


def _sitting(answers: str, benchmark: str) -> str:
    return f"answers-{answers}/{SITTING.format(benchmark=benchmark)}"


def _noted(store: Store, name: str) -> dict[str, str]:
    """What a note says; nothing where there is none, or where it is taken away just now."""
    try:
        return dict(store.read_json(name) or {})
    except FileNotFoundError:
        return {}


def checkpoint_steps(store: Store, run: str) -> dict[int, str]:
    """The fingerprint of each whole checkpoint of a run by step."""
    return {step: manifest.fingerprint for step, manifest in stored_steps(store, run).whole.items()}


@dataclass(slots=True)
class Cells:
    """The states of cells, by the identities and the sources that scoring asks the store for; each is looked up once."""

    study: Study
    store: Store
    _sources: dict[str, Result | None] = field(init=False)
    _evaluator: str = field(init=False)
    _known: dict[tuple[str, str, str], CellState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Finds the stored problems of each benchmark, and whether somebody scores now."""
        self._sources = {name: self._source(benchmark.problems) for name, benchmark in self.study.evaluation.benchmarks.items()}
        self._evaluator = holder(self.store, "evaluate")

    def state(self, directory: Path, checkpoint: str, benchmark: str, model: str) -> CellState:
        """The state of a cell whose checkpoint is there.

        Args:
            directory: of the checkpoint.
            checkpoint: its fingerprint.
            benchmark: which exam.
            model: the model's name in the sweep file.
        """
        key = (checkpoint, benchmark, model)
        if key not in self._known:
            self._known[key] = self._look(directory, *key)
        return self._known[key]

    def _look(self, directory: Path, checkpoint: str, benchmark: str, model: str) -> CellState:
        mark = answers_mark(self.study, benchmark, checkpoint, model)
        if self._is_scored(mark, benchmark):
            return CellState(state="scored")
        if not has_weights(directory) and not self._is_answered(mark, benchmark):
            return CellState(state="failed", why=gone(directory))
        if self._evaluator and _noted(self.store, _sitting(mark, benchmark)).get("claim") == self._evaluator:
            # Of a finished result the shards are there too: its verdicts are under way then.
            num_shards = len(Workspace(path=self.store.path(f"answers-{mark}")).shards())
            return CellState(state="running", why=f"{num_shards} shards are stored")
        failure = _noted(self.store, f"answers-{mark}/{FAILURE}")
        return CellState(state="failed", why=failure["why"]) if failure else CellState(state="owed")

    def _is_answered(self, answers: str, benchmark: str) -> bool:
        """Whether the answers are stored whole: then they can be judged without the checkpoint's weights."""
        source = self._sources[benchmark]
        return source is not None and self.store.find("answers", answers, [source]) is not None

    def _is_scored(self, answers: str, benchmark: str) -> bool:
        """Whether answers and verdicts are stored whole, made from what is stored now: then `run` would not make them again."""
        source = self._sources[benchmark]
        found = self.store.find("answers", answers, [source]) if source is not None else None
        if found is None or source is None:
            return False
        return self.store.find("verdicts", verdicts_mark(self.study, benchmark, answers), [found, source]) is not None

    def _source(self, name: str) -> Result | None:
        problems = self.study.problems[name]
        return self.store.find("problems", fingerprint("problems", 1, problems_literal(problems)), local_sources(problems))


def _models(states: Cells) -> Iterator[MatrixRow]:
    """The rows of models that were evaluated without a study, as the store has noted them; they sit every exam."""
    for name, known in (states.store.read_json("bases.json") or {}).items():
        if name in states.study.models:
            # Nothing of it is trained: it is a run by its name only.
            run = PlannedRun(id=name, name=name, stage="sft", model=name, dataset="", seed=0, training=Training.model_construct())
            asked = states.study.evaluation.benchmarks
            yield MatrixRow(
                run=run,
                step=known["step"],
                fingerprint=known["fingerprint"],
                deleted=False,
                cells={each: states.state(Path(known["path"]), known["fingerprint"], each, name) for each in asked},
            )


def _rows(states: Cells, run: PlannedRun) -> Iterator[MatrixRow]:
    study, store = states.study, states.store
    found = stored_steps(store, run.id)
    made = {step: manifest.fingerprint for step, manifest in found.whole.items()}
    steps = last_known_steps(study, store, run) or tuple(made)
    base = (store.read_json("bases.json") or {}).get(run.id)
    prints = {**({0: base["fingerprint"]} if base is not None else {}), **made}
    for step in (0, *steps):
        trained = step in prints
        directory = Path(base["path"]) if step == 0 and base is not None else step_directory(Path(store.path(f"train-{run.id}")), step)
        asked = [name for name, each in study.evaluation.benchmarks.items() if is_asked(each.at, step, max(steps, default=0))]
        lost = found.lost.get(step, "")
        without = CellState(state="failed", why=lost) if lost else CellState(state="owed")
        yield MatrixRow(
            run=run,
            step=step,
            fingerprint=prints.get(step, ""),
            deleted=trained and not has_weights(directory),
            cells={name: states.state(directory, prints[step], name, run.model) if trained else without for name in asked},
            lost=lost,
        )


def is_asked(at: str | tuple[int, ...], step: int, last: int) -> bool:
    """Whether a benchmark is asked at a step of a run that ends at step `last`: at step 0 and the last step always."""
    return at == "all" or step in (0, last) or (isinstance(at, tuple) and step in at)


def last_known_steps(study: Study, store: Store, run: PlannedRun) -> tuple[int, ...] | None:
    """The steps at which a run is saved: those that it has saved where it is finished, else by the rows that it has, else by the plan."""
    finished = store.recall("train", run.id)
    if finished is not None:
        # What a finished run has made is what is owed, also where it is gone: its data set may have come out smaller than planned.
        return saved(finished)
    counted = (store.read_json(LENGTHS) or {}).get(run.id, {})
    return tuple(counted.get("steps", ())) or saved_steps(study, run)
