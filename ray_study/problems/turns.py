"""Texts as data sets hold them: plain, or as the turns of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def user_text(value: object, where: str) -> str:
    """The text, or what the last user turn of a list says; ValueError for anything else, or for nothing but blanks."""
    if isinstance(value, list | tuple) and is_turns(value):
        value = next((turn.get("content") for turn in reversed(value) if turn["role"] == "user"), None)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: expected a text or turns with a user's among them, found {str(value)[:80]!r}")
    return value


def assistant_text(turns: Sequence[Mapping[str, Any]], where: str) -> str:
    """What the one assistant turn says; ValueError where there is none, or more than one."""
    said = [turn.get("content") for turn in turns if turn["role"] == "assistant"]
    if len(said) != 1 or not isinstance(said[0], str):
        raise ValueError(f"{where}: expected turns with one assistant's text among them, found {len(said)} assistant turns")
    return said[0]


def is_turns(value: object) -> bool:
    """Whether this is a list of turns, each with a role."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(turn, Mapping) and "role" in turn for turn in value)
