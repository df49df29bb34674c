"""Cells that hold a conversation: a text, or a list of turns with `role` and `content`."""

from __future__ import annotations

from collections.abc import Mapping


def last_turn(value: object, role: str) -> str | None:
    """The text of the last turn of the role; None where the value is no list of turns, or none is of the role."""
    if not is_turns(value):
        return None
    assert isinstance(value, list)
    found = [turn["content"] for turn in value if turn["role"] == role and isinstance(turn["content"], str)]
    return found[-1] if found else None


def only_user_turn(value: object) -> str | None:
    """The text of a conversation that is one user turn and nothing else; None for anything else."""
    return last_turn(value, "user") if isinstance(value, list) and len(value) == 1 else None


def is_turns(value: object) -> bool:
    """Whether the value is a list, not empty, of turns."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping) and {"role", "content"} <= set(turn) for turn in value)
