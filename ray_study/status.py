"""What of a study is made and what is owed, read from the store: no cluster, no claim, nothing heavy."""

from __future__ import annotations

from pathlib import Path

from ray_study.claims import describe
from ray_study.config import Study
from ray_study.grid import ANSWERS_VERSION, PlannedRun, answers_literal, planned, problems_literal, verdicts_literal
from ray_study.making import unmade
from ray_study.manifests import MANIFEST, gone, has_weights, read_manifest
from ray_study.plan import saved_steps
from ray_study.problems import local_sources
from ray_study.store import Result, Store, fingerprint
from ray_study.train.layout import LENGTHS, step_directory
from ray_study.verify import VERSION as VERIFY_VERSION
from ray_study.verify.rubrics import judging_literal


def status(study: Study, store: Store) -> tuple[list[str], bool]:
    """Lines for people, and whether everything owed is scored."""
    cells = _Cells(study, store)
    lines = [f"study {study.name} in {store.root}", *(f"working now: {line}" for line in describe(store))]
    runs = planned(study)
    broken = {name: why for name, why in unmade(store).items() if name in study.datasets}
    complete = not broken
    lines += [f"data set {name} could not be made: {why}" for name, why in broken.items()]
    for run in runs:
        state, whole = _run_state(store, run.id)
        complete &= whole
        lines.append(f"{run.name} [{run.id}]: {state}")
        if run.stage == "pretrain":
            continue
        for benchmark in study.evaluation.benchmarks:
            row, owed = _matrix_row(study, store, run, benchmark, cells)
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


class _Cells:
    """Which cells `run` would not make again: by the identities and the sources that scoring asks the store for."""

    def __init__(self, study: Study, store: Store) -> None:
        self._study = study
        self._store = store
        self._sources = {name: self._source(benchmark.problems) for name, benchmark in study.evaluation.benchmarks.items()}

    def is_answered(self, checkpoint: str, benchmark: str, model: str) -> bool:
        """Whether the answers are stored whole: then they can be judged without the checkpoint's weights."""
        return self._answers(checkpoint, benchmark, model) is not None

    def is_scored(self, checkpoint: str, benchmark: str, model: str) -> bool:
        """Whether answers and verdicts of the checkpoint with that fingerprint are stored whole, made from what is stored now."""
        source, answers = self._sources[benchmark], self._answers(checkpoint, benchmark, model)
        if source is None or answers is None:
            return False
        reads = self._study.evaluation.benchmarks[benchmark].reads
        mark = fingerprint(
            "verdicts", 1, verdicts_literal(answers.fingerprint, VERIFY_VERSION, reads, judging_literal(self._study, benchmark))
        )
        return self._store.find("verdicts", mark, [answers, source]) is not None

    def _answers(self, checkpoint: str, benchmark: str, model: str) -> Result | None:
        source = self._sources[benchmark]
        if source is None:
            return None
        inputs = answers_literal(self._study, benchmark, checkpoint, model)
        return self._store.find("answers", fingerprint("answers", ANSWERS_VERSION, inputs), [source])

    def _source(self, name: str) -> Result | None:
        problems = self._study.problems[name]
        return self._store.find("problems", fingerprint("problems", 1, problems_literal(problems)), local_sources(problems))


def _matrix_row(study: Study, store: Store, run: PlannedRun, benchmark: str, scored: _Cells) -> tuple[str, bool]:
    settings = study.evaluation.benchmarks[benchmark]
    made = checkpoint_steps(store, run.id)
    steps = _steps(study, store, run) or tuple(made)
    base = (store.read_json("bases.json") or {}).get(run.id, {})
    prints = {0: base.get("fingerprint", ""), **made}
    cells = []
    for step in (0, *steps):
        if not _is_asked(settings.at, step, max(steps, default=0)):
            continue
        is_scored = step in prints and scored.is_scored(prints[step], benchmark, run.model)
        state = "scored" if is_scored else ("owed" if step in prints else "not trained")
        if state == "owed" and not has_weights(_directory(store, run, step)):
            state = "weights deleted"
        cells.append((step, state))
    text = "  ".join(f"{step}:{state}" for step, state in cells)
    return f"  {benchmark}: {text}", any(state != "scored" for _, state in cells)


def _directory(store: Store, run: PlannedRun, step: int) -> Path:
    return step_directory(Path(store.path(f"train-{run.id}")), step)


def beyond_reach(study: Study, store: Store) -> list[str]:
    """What the study asks of checkpoints whose weights were deleted after they were scored: it cannot be done without training again."""
    if not store.is_local:
        return []
    cells, found = _Cells(study, store), []
    for run in planned(study):
        steps = checkpoint_steps(store, run.id) if run.stage == "sft" else {}
        deleted = {step: mark for step, mark in steps.items() if not has_weights(_directory(store, run, step))}
        for name, benchmark in study.evaluation.benchmarks.items():
            for step, mark in deleted.items():
                if _is_asked(benchmark.at, step, max(steps)) and not cells.is_answered(mark, name, run.model):
                    found.append(f"benchmark {name} at step {step} of {run.name}: {gone(_directory(store, run, step))}")
    return found


def _is_asked(at: str | tuple[int, ...], step: int, last: int) -> bool:
    return at == "all" or step in (0, last) or (isinstance(at, tuple) and step in at)


def _steps(study: Study, store: Store, run: PlannedRun) -> tuple[int, ...] | None:
    """The steps at which a run is saved: those that it has where it is finished, else by the rows that it has, else by the plan."""
    if store.recall("train", run.id) is not None:
        # What a finished run has made is what is owed: its data set may have come out smaller than planned.
        return tuple(checkpoint_steps(store, run.id))
    counted = (store.read_json(LENGTHS) or {}).get(run.id, {})
    return tuple(counted.get("steps", ())) or saved_steps(study, run)
