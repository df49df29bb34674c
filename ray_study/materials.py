"""What a study is made from: problems, attempts, verdicts, data sets and base models, each made once and kept in the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ray_study import generate, model_files, problems, selection, verify
from ray_study.chat import Chat
from ray_study.config import Dataset, Study, Teacher
from ray_study.engines import Engines
from ray_study.grid import attempts_literal, dataset_literal, problems_literal
from ray_study.manifests import digest, hash_file, read_manifest
from ray_study.models import positions
from ray_study.rows import Attempt, Example, GradedAttempt, Problem
from ray_study.store import Result, Store, Workspace, outside
from ray_study.verify import VERSION as VERIFY_VERSION

log = logging.getLogger(__name__)


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
    last_steps: dict[str, int] = field(default_factory=dict)
    """The last step of each run by its id, known once its data set is made."""


def load_problems(lab: Lab, name: str) -> tuple[Result, list[Problem]]:
    """A set of problems and where it is stored."""
    if name in lab.loaded:
        return lab.loaded[name]
    settings = lab.study.problems[name]
    files = _local_file(settings.source, settings.options.get("path"))

    def build(workspace: Workspace) -> Mapping[str, object]:
        lab.progress(f"problems {name}: loading from {settings.source}")
        rows = problems.load(settings.source, num_problems=settings.num_problems, seed=settings.seed, options=settings.options)
        verify.check_gold(rows)
        workspace.write("all", rows, Problem)
        return {"num_rows": len(rows), "resolved": problems.resolved(settings.source, settings.options)}

    result = lab.store.make("problems", problems_literal(settings), build, sources=files)
    lab.loaded[name] = (result, result.rows(Problem))
    return lab.loaded[name]


def _local_file(source: str | None, path: object) -> list[Result]:
    """A local file as a source: its content identifies what is read from it, not its name."""
    if source not in ("jsonl", "parquet") or not isinstance(path, str) or not Path(path).is_file():
        return []
    return [outside(Path(path).name, hash_file(Path(path)))]


def base_directory(lab: Lab, name: str) -> str:
    """The local directory of a model as it comes, before this study trains it."""
    return str(model_files.prepare(lab.study.models[name], name, lab.cache, progress=lab.progress))


def make_attempts(lab: Lab, problem_set: str, teacher: str) -> Result:
    """A teacher's attempts at a set of problems."""
    source, rows = load_problems(lab, problem_set)
    settings = lab.study.teachers[teacher]
    inputs = attempts_literal(lab.study, problem_set, teacher)
    if settings.by == "solver":
        return lab.store.make("attempts", inputs, lambda workspace: _solve(workspace, rows), sources=[source])

    assert settings.model is not None
    directory = base_directory(lab, settings.model)
    weights = outside(f"model {settings.model}", read_manifest(Path(directory)).fingerprint)

    def build(workspace: Workspace) -> Mapping[str, object]:
        lab.progress(f"attempts of {teacher} at {problem_set}: {len(rows)} problems x {settings.num_attempts}")
        return _ask_teacher(lab, workspace, rows, settings, directory)

    return lab.store.make("attempts", inputs, build, sources=[source, weights])


def _solve(workspace: Workspace, rows: Sequence[Problem]) -> Mapping[str, object]:
    return {"num_rows": workspace.write("all", generate.solver_attempts(rows), Attempt)}


def _ask_teacher(lab: Lab, workspace: Workspace, rows: Sequence[Problem], teacher: Teacher, directory: str) -> Mapping[str, object]:
    assert teacher.model is not None
    model = lab.study.models[teacher.model]
    chat = Chat(directory)
    shards = generate.shards(
        rows,
        chat,
        asking=generate.Asking(
            num_samples=teacher.num_attempts,
            sampling=teacher.sampling,
            positions=positions(Path(directory), model),
            seed_parts=(lab.study.seed, "teacher", digest(teacher.model_dump(mode="json", exclude={"shard_size"}))),
            worked_examples=teacher.worked_examples,
            thinking=teacher.thinking,
        ),
        shard_size=teacher.shard_size,
    )
    workspace.keep(shard.name for shard in shards)
    owed = [shard for shard in shards if shard.name not in workspace.shards()]
    if owed:
        with lab.engines.use(directory, lab.study.resources.generate, model) as pool:
            generate.drive(owed, pool, directory, workspace.path, progress=lab.progress)
    attempts = [attempt for shard in shards for attempt in workspace.read(shard.name, Attempt)]
    return {
        "num_rows": len(attempts),
        "num_tokens": sum(attempt.num_tokens for attempt in attempts),
        "num_refused": sum(attempt.finish_reason == "refused" for attempt in attempts),
        "conditions": sorted({attempt.conditions for attempt in attempts}),
        "template_differences": _differences(chat, rows),
        "model_fingerprint": read_manifest(Path(directory)).fingerprint,
    }


def _differences(chat: Chat, rows: Sequence[Problem]) -> list[str]:
    written = [row for row in rows if row.solution][:1]
    return [sentence for row in written for sentence in chat.differences(row.prompt, row.solution)]


def grade_attempts(lab: Lab, problem_set: str, teacher: str) -> Result:
    """The verdicts on a teacher's attempts."""
    source, rows = load_problems(lab, problem_set)
    attempts = make_attempts(lab, problem_set, teacher)
    inputs = {"attempts": attempts.fingerprint, "verify": VERIFY_VERSION}

    return grade(lab, attempts, rows, [source], inputs, f"{teacher} at {problem_set}")


def grade(
    lab: Lab, attempts: Result, rows: Sequence[Problem], sources: Sequence[Result], inputs: Mapping[str, object], label: str
) -> Result:
    """The verdicts on stored attempts, shard by shard."""
    by_id = {row.id: row for row in rows}

    def build(workspace: Workspace) -> Mapping[str, object]:
        unjudged_workers = max(1, int(lab.study.resources.generate.cpus_per_replica))
        attempts_workspace = Workspace(path=attempts.path)
        for name in sorted(attempts_workspace.shards() - workspace.shards()):
            graded = verify.grade(attempts_workspace.read(name, Attempt), by_id, num_workers=unjudged_workers)
            workspace.write(name, graded, GradedAttempt)
        counts = verdict_counts([row for name in sorted(workspace.shards()) for row in workspace.read(name, GradedAttempt)])
        lab.progress(f"verdicts, {label}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        return {"num_rows": sum(counts.values()), "verdicts": counts}

    return lab.store.make("verdicts", inputs, build, sources=[attempts, *sources])


def verdict_counts(graded: Sequence[GradedAttempt]) -> dict[str, int]:
    """How many attempts had each verdict, the most frequent first."""
    return dict(Counter(row.verdict for row in graded).most_common())


def make_dataset(lab: Lab, name: str, exam_items: Sequence[Problem]) -> Result:
    """The examples of a data set, without the problems that also occur in a benchmark of the study."""
    dataset = lab.study.datasets[name]
    inputs = dataset_literal(lab.study, name)
    if dataset.problems is None or dataset.teacher is None:
        files = _local_file(dataset.read, dataset.name)
        return lab.store.make("dataset", inputs, lambda workspace: _read_examples(workspace, name, dataset), sources=files)
    source, rows = load_problems(lab, dataset.problems)
    verdicts = grade_attempts(lab, dataset.problems, dataset.teacher)
    kept, overlaps = problems.decontaminate(rows, exam_items)
    # What is removed depends on the study's benchmarks, so it is a source: other overlaps make the data set again.
    removed = outside(f"overlap of {name}", digest(sorted(overlaps)))

    def build(workspace: Workspace) -> Mapping[str, object]:
        by_id = {row.id: row for row in kept}
        graded = [row for row in verdicts.rows(GradedAttempt) if row.problem_id in by_id]
        return _select(workspace, lab.study, name, graded, by_id) | {
            "num_removed_by_overlap": len(rows) - len(kept),
            "overlaps": sorted(overlaps)[:1000],
            "verdicts": verdict_counts(graded),
            "num_problems": len(rows),
        }

    return lab.store.make("dataset", inputs, build, sources=[verdicts, source, removed])


def _select(
    workspace: Workspace, study: Study, name: str, graded: Sequence[GradedAttempt], by_id: Mapping[str, Problem]
) -> dict[str, object]:
    select, transform = study.datasets[name].select, study.datasets[name].transform
    try:
        chosen = selection.select(
            graded, by_id, policy=select.policy, per_problem=select.per_problem, num_examples=select.num_examples, seed=study.seed
        )
    except ValueError as error:
        raise ValueError(f"data set {name!r}: {error}") from error
    examples, num_dropped = selection.transform(chosen, transform)
    workspace.write("all", examples, Example)
    return {"num_rows": len(examples), "num_selected": len(chosen), "num_dropped_by_transform": num_dropped}


def _read_examples(workspace: Workspace, name: str, dataset: Dataset) -> Mapping[str, object]:
    assert dataset.read is not None
    assert dataset.name is not None
    examples, resolved = problems.read_examples(
        dataset.read, dataset.name, revision=dataset.revision, split=dataset.split, columns=dataset.columns
    )
    wanted = dataset.select.num_examples
    if wanted is not None and wanted > len(examples):
        raise ValueError(
            f"data set {name!r}: found {len(examples)} rows in {dataset.name}, expected {wanted}; set num_examples to what is there"
        )
    chosen, num_dropped = selection.transform(examples[:wanted], dataset.transform)
    workspace.write("all", chosen, Example)
    return {"num_rows": len(chosen), "num_dropped_by_transform": num_dropped, "resolved": resolved}
