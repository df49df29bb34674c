"""What a prompt asks for beside the problem itself: the form of the answer, and how that is taken out again."""

from __future__ import annotations

from typing import Literal

from ray_study.rows import Kind

Request = Literal["long", "short", "none"]

LONG = "Please reason step by step, and put your final answer within \\boxed{}."
LONG_CHOICE = (
    "Please reason step by step and return your final answer within \\boxed{}. "
    "Only include the letter choice (A, B, C, or D) as your final answer."
)
SHORT = "Answer in \\boxed{}."
CODE_ROLE = "You are an expert Python programmer. Write a program that gives the right answer for every input that the task allows."
CODE_REQUEST = "Put the whole program, with the imports that it needs, into one code block that starts with ```python and ends with ```."
WITHOUT_REQUEST: frozenset[Kind] = frozenset({"code", "instructions"})
"""Kinds whose prompts say by themselves what form the answer has: a program stands in a fenced block, not in a box."""
REQUESTS = (LONG, LONG_CHOICE, SHORT, CODE_REQUEST)


def with_request(prompt: str, kind: Kind, request: Request) -> str:
    """The prompt with its request for the answer's format on a line of its own; `long` is the wording of the study."""
    if request == "none" or kind in WITHOUT_REQUEST:
        return prompt
    if request == "short":
        return f"{prompt}\n{SHORT}"
    return f"{prompt}\n{LONG_CHOICE if kind == 'choice' else LONG}"


def without_request(prompt: str) -> str:
    """The prompt without the request at its end, and without the role before a task for a program."""
    for request in REQUESTS:
        prompt = prompt.removesuffix(request)
    return prompt.removeprefix(CODE_ROLE).strip()


def last_box(text: str) -> str | None:
    r"""What stands in the last `\boxed{…}` of the text, braces balanced; None where there is no closed box."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = start + len("\\boxed{")
    depth, index = 1, begin
    while index < len(text):
        if text[index] == "\\":
            index += 2  # An escaped brace is text, not structure.
            continue
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[begin:index]
        index += 1
    return None
