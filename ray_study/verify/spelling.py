r"""How a mathematical answer is written: put in the form that math-verify reads well, and read exactly where that is simple.

Pure string work, linear in the text. math-verify 0.9 stumbles over percent signs, `1\,000`, `0.\overline{3}`, `1 1/2`, a bare
`pi`, delimiters around the whole answer, and takes `1011_2` and `1011_3` for equal: all that is settled here.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ray_study.verify.answers import without_text_command

_TRAILING_PERCENT = re.compile(r"\s*\\?%$")
_THOUSANDS_SPACE = re.compile(r"(?<=\d)(?:\\[,!; ]|~|\{,\})(?=\d{3}(?!\d))")
_THOUSANDS_BLANK = re.compile(r"[-+]?\d{1,3}(?: \d{3}){1,100}")
_REPEATING = re.compile(r"(?<![\d.])(\d{0,12})\.(\d{0,12})\\(?:overline|bar|dot)\s*(?:\{(\d{1,12})\}|(\d))(?![\d\\])")
_GOES_ON = re.compile(r"(?<![\d.])(\d{0,12})\.(\d{0,12}?)(\d)\3{2,20}\s*(?:\.\.\.|…|\\l?dots|\\cdots)$")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox)\s*\{([^{}]*)\}")
_LEFT_RIGHT = re.compile(r"\\(?:left|right)(?![a-zA-Z])")
_NEEDLESS_SPACE = re.compile(r"(?<![0-9A-Za-z])\s+|\s+(?![0-9A-Za-z])")
_BARE_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_WRAPPED = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|\\displaystyle(?![a-zA-Z])(.*)|\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", re.DOTALL)
_OR = re.compile(r"\s*(?:\\text\s*\{\s*or\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z]))\s*")

_DECIMAL = r"(?:\d{1,3}(?:,\d{3}){1,300}|\d{1,1000})(?:\.\d{1,1000})?|\.\d{1,1000}"
_VALUE = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?:\\?\$)?\s*(?:
        (?:(?P<whole>\d{{1,9}})\s*)?\\[dt]?frac\s*(?:\{{\s*(?P<inner>-?)\s*(?P<top>\d{{1,300}})\s*\}}\s*\{{\s*(?P<bottom>\d{{1,300}})\s*\}}|(?P<short>\d\d))
        |(?:(?P<before>\d{{1,9}})\s+)?(?P<over>\d{{1,300}})\s*/\s*(?P<under>\d{{1,300}})
        |(?P<decimal>{_DECIMAL})(?:[eE](?P<exponent>[-+]?\d{{1,3}}))?
    )(?:\^\s*\{{?\s*\\circ\s*\}}?)?""",
    re.VERBOSE,
)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12, "sixteen": 16}
_BASED = re.compile(r"([0-9A-Z]{1,1000})_(?:(\d)|\{\s*\(?(\d{1,2})\)?\s*\}|\{\s*\\text\s*\{\s*([a-z]+)\s*\}\s*\})")
_DIGITS = re.compile(r"[0-9A-Z]{1,1000}")
_WORDS = re.compile(r"[A-Za-z]{2,40}(?:[ '-][A-Za-z]{1,40}){0,12}")
_LETTER_AND_MORE = re.compile(r"\(?([A-J])\)?(?:[.):].*)?|\(([A-J])\).*", re.DOTALL)


def cleaned(answer: str) -> str:
    r"""The answer in the form in which math-verify reads it well.

    Percent signs at the end go on both sides, so 50 and 50 % are equal, and 0.5 is not. `0.\overline{3}` becomes a fraction.
    """
    text = without_delimiters(answer).replace("−", "-").replace("π", r"\pi ").replace("°", r"^\circ")
    if text.endswith(".") and not text.endswith(".."):
        text = without_delimiters(text[:-1])
    text = _TRAILING_PERCENT.sub("", text)
    text = _THOUSANDS_SPACE.sub("", text)
    if _THOUSANDS_BLANK.fullmatch(text):
        text = text.replace(" ", "")
    text = _BARE_PI.sub(r"\\pi ", text).replace(r"\varnothing", r"\emptyset")
    text = _GOES_ON.sub(_repeating_as_fraction, text)
    return _REPEATING.sub(_repeating_as_fraction, text)


def without_delimiters(answer: str) -> str:
    r"""The answer without `$ $`, `\( \)`, `\[ \]`, `\boxed{}`, `\displaystyle` and `\text{}` around the whole of it."""
    text = without_text_command(answer)
    while found := _WRAPPED.fullmatch(text):
        text = without_text_command(next(part for part in found.groups() if part is not None))
    return text


def with_unions(text: str, other: str) -> str:
    r"""Intervals joined by "or" with `\cup` in its place, where the other side is written as a union."""
    parts = _OR.split(text)
    if len(parts) < 2 or r"\cup" not in other:
        return text
    are_intervals = all(re.match(r"(?:\\left)?\s*[(\[]", part) and part.rstrip().endswith((")", "]")) for part in parts)
    return r" \cup ".join(parts) if are_intervals else text


def as_written(text: str) -> str:
    """The answer without what never changes its meaning. Space between letters or digits stays: `1 1/2` is not `11/2`."""
    text = _TEXT_COMMAND.sub(r"\1", _LEFT_RIGHT.sub("", text))
    text = text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac").replace(r"\!", "")
    return _NEEDLESS_SPACE.sub("", text)


def exact_value(text: str) -> Fraction | None:
    """The number that is written, exactly: an integer, decimal, fraction or mixed number, or None. Lengths are bounded."""
    found = _VALUE.fullmatch(text)
    if found is None:
        return None
    parts = found.groupdict()
    if parts["decimal"] is not None:
        value = Fraction(parts["decimal"].replace(",", "")) * Fraction(10) ** int(parts["exponent"] or 0)
        return -value if parts["sign"] == "-" else value
    short = parts["short"] or ""
    top, bottom = parts["top"] or parts["over"] or short[:1], parts["bottom"] or parts["under"] or short[1:]
    whole = parts["whole"] or parts["before"] or "0"
    if int(bottom) == 0 or (parts["inner"] and int(whole)):
        return None
    value = int(whole) + Fraction(int(top), int(bottom))
    return -value if (parts["sign"] == "-") != (parts["inner"] == "-") else value


def equal_in_a_base(text: str, other: str) -> bool | None:
    """Whether both are the same digits in the same base; None where neither names a base.

    Where one side names no base its digits are taken to be in the other's: the question asked for that base.
    """
    numbers = _based(text), _based(other)
    if numbers[0] is None and numbers[1] is None:
        return None
    (ours, our_base), (theirs, their_base) = (number or (side, None) for number, side in zip(numbers, (text, other), strict=True))
    if not _DIGITS.fullmatch(ours) or not _DIGITS.fullmatch(theirs):
        return None
    return ours.lstrip("0") == theirs.lstrip("0") and (our_base is None or their_base is None or our_base == their_base)


def are_same_words(text: str, other: str) -> bool:
    """Whether both are the same words, whatever their case. Two letters may be a product, so words are longer."""
    sides = [" ".join(_TEXT_COMMAND.sub(r"\1", side).split()) for side in (text, other)]
    return all(len(side) > 2 and _WORDS.fullmatch(side) for side in sides) and sides[0].casefold() == sides[1].casefold()


def are_same_choice(text: str, other: str) -> bool:
    """Whether both name the same choice: one is a letter from A to J alone, the other that letter with its text."""
    found = [_LETTER_AND_MORE.fullmatch(_TEXT_COMMAND.sub(r"\1", side).strip()) for side in (text, other)]
    if found[0] is None or found[1] is None:
        return False
    if not any(len(match.group().strip("() ")) == 1 for match in found if match):
        return False
    return (found[0][1] or found[0][2]) == (found[1][1] or found[1][2])


def _based(text: str) -> tuple[str, int | None] | None:
    found = _BASED.fullmatch("".join(text.split()))
    if found is None:
        return None
    base = _BASES.get(found[4], 0) if found[4] else int(found[2] or found[3])
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found[1]):
        return None
    return found[1], base


def _repeating_as_fraction(found: re.Match[str]) -> str:
    whole, fixed, *ways = found.groups()
    repeating = next(digits for digits in ways if digits)
    top = int(whole + fixed + repeating) - int((whole + fixed) or "0")
    return rf"\frac{{{top}}}{{{'9' * len(repeating)}{'0' * len(fixed)}}}"
