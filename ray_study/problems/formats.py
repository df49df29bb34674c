"""What a prompt asks for beside the problem itself: the form of the answer, and how that is taken out again."""

from __future__ import annotations

from typing import Literal

from ray_study.rows import Kind

Request = Literal["long", "spaced", "short", "none"]

LONG = "Please reason step by step, and put your final answer within \\boxed{}."
SHORT = "Answer in \\boxed{}."
MOST_CHOICES = 10


def choice_request(num_choices: int) -> str:
    """The request for one letter of so many; `long` of kind `choice`."""
    letters = "ABCDEFGHIJ"[:num_choices]
    return (
        "Please reason step by step and return your final answer within \\boxed{}. "
        f"Only include the letter choice ({', '.join(letters[:-1])}, or {letters[-1]}) as your final answer."
    )


LONG_CHOICE = choice_request(4)
CODE_ROLE = "You are an expert Python programmer. Write a program that gives the right answer for every input that the task allows."
CODE_REQUEST = "Put the whole program, with the imports that it needs, into one code block that starts with ```python and ends with ```."
WITHOUT_REQUEST: frozenset[Kind] = frozenset({"code", "instructions"})
"""Kinds whose prompts say by themselves what form the answer has: a program stands in a fenced block, not in a box."""
REQUESTS = (LONG, *(choice_request(number) for number in range(2, MOST_CHOICES + 1)), SHORT, CODE_REQUEST)


def with_request(prompt: str, kind: Kind, request: Request, num_choices: int = 4) -> str:
    """The prompt with its request for the answer's format on a line of its own.

    `long` is the wording of the study; `spaced` is the same as its authors' evaluation has it, with a space after the line break.
    """
    if request == "none" or kind in WITHOUT_REQUEST:
        return prompt
    if request == "short":
        return f"{prompt}\n{SHORT}"
    asked = choice_request(num_choices) if kind == "choice" else LONG
    return f"{prompt}\n{' ' if request == 'spaced' else ''}{asked}"


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
