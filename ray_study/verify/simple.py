r"""Answers that are a letter, a text or a number: compared without any library."""

from __future__ import annotations

import re
from fractions import Fraction

from ray_study.rows import Judgement
from ray_study.verify.answers import without_text_command

_LETTER_ALONE = re.compile(r"\(?\s*([A-Ja-j])\s*\)?\s*[.:]?")
_LETTER_WITH_TEXT = re.compile(r"(?:\(([A-J])\)|([A-J])\s*[.):]).*", re.DOTALL)
_TEXT_AT_START = re.compile(r"\s*\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_LETTER_IN_TEXT = re.compile(r"(?<![A-Za-z0-9'’\\])([A-J])(?![A-Za-z0-9'’])(?!(?<=[AI])\s+[a-z])")

_DECIMAL = r"(?:\d{1,3}(?:,\d{3}){1,100}|\d{1,500})(?:\.\d{1,500})?|\.\d{1,500}"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<top>{_DECIMAL})(?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\d))?(?:\s*/\s*(?P<bottom>\d{{1,500}}))?"
)
_LATEX_FRACTION = re.compile(
    r"(?P<sign>[-+]?)\s*(?:(?P<whole>\d{1,500})\s*)?\\[dt]?frac\s*\{\s*(?P<top>\d{1,500})\s*\}\s*\{\s*(?P<bottom>\d{1,500})\s*\}"
)
_MIXED = re.compile(r"(?P<sign>[-+]?)\s*(?P<whole>\d{1,500})\s+(?P<top>\d{1,500})\s*/\s*(?P<bottom>\d{1,500})")
_UNITS = re.compile(r"(?:\^\{?[23]\}?|\^\s*\{?\\circ\}?|[^\d,.]|[.,](?!\d))*")
_LAST_NUMBER = re.compile(
    r"(?:(?<![\w)}])[-−])?(?:\\[dt]?frac\{\d{1,100}\}\{\d{1,100}\}|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?|(?<!\d)\.\d+)"
)


def judge_choice(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    r"""`correct` where the answer names the gold letter, A to J: `B`, `(B)`, `B.`, `B) text`, also inside `\text{}`."""
    expected = _letter(gold)
    if expected is None:
        return Judgement(verdict="error", answer=answer, explanation=why_gold_choice_fails(gold, timeout_seconds))
    letter = _letter(answer)
    if letter is None:
        return Judgement(verdict="wrong", answer=answer, explanation="the answer is not a single letter from A to J")
    return Judgement(verdict="correct" if letter == expected else "wrong", answer=letter, explanation="compared as letters")


def judge_exact(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    r"""`correct` where answer and gold are the same text up to white space, a `\text{}` around the whole put aside."""
    equal = _one_spaced(answer) == _one_spaced(gold)
    return Judgement(verdict="correct" if equal else "wrong", answer=_one_spaced(answer), explanation="compared as text")


def judge_number(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """`correct` where both are the same number, exactly: commas, a currency sign before it and units after it put aside."""
    expected = _fraction(gold)
    if expected is None:
        return Judgement(verdict="error", answer=answer, explanation=why_gold_number_fails(gold, timeout_seconds))
    number = _fraction(answer)
    if number is None:
        return Judgement(verdict="wrong", answer=answer, explanation="the answer is not a number")
    return Judgement(verdict="correct" if number == expected else "wrong", answer=answer, explanation="compared as numbers")


def judge_yes_no(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """`correct` where answer and gold are both yes or both no, in any case."""
    if why := why_gold_yes_no_fails(gold, timeout_seconds):
        return Judgement(verdict="error", answer=answer, explanation=why)
    same = answer.strip().lower() == gold.strip().lower()
    return Judgement(verdict="correct" if same else "wrong", answer=answer, explanation="compared as yes or no")


def why_gold_choice_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it is a letter."""
    return "" if _letter(gold) else f"found gold {gold[:80]!r}, expected a letter from A to J"


def why_gold_exact_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it is not blank."""
    return "" if _one_spaced(gold) else "found a blank gold, expected a text"


def why_gold_number_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it is a number."""
    return "" if _fraction(gold) is not None else f"found gold {gold[:80]!r}, expected a decimal or a fraction"


def why_gold_yes_no_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it is yes or no."""
    return "" if gold.strip().lower() in ("yes", "no") else f"found gold {gold[:80]!r}, expected yes or no"


def last_letter(text: str) -> str | None:
    """The last letter from A to J that stands alone (not the article "A", not the pronoun "I"), or None."""
    found = _LETTER_IN_TEXT.findall(text)
    return str(found[-1]) if found else None


def last_line(text: str) -> str | None:
    """The last line that is not blank, or None."""
    lines = text.rstrip().splitlines()
    return lines[-1].strip() if lines else None


def last_number(text: str) -> str | None:
    """The last number or simple fraction of the text as it is written, or None."""
    found = _LAST_NUMBER.findall(text)
    return str(found[-1]) if found else None


def _letter(answer: str) -> str | None:
    text = _TEXT_AT_START.sub(r"\1", without_text_command(answer), count=1).strip()
    alone = _LETTER_ALONE.fullmatch(text)
    if alone:
        return alone.group(1).upper()
    with_text = _LETTER_WITH_TEXT.fullmatch(text)
    return (with_text.group(1) or with_text.group(2)) if with_text else None


def _one_spaced(text: str) -> str:
    return " ".join(without_text_command(text).split())


def _fraction(answer: str) -> Fraction | None:
    """The number in exact form, or None. Lengths are bounded: a literal such as 1e999999999 must not fill the memory."""
    text = without_text_command(answer.strip().removeprefix("\\$").removeprefix("$") if answer.count("$") == 1 else answer)
    text = text.replace("−", "-").replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("\\$", "").replace("$", "")
    text = text.rpartition("=")[2].strip().lstrip("€£¥ ")
    found = _LATEX_FRACTION.match(text) or _MIXED.match(text) or _NUMBER.match(text)
    if found is None or not _UNITS.fullmatch(text[found.end() :]):
        return None
    parts = found.groupdict()
    bottom = int(parts["bottom"] or 1)
    if bottom == 0:
        return None
    value = Fraction(parts["top"].replace(",", "")) * Fraction(10) ** int(parts.get("exponent") or 0) / bottom
    value += int(parts.get("whole") or 0)
    return -value if parts["sign"] == "-" else value
