"""Mathematical answers: equal as written, equal as integers, or equal by math-verify in a worker process."""

from __future__ import annotations

import re

from ray_study.rows import Judgement
from ray_study.verify.answers import without_text_command
from ray_study.verify.math_pool import math_workers

_INTEGER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3}){1,300}|\d{1,1000})")
_TRAILING_PERCENT = re.compile(r"\s*\\?%$")
_THOUSANDS_SPACE = re.compile(r"(?<=\d)(?:\\[,!; ]|~|\{,\})(?=\d{3}(?!\d))")
_REPEATING = re.compile(r"(?<![\d.])(\d{0,12})\.(\d{0,12})\\overline\s*\{(\d{1,12})\}")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox)\s*\{([^{}]*)\}")
_LEFT_RIGHT = re.compile(r"\\(?:left|right)(?![a-zA-Z])")
_NEEDLESS_SPACE = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")


def judge_math(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """The verdict of math-verify on the answer, gold first (it is not symmetric); the simple cases need no worker."""
    ours, theirs = cleaned(answer), cleaned(gold)
    if ours and _as_written(ours) == _as_written(theirs):
        return Judgement(verdict="correct", answer=answer, explanation="equal as written")
    if _INTEGER.fullmatch(ours) and _INTEGER.fullmatch(theirs):
        equal = _integer(ours) == _integer(theirs)
        return Judgement(verdict="correct" if equal else "wrong", answer=answer, explanation="compared as integers")
    verdict, explanation = math_workers().ask(theirs, ours, timeout_seconds=timeout_seconds)
    return Judgement(verdict=verdict, answer=answer, explanation=explanation)


def why_gold_math_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it parses as LaTeX."""
    text = cleaned(gold)
    if _INTEGER.fullmatch(text):
        return ""
    verdict, explanation = math_workers().ask(text, None, timeout_seconds=timeout_seconds)
    return "" if verdict == "correct" else explanation


def cleaned(answer: str) -> str:
    r"""The answer in the form in which math-verify reads it well: it stumbles over percent signs, `1\,000` and `5.`.

    Percent signs at the end go on both sides, so 50 and 50 % are equal, and 0.5 is not. `0.\overline{3}` becomes a fraction.
    """
    text = without_text_command(answer).replace("−", "-").replace("π", r"\pi ")
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    text = _TRAILING_PERCENT.sub("", text)
    text = _THOUSANDS_SPACE.sub("", text)
    return _REPEATING.sub(_repeating_as_fraction, text)


def _repeating_as_fraction(found: re.Match[str]) -> str:
    whole, fixed, repeating = found.groups()
    top = int(whole + fixed + repeating) - int((whole + fixed) or "0")
    return rf"\frac{{{top}}}{{{'9' * len(repeating)}{'0' * len(fixed)}}}"


def _as_written(text: str) -> str:
    """The answer without what never changes its meaning. Space between letters or digits stays: `1 1/2` is not `11/2`."""
    text = _TEXT_COMMAND.sub(r"\1", _LEFT_RIGHT.sub("", text))
    text = text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac").replace(r"\!", "")
    return _NEEDLESS_SPACE.sub("", text)


def _integer(text: str) -> int:
    return int(text.replace(",", ""))
