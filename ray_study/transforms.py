"""Examples in another form: what a student sees of a response. Each takes one example and gives it back changed, or None to drop it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ray_study.rows import Example

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A tokenizer as far as a transform needs one."""

    name: str
    """Of the model whose it is."""
    count: Callable[[str], int]
    """Tokens of a response with its end token."""
    first: Callable[[str, int], str]
    """The text of the first so many tokens of a text; how it ends may differ from the text by a broken character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What becomes of every response of a data set."""

    transform: str = "none"
    truncate_thinking: int | None = None

    @property
    def name(self) -> str:
        """The form in one word, as an example's `form`."""
        return self.transform if self.truncate_thinking is None else f"truncate_thinking {self.truncate_thinking}"


def transformed(example: Example, form: Form, *, solution: str = "", tokens: Tokens | None = None) -> Example | None:
    """The example in its form, its tokens counted where a tokenizer is given; None where nothing is left of it.

    Args:
        example: with the whole text of the attempt.
        form: what to make of it.
        solution: the written solution of its problem, for `human_solution`.
        tokens: counts and cuts; without it the count of an unchanged response stays, and a changed one is not counted.

    Raises:
        ValueError: the form is unknown, or cuts tokens and there is no tokenizer.
    """
    response = _response(example.response, form, solution, tokens)
    if response is None or not response.strip():
        return None
    if response == example.response:
        return replace(example, form=form.name)
    return replace(example, response=response, num_tokens=tokens.count(response) if tokens else 0, form=form.name)


def _response(text: str, form: Form, solution: str, tokens: Tokens | None) -> str | None:
    if form.truncate_thinking is not None:
        if tokens is None:
            raise ValueError("truncate_thinking cuts tokens and no tokenizer is known; name a model whose tokenizer counts: `tokens_by`")
        return truncate_thinking(text, form.truncate_thinking, tokens)
    if form.transform == "human_solution":
        return solution
    if form.transform not in TRANSFORMS:
        raise ValueError(f"unknown transform {form.transform!r}; choose from {sorted([*TRANSFORMS, 'human_solution'])}")
    return TRANSFORMS[form.transform](text)


def unchanged(text: str) -> str | None:
    """The response as it is."""
    return text


def drop_thinking(text: str) -> str | None:
    """The response without its thinking, as in the study's NoCoT sets: the written summary and answer stay.

    A text with only `</think>` (the prompt's template opened the thinking) loses all up to it. None where the thinking was never closed.
    """
    left = re.sub(f"{OPEN}.*?{CLOSE}", "", text, flags=re.DOTALL).rpartition(CLOSE)[2]
    return None if OPEN in left else _stripped(text, left)


def answer_only(text: str) -> str | None:
    r"""Nothing but the last `\boxed{…}` after the thinking, or the last line where there is no box."""
    summary = drop_thinking(text)
    if not summary or not summary.strip():
        return None
    start = summary.rfind("\\boxed{")
    if start < 0:
        return summary.strip().splitlines()[-1].strip()
    end = _closing_brace(summary, start + len("\\boxed{"))
    return None if end is None else summary[start : end + 1]


def truncate_thinking(text: str, num_tokens: int, tokens: Tokens) -> str | None:
    """The response with no more than the first `num_tokens` tokens of its thinking, closed as before; the summary and the answer stay.

    The thinking is what stands between the first `<think>` (or the beginning, where the prompt's template opened it) and the last
    `</think>`. A response without thinking stays as it is; None where the thinking was never closed.
    """
    before, closed, summary = text.rpartition(CLOSE)
    if OPEN in summary:
        return None
    if not closed:
        return text
    lead, opened, thinking = before.partition(OPEN) if OPEN in before else ("", "", before)
    kept = _first(thinking, num_tokens, tokens)
    return text if kept == thinking else f"{lead}{opened}{kept}{CLOSE}{summary}"


def _first(text: str, num_tokens: int, tokens: Tokens) -> str:
    """The longest beginning of the text with so many tokens, at most."""
    cut = tokens.first(text, num_tokens).rstrip("\N{REPLACEMENT CHARACTER}")
    if text.startswith(cut):
        return cut
    # A tokenizer that does not give back what it read, such as one that normalises: its tokens are counted, beginning by beginning.
    # `count` counts the end token too.
    return text[: max(0, bisect.bisect_right(range(len(text) + 1), num_tokens + 1, key=lambda end: tokens.count(text[:end])) - 1)]


TRANSFORMS: dict[str, Callable[[str], str | None]] = {"none": unchanged, "drop_thinking": drop_thinking, "answer_only": answer_only}


def _stripped(text: str, left: str) -> str:
    return text if left == text else left.strip()


def _closing_brace(text: str, start: int) -> int | None:
    depth, index = 1, start
    while index < len(text):
        if text[index] == "\\":
            index += 2  # An escaped brace is text, not structure.
            continue
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
        index += 1
    return None
