"""Stored answers -> what judges say of them -> verdicts. Replies are kept: today's reader judges them again without a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ray_study.evaluate.judges import ask_judge, judge_sources
from ray_study.evaluate.questions import Question
from ray_study.evaluate.suite import Exam
from ray_study.evaluate.validating import validation
from ray_study.materials import Lab, verdict_counts
from ray_study.owed import verdicts_inputs, verdicts_mark
from ray_study.rows import COMPLY, Attempt, GradedAttempt, Problem
from ray_study.store import Result, Workspace
from ray_study.verify.rubrics import Asked, Part, judge_literal, reply_id, reply_to_judge, together

log = logging.getLogger(__name__)

VERSION = 1
"""Raised by hand when a judge is asked about something else; not when its replies are read otherwise (`verify.VERSION`)."""


def judged(lab: Lab, exam: Exam, answers: Result, label: str) -> Result:
    """The verdicts of the exam's judges on stored answers, each judge asked about what it was not asked yet.

    Args:
        lab: the study at work.
        exam: one whose benchmark names judges.
        answers: all of a checkpoint's attempts at it.
        label: which checkpoint and exam, for people.

    Raises:
        BudgetSpent: what a judge may cost is spent; what is judged stays.
        JudgeFailed: a judge failed again and again.
    """
    sources = [answers, exam.source]
    stored = lab.store.find("verdicts", verdicts_mark(lab.study, exam.name, answers.fingerprint), sources)
    if stored is not None:
        return stored
    rates = {
        metric: asdict(found)
        for name in exam.benchmark.judge
        for labelled in lab.study.judges[name].validate_on
        for metric, found in validation(lab, name, labelled).items()
    }
    replies = {name: _judgements(lab, exam, answers, name) for name in exam.benchmark.judge}

    def build(workspace: Workspace) -> Mapping[str, object]:
        by_id = {item.id: item for item in exam.items}
        rubrics: dict[str, Result] = {lab.study.judges[name].rubric: result for name, result in replies.items()}
        for shard in sorted(Workspace(path=answers.path).shards()):
            attempts = Workspace(path=answers.path).read(shard, Attempt)
            said = {rubric: _by_id(Workspace(path=result.path).read(shard, Attempt)) for rubric, result in rubrics.items()}
            graded = [together(each, by_id[each.problem_id], _asked(each, said, exam), exam.benchmark.reads) for each in attempts]
            for each in graded:
                if each.verdict == "error":
                    log.warning("%s, item %s, sample %d: %s", label, each.problem_id, each.sample, each.explanation)
            workspace.write(shard, graded, GradedAttempt)
        counts = verdict_counts(workspace.path)
        lab.progress(f"verdicts, {label}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        judgements = {name: result.fingerprint for name, result in replies.items()}
        return {"num_rows": sum(counts.values()), "verdicts": counts, "judgements": judgements, "rates": rates}

    return lab.store.make("verdicts", verdicts_inputs(lab.study, exam.name, answers.fingerprint), build, sources=sources)


def _judgements(lab: Lab, exam: Exam, answers: Result, name: str) -> Result:
    """What a judge said of an exam's answers: a shard of replies for each shard of attempts."""
    inputs = {"attempts": answers.fingerprint, "judge": judge_literal(lab.study, name), "thought": exam.benchmark.judge_thought}
    if exam.benchmark.reads != "answer":
        # Another part of the same answers is shown.
        inputs["reads"] = exam.benchmark.reads
    stored = Workspace(path=answers.path)
    by_id = {item.id: item for item in exam.items}

    def build(workspace: Workspace) -> Mapping[str, object]:
        shards = {shard: _questions(stored.read(shard, Attempt), by_id, exam) for shard in sorted(stored.shards())}
        workspace.keep(shards)
        ask_judge(lab, name, shards, workspace)
        return {"num_rows": sum(map(len, shards.values())), "judge": name}

    return lab.store.make("judgements", inputs, build, version=VERSION, sources=[answers, *judge_sources(lab, name)])


def parts(exam: Exam) -> tuple[Part, ...]:
    """What of each attempt the judges look at."""
    return ("answer", "thought") if exam.benchmark.judge_thought else ("answer",)


def _questions(attempts: Sequence[Attempt], by_id: Mapping[str, Problem], exam: Exam) -> list[Question]:
    """What the judge is asked; attempts that are no answer are not among it."""
    found = []
    for attempt in attempts:
        problem = by_id[attempt.problem_id]
        for part in parts(exam):
            text = reply_to_judge(attempt, part, exam.benchmark.reads)
            if isinstance(text, str):
                name = reply_id(attempt, part)
                reference = "" if problem.answer == COMPLY else problem.answer
                found.append(Question(id=name, request=problem.prompt, reply=text, reference=reference, part=part))
    return found


def _by_id(replies: Sequence[Attempt]) -> dict[str, Attempt]:
    return {reply.problem_id: reply for reply in replies}


def _asked(attempt: Attempt, said: Mapping[str, Mapping[str, Attempt]], exam: Exam) -> list[Asked]:
    return [
        Asked(rubric=rubric, part=part, reply=replies.get(reply_id(attempt, part)))
        for rubric, replies in said.items()
        for part in parts(exam)
    ]
