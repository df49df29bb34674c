"""What a judge's reply states: the last level that it names, or yes or no. What is not plain is None, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable

from ray_study.verify.answers import answer_part

_DECORATION = "*_`#>\"'()[]{}$ \t"
_WORDS = r"(?:the\s*)?(?:final\s+|overall\s+|my\s+)?(?:level|score|rating|grade|thescore)"
_LOOSE = rf"[{re.escape(_DECORATION)}]*"
_NUMBER = r"(?<![\d.,/-])(\d+(?:\.\d+)?)(?!\d|[.,]\d)"
_OUT_OF = r"(?:\s*(?:/|out\s+of|of)\s*(\d+))?"
_RANGE = r"\s*(?:-|\u2013|to|or|and|,)\s*\d"

_NAMED_LEVEL = re.compile(rf"\b{_WORDS}\b{_LOOSE}(?:is|was|of|=|:|\u2014|-)?{_LOOSE}(?:is{_LOOSE})?{_NUMBER}{_OUT_OF}", re.IGNORECASE)
_STATED = rf"{_WORDS}{_LOOSE}(?:is)?{_LOOSE}[:=]?{_LOOSE}"
_ENDED = rf"{_NUMBER}{_OUT_OF}{_LOOSE}[.!]?{_LOOSE}"
_STATED_LEVEL = re.compile(_STATED + _ENDED, re.IGNORECASE)
_BARE_LEVEL = re.compile(rf"(?:{_STATED})?{_ENDED}", re.IGNORECASE)

_ANSWER_WORDS = r"(?:answer|verdict|judge?ment|conclusion|result|refused|refusal|truthful|informative|helpful)"
_YES_OR_NO = r"(yes|no)(?![\w'])"
_BOTH = r"\s*(?:/|or|and|,)\s*(?:yes|no)\b"
_NAMED_ANSWER = re.compile(rf"\b{_ANSWER_WORDS}\b{_LOOSE}(?:is{_LOOSE}[:=]?|[:=]){_LOOSE}{_YES_OR_NO}(?!{_LOOSE}{_BOTH})", re.IGNORECASE)
_BARE_ANSWER = re.compile(rf"{_YES_OR_NO}{_LOOSE}[.!]?{_LOOSE}", re.IGNORECASE)
_OPENING_ANSWER = re.compile(rf"{_LOOSE}{_YES_OR_NO}{_LOOSE}[.,:;!\u2014-](?!{_BOTH})", re.IGNORECASE)


def level_up_to(most: int) -> Callable[[str], int | None]:
    """A reader of levels from 1 to `most`: the last line that states one, else the last that is named within a sentence."""

    def read(text: str) -> int | None:
        part = _after_thinking(text)
        if part is None:
            return None
        *earlier, last = (line.strip(_DECORATION) for line in part.splitlines())
        # A number alone is a level only where nothing follows it.
        stated = [found for line in earlier if (found := _STATED_LEVEL.fullmatch(line))]
        if found := _BARE_LEVEL.fullmatch(last):
            stated.append(found)
        if stated:
            return _level(stated[-1], most)
        named = list(_NAMED_LEVEL.finditer(part))
        if not named or re.match(_RANGE, part[named[-1].end() :], re.IGNORECASE):
            # A range decides nothing.
            return None
        return _level(named[-1], most)

    return read


def yes_or_no(text: str) -> bool | None:
    """Yes or no, as the last `Answer: …` says it, else the last line alone, else the first word where a mark follows it."""
    part = _after_thinking(text)
    if part is None:
        return None
    named = list(_NAMED_ANSWER.finditer(part))
    found = named[-1] if named else _BARE_ANSWER.fullmatch(_last_line(part)) or _OPENING_ANSWER.match(part)
    return None if found is None else found.group(1).lower() == "yes"


def _level(found: re.Match[str], most: int) -> int | None:
    number, out_of = found.group(1), found.group(2)
    if "." in number or (out_of is not None and int(out_of) != most):
        return None
    return int(number) if 1 <= int(number) <= most else None


def _after_thinking(text: str) -> str | None:
    part = answer_part(text)
    return part.strip() if part and part.strip() else None


def _last_line(part: str) -> str:
    return part.splitlines()[-1].strip(_DECORATION)
