"""Stored answers -> what judges say of them -> verdicts. Replies are kept: today's reader judges them again without a model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from ray_study.analyze import ErrorRates
from ray_study.evaluate.judges import ask_judge, judge_sources
from ray_study.evaluate.questions import Question
from ray_study.evaluate.suite import Exam
from ray_study.evaluate.validating import labelled_mark, stored_validation, validation
from ray_study.materials import Lab, verdict_counts
from ray_study.owed import verdicts_inputs, verdicts_mark
from ray_study.rows import COMPLY, Attempt, GradedAttempt, Problem
from ray_study.store import Result, Workspace, fingerprint
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
    measured = [validation(lab, name, labelled) for name, labelled in _validated_on(lab, exam)]
    replies = {name: _judgements(lab, exam, answers, name) for name in exam.benchmark.judge}
    return _verdicts(lab, exam, answers, replies, measured, label)


def stored_replies(lab: Lab, exam: Exam, answers: Result) -> dict[str, Result]:
    """What each judge said of stored answers, by its name; nobody is asked, no model is looked for, and nothing is written.

    Raises:
        ValueError: something of it is not stored whole; it names the judge.
    """
    found = {name: lab.store.recall("judgements", _judgements_mark(lab, exam, answers, name)) for name in exam.benchmark.judge}
    whole = {name: result for name, result in found.items() if result is not None and _is_of(result, answers)}
    if missing := [name for name in found if name not in whole]:
        raise ValueError(
            f"the replies of {', '.join(missing)} to it are not stored whole, or not to the words of today; `run` asks for them"
        )
    for name, labelled in _validated_on(lab, exam):
        if lab.store.recall("judgements", labelled_mark(lab, name, labelled)) is None:
            raise ValueError(f"the replies of {name} to the labelled set {labelled} are not stored whole; `run` asks for them")
    return whole


def _is_of(replies: Result, answers: Result) -> bool:
    return bool(replies.record["sources"].get(f"{answers.stage}-{answers.fingerprint}") == answers.made)


def verdicts_from_stored(lab: Lab, exam: Exam, answers: Result, replies: Mapping[str, Result], label: str) -> Result:
    """Today's verdicts on stored answers by what the judges said of them, as `stored_replies` found it; nobody is asked."""
    measured = [stored_validation(lab, name, labelled) for name, labelled in _validated_on(lab, exam)]
    return _verdicts(lab, exam, answers, replies, measured, label)


def _validated_on(lab: Lab, exam: Exam) -> list[tuple[str, str]]:
    """The judges that are measured on what people labelled, each with a labelled set."""
    return [(name, labelled) for name in exam.benchmark.judge for labelled in lab.study.judges[name].validate_on]


def read_again(lab: Lab, exam: Exam, answers: Result, replies: Mapping[str, Result]) -> Iterator[tuple[str, list[GradedAttempt]]]:
    """Each shard of stored answers by its name, with the verdicts that today's reader makes of the judges' replies.

    Args:
        lab: whose study says by which rubric a judge judges.
        exam: one whose benchmark names judges.
        answers: all of a checkpoint's attempts at it.
        replies: what each judge said of them, shard by shard.
    """
    by_id = {item.id: item for item in exam.items}
    rubrics: dict[str, Result] = {lab.study.judges[name].rubric: result for name, result in replies.items()}
    attempts = Workspace(path=answers.path)
    for shard in sorted(attempts.shards()):
        said = {rubric: _by_id(Workspace(path=result.path).read(shard, Attempt)) for rubric, result in rubrics.items()}
        answered = attempts.read(shard, Attempt)
        yield shard, [together(each, by_id[each.problem_id], _asked(each, said, exam), exam.benchmark.reads) for each in answered]


def _verdicts(
    lab: Lab,
    exam: Exam,
    answers: Result,
    replies: Mapping[str, Result],
    measured: Sequence[Mapping[str, ErrorRates]],
    label: str,
) -> Result:
    rates = {metric: asdict(found) for each in measured for metric, found in each.items()}

    def build(workspace: Workspace) -> Mapping[str, object]:
        for shard, graded in read_again(lab, exam, answers, replies):
            for each in graded:
                if each.verdict == "error":
                    log.warning("%s, item %s, sample %d: %s", label, each.problem_id, each.sample, each.explanation)
            workspace.write(shard, graded, GradedAttempt)
        counts = verdict_counts(workspace.path)
        lab.progress(f"verdicts, {label}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
        judgements = {name: result.fingerprint for name, result in replies.items()}
        return {"num_rows": sum(counts.values()), "verdicts": counts, "judgements": judgements, "rates": rates}

    inputs = verdicts_inputs(lab.study, exam.name, answers.fingerprint)
    return lab.store.make("verdicts", inputs, build, sources=[answers, exam.source])


def _inputs(lab: Lab, exam: Exam, answers: Result, name: str) -> dict[str, object]:
    """What identifies a judge's replies about an exam's answers."""
    inputs = {"attempts": answers.fingerprint, "judge": judge_literal(lab.study, name), "thought": exam.benchmark.judge_thought}
    # Where another part of the same answers is shown, it is another question.
    return inputs if exam.benchmark.reads == "answer" else inputs | {"reads": exam.benchmark.reads}


def _judgements_mark(lab: Lab, exam: Exam, answers: Result, name: str) -> str:
    return fingerprint("judgements", VERSION, _inputs(lab, exam, answers, name))


def _judgements(lab: Lab, exam: Exam, answers: Result, name: str) -> Result:
    """What a judge said of an exam's answers: a shard of replies for each shard of attempts."""
    stored = Workspace(path=answers.path)
    by_id = {item.id: item for item in exam.items}

    def build(workspace: Workspace) -> Mapping[str, object]:
        shards = {shard: _questions(stored.read(shard, Attempt), by_id, exam) for shard in sorted(stored.shards())}
        workspace.keep(shards)
        ask_judge(lab, name, shards, workspace)
        return {"num_rows": sum(map(len, shards.values())), "judge": name}

    inputs = _inputs(lab, exam, answers, name)
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
