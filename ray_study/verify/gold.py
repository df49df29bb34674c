"""The check that every gold answer can be judged against, before anything is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from ray_study.rows import Kind, Problem
from ray_study.verify.code import why_gold_code_fails
from ray_study.verify.countdown import why_gold_countdown_fails
from ray_study.verify.instructions import why_gold_instructions_fail
from ray_study.verify.judging import TIMEOUT_SECONDS
from ray_study.verify.math_pool import math_workers
from ray_study.verify.maths import gold_to_parse, why_gold_math_fails
from ray_study.verify.needs import require
from ray_study.verify.refusal import why_gold_refusal_fails
from ray_study.verify.simple import why_gold_choice_fails, why_gold_exact_fails, why_gold_number_fails, why_gold_yes_no_fails

GOLD_CHECKS: dict[Kind, Callable[[str, float], str]] = {
    "math": why_gold_math_fails,
    "countdown": why_gold_countdown_fails,
    "choice": why_gold_choice_fails,
    "exact": why_gold_exact_fails,
    "number": why_gold_number_fails,
    "refusal": why_gold_refusal_fails,
    "yes_no": why_gold_yes_no_fails,
    "code": why_gold_code_fails,
    "instructions": why_gold_instructions_fail,
    # A judge reads whatever stands there.
    "judged": lambda gold, seconds: "",
}
_MOST_NAMED = 10


def check_gold(problems: Iterable[Problem], *, num_workers: int | None = None) -> None:
    """Nothing, where every gold answer can be judged against; `problems` may be a generator.

    Raises:
        ValueError: Some cannot; the rows are named with what was found and expected.
    """
    named = list(gold_faults(problems, num_workers=num_workers).values())
    if named:
        more = f"\n  and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        listed = "\n  ".join(named[:_MOST_NAMED])
        raise ValueError(
            f"{len(named)} gold answers cannot be judged against; mend these rows, or set `drop_unjudgeable: true` on the problems, which "
            f"leaves them out and counts them:\n  {listed}{more}"
        )


def gold_faults(problems: Iterable[Problem], *, num_workers: int | None = None) -> dict[int, str]:
    """Why a gold answer cannot be judged against, by the problem's place, in order; the problem is named.

    Args:
        problems: May be a generator: only the golds that need a parser are kept, each once.
        num_workers: How many golds are parsed at once; by default one a core.

    Raises:
        ValueError: What judges a kind among them cannot be had on this machine: none of its problems may be asked.
    """
    faults: dict[int, str] = {}
    kinds: set[Kind] = set()
    to_parse: dict[str, list[tuple[int, str]]] = {}
    for place, problem in enumerate(problems):
        if problem.kind not in kinds:
            require([problem.kind])
            kinds.add(problem.kind)
        name = f"problem {problem.id!r} of {problem.source!r} ({problem.kind})"
        text = gold_to_parse(problem.answer) if problem.kind == "math" else None
        if text is not None:
            to_parse.setdefault(text, []).append((place, name))
        elif problem.kind != "math" and (reason := GOLD_CHECKS[problem.kind](problem.answer, TIMEOUT_SECONDS)):
            faults[place] = f"{name}: {reason}"
    for text, reason in _unparsed(to_parse, num_workers or os.cpu_count() or 1).items():
        faults |= {place: f"{name}: {reason}" for place, name in to_parse[text]}
    return {place: faults[place] for place in sorted(faults)}


def _unparsed(texts: Collection[str], num_workers: int) -> dict[str, str]:
    """The texts that math-verify cannot read, each with the reason."""
    if not texts:
        return {}
    replies = math_workers().ask_many([(text, None) for text in texts], timeout_seconds=TIMEOUT_SECONDS, num_workers=num_workers)
    return {text: explanation for (text, _), (verdict, explanation) in replies.items() if verdict != "correct"}
