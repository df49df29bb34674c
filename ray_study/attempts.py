"""A teacher's attempts at problems, and the verdicts on them, each made once and kept in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ray_study import generate
from ray_study.chat import Chat
from ray_study.config import Teacher
from ray_study.grid import attempts_literal
from ray_study.manifests import digest, read_manifest
from ray_study.materials import Lab, base_directory, grade, load_problems
from ray_study.models import positions
from ray_study.rows import Attempt, Problem
from ray_study.store import Result, Workspace, outside
from ray_study.verify import VERSION as VERIFY_VERSION


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
