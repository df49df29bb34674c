"""One checkpoint sits its exams: attempts from the pool, shard by shard, then verdicts. What is stored already is not asked again."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ray_study import generate, materials
from ray_study.chat import Chat
from ray_study.evaluate.answering import answer_shards
from ray_study.evaluate.judging import judged
from ray_study.evaluate.suite import Exam, is_owed
from ray_study.evaluate.turns import turns_of
from ray_study.evaluators import num_identities
from ray_study.exam_literals import ANSWERS_VERSION, answers_literal, exam_seed
from ray_study.grid import planned
from ray_study.manifests import gone, has_weights
from ray_study.materials import Lab
from ray_study.models import positions
from ray_study.owed import answers_mark, note_failure, note_sitting, note_sitting_over, verdicts_inputs, verdicts_mark
from ray_study.rows import Attempt, Checkpoint
from ray_study.store import ClaimLost, Result, Store, Workspace, fingerprint

log = logging.getLogger(__name__)


_ONE_CHECKPOINTS = (ValueError, RuntimeError, OSError)
"""What leaves one checkpoint's cells owed while the others are scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What became of one checkpoint at one exam."""

    checkpoint: Checkpoint
    exam: str
    verdicts: Result | None
    why: str = ""
    """Why there are no verdicts; empty where there are."""


def answers_inputs(lab: Lab, exam: Exam, fingerprint_: str, model: str) -> dict[str, object]:
    """What identifies a checkpoint's answers at an exam."""
    return answers_literal(lab.study, exam.name, fingerprint_, model)


def answered(lab: Lab, exam: Exam, checkpoint: Checkpoint, model: str) -> Result | None:
    """The answers of a cell that are stored whole, or None."""
    return lab.store.find("answers", answers_mark(lab.study, exam.name, checkpoint.fingerprint, model), [exam.source])


def stored(lab: Lab, exam: Exam, checkpoint: Checkpoint, model: str) -> Result | None:
    """The verdicts of a cell that is scored already, or None."""
    answers = answered(lab, exam, checkpoint, model)
    if answers is None:
        return None
    return lab.store.find("verdicts", verdicts_mark(lab.study, exam.name, answers.fingerprint), [answers, exam.source])


def score_checkpoint(lab: Lab, checkpoint: Checkpoint, exams: Sequence[Exam]) -> list[Cell]:
    """The cells of one checkpoint, all exams asked together so that the engine stays full; a cell that fails says why.

    Args:
        lab: the study at work.
        checkpoint: what is scored; every reply must carry its fingerprint.
        exams: the suite; those that ask for other steps are left out.
    """
    run = next(each for each in planned(lab.study) if each.id == checkpoint.run)
    owed = [exam for exam in exams if is_owed(exam, checkpoint.step, lab.last_steps[run.id])]
    # Step 0 is scored once for all runs of a model.
    return sit(lab, checkpoint, run.model, run.name if checkpoint.step else run.model, owed)


def sit(lab: Lab, checkpoint: Checkpoint, model: str, name: str, exams: Sequence[Exam]) -> list[Cell]:
    """The cells of one checkpoint at all of these exams, as `score_checkpoint` gives them.

    Args:
        lab: where it is worked.
        checkpoint: what is scored.
        model: which of the sweep file's models it is a checkpoint of.
        name: what people call what is scored, beside its step.
        exams: those that it sits.
    """
    for exam in exams:
        if stored(lab, exam, checkpoint, model) is None:
            # An older failure is over: the cell is tried again.
            note_failure(lab.store, answers_mark(lab.study, exam.name, checkpoint.fingerprint, model), "")
    # Answers that are stored are judged without the checkpoint's weights.
    missing = [exam for exam in exams if answered(lab, exam, checkpoint, model) is None]
    if missing and not has_weights(Path(checkpoint.path)):
        failed = dict.fromkeys((exam.name for exam in missing), gone(Path(checkpoint.path)))
    else:
        failed = _ask(lab, checkpoint, model, missing) if missing else {}
    # Exams of one judge come one after the other, so that a judge that is served is started once a checkpoint.
    of = (model, name)
    cells = {exam.name: _cell(lab, exam, checkpoint, of, failed.get(exam.name, "")) for exam in sorted(exams, key=_judges)}
    return [cells[exam.name] for exam in exams]


def _judges(exam: Exam) -> tuple[str, ...]:
    return exam.benchmark.judge


def _cell(lab: Lab, exam: Exam, checkpoint: Checkpoint, of: tuple[str, str], why: str) -> Cell:
    mark = answers_mark(lab.study, exam.name, checkpoint.fingerprint, of[0])
    verdicts = stored(lab, exam, checkpoint, of[0]) if not why else None
    if not why and verdicts is None:
        note_sitting(lab.store, mark, exam.name)
        try:
            verdicts = _judge(lab, exam, checkpoint, of)
        except _ONE_CHECKPOINTS as error:
            why = _reason(error)
    # For `status`, which tells it when this driver has ended.
    note_failure(lab.store, mark, why)
    note_sitting_over(lab.store, mark, exam.name)
    return Cell(checkpoint=checkpoint, exam=exam.name, verdicts=verdicts, why=why)


def _ask(lab: Lab, checkpoint: Checkpoint, model: str, exams: Sequence[Exam]) -> dict[str, str]:
    """Asks what is not stored yet, and says why an exam is not whole then, by its name."""
    owed: dict[str, list[tuple[Workspace, generate.Shard]]] = {exam.name: [] for exam in exams}
    error: Exception | None = None
    try:
        settings = lab.study.models[model]
        chat = Chat(checkpoint.path, trust_remote_code=settings.trust_remote_code)
        for exam in exams:
            workspace = _workspace(lab.store, exam, answers_inputs(lab, exam, checkpoint.fingerprint, model))
            shards = _shards(lab, exam, chat, positions(Path(checkpoint.path), settings))
            workspace.keep(shard.name for shard in shards)
            # Now that what was made from other problems is moved aside.
            note_sitting(lab.store, answers_mark(lab.study, exam.name, checkpoint.fingerprint, model), exam.name)
            owed[exam.name] = [(workspace, shard) for shard in shards]
        # Two exams that differ only in how answers are read share them: each is asked once.
        shared = {(workspace.path, shard.name): (workspace, shard, exam) for exam, pairs in owed.items() for workspace, shard in pairs}
        work = [each for each in shared.values() if each[1].name not in each[0].shards()]
        if work:
            resources, identities = lab.study.resources.evaluate, num_identities(lab.study)
            with lab.engines.use(checkpoint.path, resources, settings, name=model, identities=identities) as pool:
                answer_shards(pool, checkpoint.path, work, lab.progress)
    except _ONE_CHECKPOINTS as problem:
        error = problem
        why = _reason(error)
        log.error("step %d of %s could not be scored: %s", checkpoint.step, checkpoint.run, why)
    if error is None:
        return {}
    whole = {name for name, pairs in owed.items() if pairs and {shard.name for _, shard in pairs} <= pairs[0][0].shards()}
    return {exam.name: why for exam in exams if exam.name not in whole}


def _reason(error: Exception) -> str:
    """Why a cell is owed, in words; what must end the study is raised again: a lost claim, or a disk that is full."""
    if isinstance(error, ClaimLost) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        raise error
    return f"{type(error).__name__}: {error}"


def _shards(lab: Lab, exam: Exam, chat: Chat, num_positions: int) -> list[generate.Shard]:
    asking = generate.Asking(
        num_samples=exam.benchmark.num_samples,
        sampling=exam.sampling,
        positions=num_positions,
        # The same seed for every checkpoint: only the weights differ between two points of a curve.
        seed_parts=exam_seed(lab.study, exam.name),
        worked_examples=(),
        thinking=exam.benchmark.thinking,
        logprobs=lab.study.evaluation.logprobs,
    )
    return generate.shards(exam.items, chat, asking=asking, shard_size=lab.study.evaluation.shard_size)


def _workspace(store: Store, exam: Exam, inputs: Mapping[str, object]) -> Workspace:
    return store.workspace("answers", fingerprint("answers", ANSWERS_VERSION, inputs), [exam.source])


def _judge(lab: Lab, exam: Exam, checkpoint: Checkpoint, of: tuple[str, str]) -> Result:
    model, name = of
    inputs = answers_inputs(lab, exam, checkpoint.fingerprint, model)

    def build(workspace: Workspace) -> Mapping[str, object]:
        attempts = [attempt for name in sorted(workspace.shards()) for attempt in workspace.read(name, Attempt)]
        expected = len(exam.items) * exam.benchmark.num_samples
        if len(attempts) != expected:
            raise ValueError(f"{exam.name}: {len(attempts)} attempts are stored, {expected} were asked for")
        chat = Chat(checkpoint.path, trust_remote_code=lab.study.models[model].trust_remote_code)
        return {
            "num_rows": len(attempts),
            "num_tokens": sum(attempt.num_tokens for attempt in attempts),
            "num_clipped": sum(attempt.cap < exam.sampling.max_tokens for attempt in attempts),
            # The engine's version is one of these.
            "conditions": sorted({attempt.conditions for attempt in attempts}),
            "sampling": exam.sampling.model_dump(mode="json"),
            "stop_ids": list(chat.stop_ids),
            "template_hash": chat.template_hash,
            "turns": [asdict(turn) for turn in turns_of(workspace)],
            "step": checkpoint.step,
            "run": checkpoint.run,
        }

    answers = lab.store.make("answers", inputs, build, version=ANSWERS_VERSION, sources=[exam.source])
    label = f"{name} step {checkpoint.step}, {exam.name}"
    if exam.benchmark.judge:
        return judged(lab, exam, answers, label)
    return materials.grade(lab, answers, exam.items, [exam.source], verdicts_inputs(lab.study, exam.name, answers.fingerprint), label)
