"""What a judge is to look at."""

from __future__ import annotations

from dataclasses import dataclass

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
