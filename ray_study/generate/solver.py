"""Attempts by an exact solver: the written solutions of made problems, in the form of a teacher's answers."""

from __future__ import annotations

from collections.abc import Iterable

from ray_study.rows import Attempt, Problem

SOLVER = "solver"
"""`Attempt.asked_of` where no model was asked."""


def solver_attempts(problems: Iterable[Problem]) -> list[Attempt]:
    """One finished attempt for each problem, whose text is the problem's own solution; no tokens are counted.

    Raises:
        ValueError: for a problem without a solution.
    """
    attempts = []
    for problem in problems:
        if not problem.solution:
            raise ValueError(
                f"problem {problem.id!r} of source {problem.source!r} has no written solution, so no solver can teach it; "
                "ask a model, or choose a source with solutions such as 'arithmetic'"
            )
        attempts.append(
            Attempt(
                problem_id=problem.id,
                sample=0,
                asked_of=SOLVER,
                text=problem.solution,
                num_tokens=0,
                finish_reason="stop",
                cap=0,
                seed=0,
                thinking_opened=False,
                prompt_hash="",
                explanation="",
                conditions="{}",
            )
        )
    return attempts
