r"""Where the answer stands in a text: after the thinking, and in the last `\boxed{}`. Pure string work, linear in the text."""

from __future__ import annotations

import re

THINKING_OPENS = "<think>"
THINKING_CLOSES = "</think>"

# A backslash takes the next character with it, so that the braces of `\{1, 2\}` are not counted.
_BOXES_AND_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)


def answer_part(text: str, *, thinking_opened: bool = False) -> str | None:
    """The text after the last `</think>`, or None where thinking was opened and never closed.

    Args:
        text: What the model wrote.
        thinking_opened: Whether the rendered prompt already ended inside an open `<think>`: then a cut text has no tag
            at all and still is no answer. A text without tags is an answer as a whole where the prompt opened nothing.
    """
    _, closed, rest = text.rpartition(THINKING_CLOSES)
    if THINKING_OPENS in rest:
        return None
    if thinking_opened and not closed:
        return None
    return rest


def last_box(text: str) -> str | None:
    r"""What stands in the last `\boxed{}` whose braces balance, stripped; None where there is no such box.

    One pass with a stack: a scan from each box would take quadratic time on a text that repeats `\boxed{` for ever.
    """
    open_braces: list[tuple[int, bool]] = []
    last: tuple[int, int] | None = None
    for found in _BOXES_AND_BRACES.finditer(text):
        token = found.group()
        if token.endswith("{") and (token == "{" or token.startswith("\\boxed")):
            open_braces.append((found.end(), token != "{"))
        elif token == "}" and open_braces:
            start, is_box = open_braces.pop()
            if is_box and (last is None or start > last[0]):
                last = (start, found.start())
    return None if last is None else text[last[0] : last[1]].strip()


def without_text_command(answer: str) -> str:
    r"""The answer without a `\text{}`, `\mathrm{}` or the like around the whole of it, and without dollar signs around it."""
    stripped = answer.strip()
    while True:
        inner = _WHOLE_TEXT.fullmatch(stripped) or _WHOLE_DOLLARS.fullmatch(stripped)
        if inner is None:
            return stripped
        stripped = inner.group(1).strip()


_WHOLE_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|texttt|mathrm|mathbf|mathit|mathsf|mbox)\s*\{([^{}]*)\}", re.DOTALL)
_WHOLE_DOLLARS = re.compile(r"\$\$?([^$]+)\$\$?", re.DOTALL)
