r"""Where an answer is looked for, by name: after the thinking, or as other projects' code does, which reads the thinking too.

`answer` is the rule of this package. The others exist so that a published number can be made again as it was made, and are marked.
Each says which part of a text is read, and for some kinds of answer which match in it counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ray_study.rows import Kind, Reads
from ray_study.verify.answers import THINKING_CLOSES, answer_part
from ray_study.verify.simple import last_number

_SAID = re.compile(
    r"[Aa]nswer(?:\s+is\s*:?|\s*:)\s*\**\(?([A-J])\b|(?:[Cc]hoose|[Oo]ption)\s+\(?([A-J])\b|(?<![A-Za-z])\(?([A-J])\)?\s+is\s+(?:the\s+)?correct"
)
_SAID_OR_BOXED = re.compile(r"[Aa]nswer is \(?([A-J])\)?|\\boxed\s*\{(?:\\text\s*\{)?\s*\(?([A-J])(?![A-Za-z])")
STOPS = ("</s>", "Q:", "<|im_end|>")
"""What ends an answer to MMLU-Pro in the code of the study's authors: what stands after one of them was never written there."""

_YES_NO = re.compile(r"(?<![A-Za-z])(?:Yes|No|YES|NO)(?![A-Za-z])")
_ALONE = re.compile(r"[\W_]*(yes|no)[\W_]*", re.IGNORECASE)
_BOXED_YES_NO = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{\s*)?(yes|no)[\s.}]*", re.IGNORECASE)


def part_to_read(text: str, reads: Reads, *, thinking_opened: bool) -> str | None:
    """The part of a text that may hold the answer; None where thinking was never closed and only an answer is read."""
    if reads == "answer":
        return answer_part(text, thinking_opened=thinking_opened)
    if reads == "first_before_stop":
        return text[: min((place for stop in STOPS if (place := text.find(stop)) >= 0), default=len(text))]
    return text.rpartition(THINKING_CLOSES)[2] if reads == "stripped" else text


def first_letter(text: str) -> str | None:
    r"""The letter of the first `answer is (X)` or `\boxed{X}`, wherever it stands; None where there is neither."""
    found = _SAID_OR_BOXED.search(text)
    return next(letter.upper() for letter in found.groups() if letter) if found else None


def said_letter(text: str) -> str | None:
    """The letter of the last sentence that says which option it is ("the answer is B", "option B", "B is correct"), or None."""
    found = [next(letter for letter in match.groups() if letter) for match in _SAID.finditer(text)]
    return found[-1].upper() if found else None


def last_yes_no(text: str) -> str | None:
    """`yes` or `no`: what a last line says alone, else the last such word with a capital or in a box; None where there is none.

    Alone is also what stands alone after a line's last colon. A small "no" inside a sentence is no answer: "Yes, there is no support for
    it." says yes.
    """
    lines = text.rstrip().splitlines()
    alone = _ALONE.fullmatch(lines[-1].rpartition(":")[2]) if lines else None
    if alone is not None:
        return alone.group(1).lower()
    marked = [(found.start(), found.group()) for found in _YES_NO.finditer(text)]
    boxed = [(found.start(1), found.group(1)) for found in _BOXED_YES_NO.finditer(text)]
    return max(marked + boxed)[1].lower() if marked or boxed else None


FIRST: dict[Kind, Callable[[str], str | None]] = {"choice": first_letter}
"""What `first_in_text` and `first_before_stop` take as the answer; other kinds have no such reading, and are refused."""

SAID: dict[Kind, Callable[[str], str | None]] = {"choice": said_letter, "math": last_number}
"""What counts where there is no box and more than the answer is read."""
