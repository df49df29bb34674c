"""What a judge is to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ray_study.chat import Chat
from ray_study.verify.rubrics import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request and what was written to it, as a judge is shown them."""

    id: str
    """What the judge's reply is called."""
    request: str
    reply: str
    reference: str = ""
    part: Part = "answer"


def clipped(text: str, most: int) -> str:
    """The text, or its beginning and a note that it goes on."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}\n[cut here: {left} characters more]"


def fitted(text: str, prompt: Callable[[str], str], chat: Chat, room: int) -> str:
    """As much of the beginning of a text as leaves its prompt within `room` tokens of the judge; nothing is said of what was cut.

    Args:
        text: that is judged.
        prompt: what the judge is to go on with, of such a text.
        chat: the judge's tokenizer.
        room: for the prompt.
    """

    def excess(cut: str) -> int:
        return len(chat.text_to_go_on_with(prompt(cut)).ids) - room

    ids = chat.ids(text)
    number = len(ids)
    cut = text
    while number and (over := excess(cut)) > 0:
        number = max(0, number - over)
        # A character of which only some bytes are left is none.
        cut = chat.decode(ids[:number]).rstrip("\ufffd")
    return cut
