"""Attempts by an exact solver: the written solutions of made problems, in the form of a teacher's answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ray_study.rows import Attempt, FinishReason, Problem

SOLVER = "solver"
"""`Attempt.asked_of` where no model was asked."""


def solver_attempts(problems: Iterable[Problem]) -> Iterator[Attempt]:
    """One finished attempt for each problem, whose text is the problem's own solution; no tokens are counted.

    Raises:
        ValueError: for a problem without a solution.
    """
    for problem in problems:
        if not problem.solution:
            raise ValueError(
                f"problem {problem.id!r} of source {problem.source!r} has no written solution, so no solver can teach it; "
                "ask a model, or choose a source with solutions such as 'arithmetic'"
            )
        yield unasked(problem.id, 0, SOLVER, problem.solution)


def unasked(problem_id: str, sample: int, by: str, text: str, *, num_tokens: int = 0, finish_reason: FinishReason = "stop") -> Attempt:
    """An attempt for which nobody was asked: no seed, no cap, nothing that measured it. `num_tokens` 0 is "nobody counted"."""
    known = Attempt.of_text(problem_id, text, sample=sample)
    return replace(known, asked_of=by, num_tokens=num_tokens, finish_reason=finish_reason)
