"""Attempts and their problems -> graded attempts, many at once; and the check that every gold answer can be judged against."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

from ray_study.rows import Attempt, FinishReason, GradedAttempt, Judgement, Kind, Problem
from ray_study.verify.countdown import why_gold_countdown_fails
from ray_study.verify.judging import TIMEOUT_SECONDS, judge, judge_lenient
from ray_study.verify.maths import why_gold_math_fails
from ray_study.verify.refusal import why_gold_refusal_fails
from ray_study.verify.simple import why_gold_choice_fails, why_gold_exact_fails, why_gold_number_fails

GOLD_CHECKS: dict[Kind, Callable[[str, float], str]] = {
    "math": why_gold_math_fails,
    "countdown": why_gold_countdown_fails,
    "choice": why_gold_choice_fails,
    "exact": why_gold_exact_fails,
    "number": why_gold_number_fails,
    "refusal": why_gold_refusal_fails,
}
_MOST_NAMED = 10


def grade(
    attempts: Sequence[Attempt],
    problems: Mapping[str, Problem],
    *,
    num_workers: int = 1,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> list[GradedAttempt]:
    """The attempts with their strict and lenient verdicts, in the order given.

    Args:
        attempts: What was answered; one that was never asked (`refused`) gets the verdict `error` and keeps its explanation.
        problems: By id, one for each attempt at least.
        num_workers: How many comparisons by math-verify run at once; more than the machine has cores are not started.
        timeout_seconds: Wall clock of one comparison.

    Raises:
        ValueError: An attempt's problem is missing.
    """
    missing = sorted({attempt.problem_id for attempt in attempts} - problems.keys())
    if missing:
        raise ValueError(f"{len(missing)} of the attempts' problems are missing, {missing[0]!r} first; pass the problems that were asked")
    one = functools.partial(_graded, problems=problems, timeout_seconds=timeout_seconds)
    if num_workers == 1:
        return [one(attempt) for attempt in attempts]
    # Threads only wait: the work is in the worker processes.
    with ThreadPoolExecutor(num_workers) as threads:
        return list(threads.map(one, attempts))


def check_gold(problems: Iterable[Problem]) -> None:
    """Nothing, where every gold answer can be judged against.

    Raises:
        ValueError: Some cannot; the rows are named with what was found and expected.
    """
    faults: list[str] = []
    for problem in problems:
        reason = GOLD_CHECKS[problem.kind](problem.answer, TIMEOUT_SECONDS)
        if reason:
            faults.append(f"problem {problem.id!r} of {problem.source!r} ({problem.kind}): {reason}")
    if faults:
        more = f"\n  and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        named = "\n  ".join(faults[:_MOST_NAMED])
        raise ValueError(f"{len(faults)} gold answers cannot be judged against; mend or drop these rows:\n  {named}{more}")


class _How(TypedDict):
    finish_reason: FinishReason
    thinking_opened: bool
    timeout_seconds: float


def _graded(attempt: Attempt, *, problems: Mapping[str, Problem], timeout_seconds: float) -> GradedAttempt:
    problem = problems[attempt.problem_id]
    strict, lenient = _judgements(attempt, problem, timeout_seconds)
    facts = {field.name: getattr(attempt, field.name) for field in dataclasses.fields(attempt)}
    facts["explanation"] = attempt.explanation if attempt.finish_reason == "refused" else strict.explanation
    return GradedAttempt(
        **facts,
        kind=problem.kind,
        cluster=problem.cluster,
        verdict=strict.verdict,
        answer=strict.answer,
        lenient_verdict=lenient.verdict,
    )


def _judgements(attempt: Attempt, problem: Problem, timeout_seconds: float) -> tuple[Judgement, Judgement]:
    """The strict and the lenient judgement. They differ only where no box was found, so the work is not done twice."""
    how = _How(finish_reason=attempt.finish_reason, thinking_opened=attempt.thinking_opened, timeout_seconds=timeout_seconds)
    strict = judge(problem.kind, attempt.text, problem.answer, **how)
    if strict.verdict not in ("no_answer", "unfinished"):
        return strict, strict
    return strict, judge_lenient(problem.kind, attempt.text, problem.answer, **how)
