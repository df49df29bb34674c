"""Attempts and their problems -> graded attempts, many at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ray_study.rows import Attempt, GradedAttempt, Judgement, Problem, Reads
from ray_study.verify.judging import JUDGES, TIMEOUT_SECONDS, lenient_answer, lenient_view, strict_answer, without_answer
from ray_study.verify.math_pool import Question, Reply, math_workers
from ray_study.verify.maths import Pair, asked_pair, decided


def grade(
    attempts: Sequence[Attempt],
    problems: Mapping[str, Problem],
    *,
    num_workers: int = 1,
    timeout_seconds: float = TIMEOUT_SECONDS,
    reads: Reads = "answer",
) -> list[GradedAttempt]:
    """The attempts with their strict and lenient verdicts, in the order given: those of `judge` and `judge_lenient`.

    What needs no computer algebra is decided here. The rest is asked of worker processes, each pair of gold and answer once,
    however many attempts gave that answer; programs run in their sandboxes meanwhile.

    Args:
        attempts: What was answered; one that was never asked (`refused`) gets the verdict `error` and keeps its explanation.
        problems: By id, one for each attempt at least.
        num_workers: How many comparisons by math-verify, and how many programs, run at once; never more than the machine has cores.
        timeout_seconds: Wall clock of one comparison.
        reads: Where the answer is looked for.

    Raises:
        ValueError: An attempt's problem is missing.
        RuntimeError: What judges a kind cannot be had here, such as the sandbox for programs.
    """
    missing = sorted({attempt.problem_id for attempt in attempts} - problems.keys())
    if missing:
        raise ValueError(f"{len(missing)} of the attempts' problems are missing, {missing[0]!r} first; pass the problems that were asked")
    known: dict[tuple[str, str], Judgement | Pair | Future[Judgement]] = {}
    found = [_answers(attempt, problems[attempt.problem_id], reads) for attempt in attempts]
    with ThreadPoolExecutor(max(1, min(num_workers, os.cpu_count() or 1))) as programs:
        for attempt, answers in zip(attempts, found, strict=True):
            problem = problems[attempt.problem_id]
            for answer in set(answers):
                if isinstance(answer, str) and (problem.id, answer) not in known:
                    known[problem.id, answer] = _judgement_or_pair(problem, answer, timeout_seconds, programs)
        pairs = {pair for pair in known.values() if isinstance(pair, tuple)}
        replies = math_workers().ask_many(pairs, timeout_seconds=timeout_seconds, num_workers=num_workers) if pairs else {}

    def judgement(attempt: Attempt, answer: str | Judgement) -> Judgement:
        return answer if isinstance(answer, Judgement) else _settled(answer, known[attempt.problem_id, answer], replies)

    return [
        graded(attempt, problems[attempt.problem_id], judgement(attempt, strict), judgement(attempt, lenient))
        for attempt, (strict, lenient) in zip(attempts, found, strict=True)
    ]


def _answers(attempt: Attempt, problem: Problem, reads: Reads) -> tuple[str | Judgement, str | Judgement]:
    """The strict and the lenient answer, or the judgement where there is none. They differ only where no box was found."""
    finish_reason, opened = attempt.finish_reason, attempt.thinking_opened
    strict = strict_answer(problem.kind, attempt.text, finish_reason=finish_reason, thinking_opened=opened, reads=reads)
    if isinstance(strict, str) or strict.verdict == "error":
        return strict, strict
    strict = without_answer(problem.kind, strict, problem.answer)
    return strict, lenient_answer(problem.kind, attempt.text, finish_reason=finish_reason, thinking_opened=opened, reads=reads)


def _judgement_or_pair(
    problem: Problem, answer: str, timeout_seconds: float, programs: ThreadPoolExecutor
) -> Judgement | Pair | Future[Judgement]:
    """The judgement on an answer, what a worker has to be asked for it, or the program's run."""
    if problem.kind == "code":
        # Threads only wait: the program runs in a process of its own.
        return programs.submit(JUDGES["code"], answer, problem.answer, timeout_seconds)
    if problem.kind != "math":
        return JUDGES[problem.kind](answer, problem.answer, timeout_seconds)
    pair = asked_pair(answer, problem.answer)
    reply = decided(pair)
    return pair if reply is None else Judgement(verdict=reply[0], answer=answer, explanation=reply[1])


def _settled(answer: str, known: Judgement | Pair | Future[Judgement], replies: Mapping[Question, Reply]) -> Judgement:
    if isinstance(known, Judgement):
        return known
    if isinstance(known, Future):
        return known.result()
    verdict, explanation = replies[known]
    return Judgement(verdict=verdict, answer=answer, explanation=explanation)


def graded(attempt: Attempt, problem: Problem, strict: Judgement, lenient: Judgement) -> GradedAttempt:
    """The attempt with its problem's facts and its two judgements."""
    facts = {field.name: getattr(attempt, field.name) for field in dataclasses.fields(attempt)}
    facts["explanation"] = attempt.explanation if attempt.finish_reason == "refused" else strict.explanation
    return GradedAttempt(
        **facts,
        kind=problem.kind,
        cluster=problem.cluster,
        verdict=strict.verdict,
        answer=strict.answer,
        lenient_verdict=lenient_view(problem.kind, lenient).verdict,
        details=strict.details,
    )
