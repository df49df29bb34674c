"""Mathematical answers: decided exactly as they are written where that is simple, else by math-verify in a worker process."""

from __future__ import annotations

from fractions import Fraction

from ray_study.rows import Judgement, Verdict
from ray_study.verify.math_pool import math_workers
from ray_study.verify.spelling import are_same_choice, are_same_words, as_written, cleaned, equal_in_a_base, exact_value, with_unions

Pair = tuple[str, str]
"""A gold answer and an answer, both in the form that math-verify reads well."""

# math-verify rounds decimals to six places; what differs by more is different for it too.
_ROUNDING = Fraction(1, 10**6)


def judge_math(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """The verdict of math-verify on the answer, gold first (it is not symmetric); the simple cases need no worker."""
    verdict, explanation = decided(pair := asked_pair(answer, gold)) or math_workers().ask(*pair, timeout_seconds=timeout_seconds)
    return Judgement(verdict=verdict, answer=answer, explanation=explanation)


def asked_pair(answer: str, gold: str) -> Pair:
    """What math-verify would be asked."""
    theirs, ours = cleaned(gold), cleaned(answer)
    return with_unions(theirs, ours), with_unions(ours, theirs)


def decided(pair: Pair) -> tuple[Verdict, str] | None:
    """The verdict and its explanation where no computer algebra is needed, else None."""
    theirs, ours = pair
    if ours and as_written(ours) == as_written(theirs):
        return "correct", "equal as written"
    values = exact_value(ours), exact_value(theirs)
    if values[0] is not None and values[1] is not None:
        if values[0] == values[1]:
            return "correct", "compared as exact numbers"
        if abs(values[0] - values[1]) > _ROUNDING or "." not in ours + theirs:
            return "wrong", "compared as exact numbers"
    in_base = equal_in_a_base(ours, theirs)
    if in_base is not None:
        return ("correct" if in_base else "wrong"), "compared digit by digit in the base named"
    if are_same_words(ours, theirs):
        return "correct", "the same words"
    if are_same_choice(ours, theirs):
        return "correct", "the same choice"
    return None


def gold_to_parse(gold: str) -> str | None:
    """The gold answer as math-verify would read it, or None where it is a plain number and needs no parser."""
    text = cleaned(gold)
    return None if exact_value(text) is not None else text


def why_gold_math_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it parses as LaTeX."""
    text = gold_to_parse(gold)
    if text is None:
        return ""
    verdict, explanation = math_workers().ask(text, None, timeout_seconds=timeout_seconds)
    return "" if verdict == "correct" else explanation
