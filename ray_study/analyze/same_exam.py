"""Whether two checkpoints sat the same exam: the same items, asked, sampled, cut and judged alike, on the same kind of engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray_study.rows import BenchmarkCard, GradedAttempt

Graded = Sequence[GradedAttempt]

WORDS = {
    "sampling": "sampling",
    "reads": "where the answer is looked for",
    "protocol": "protocol",
    "benchmark": "named benchmark",
    "thinking": "the template's switch for thinking",
    "judges": "judge",
}
"""What is declared of an exam and decides its scores, and what it is called. Items, samples and the seed are looked at by themselves."""


def differences(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, cards: tuple[BenchmarkCard, BenchmarkCard]) -> list[str]:
    """In what two exams of one name differ, by what their sweep files declare and by their cards; nothing where they are alike."""
    found = []
    for key in ("kind", "metric"):
        one, other = (getattr(card, key) for card in cards)
        if one != other:
            found.append(f"other {key}: {one} in A, {other} in B")
    for key, word in WORDS.items() if a and b else ():
        one, other = (a or {}).get(key), (b or {}).get(key)
        if one != other:
            found.append(f"other {word}: {_short(key, one, other)}")
    return found


def _short(key: str, one: Any, other: Any) -> str:
    if key == "sampling" and isinstance(one, dict) and isinstance(other, dict):
        parts = [
            f"{name} {one.get(name)} in A, {other.get(name)} in B" for name in sorted({*one, *other}) if one.get(name) != other.get(name)
        ]
        return ", ".join(parts)
    return f"{one} in A, {other} in B"


def reasons(a: Graded, b: Graded, *, same_model: bool, mixed: bool) -> list[str]:
    """Why the answers of two checkpoints to one exam cannot be compared; nothing where they can.

    Args:
        a: of one side.
        b: of the other.
        same_model: whether both have one tokenizer, so that equal prompts have equal hashes.
        mixed: whether other measuring conditions are let through.
    """
    shared = items_of(a) & items_of(b)
    if not shared:
        return [f"other items: none of the {len(items_of(a))} in A and {len(items_of(b))} in B is in both"]
    found = []
    caps_a, caps_b = ({each.cap for each in side if each.problem_id in shared} for side in (a, b))
    if max(caps_a) != max(caps_b):
        found.append(f"other cap: {max(caps_a):,} tokens in A, {max(caps_b):,} in B")
    if same_model:
        prompts = [{each.problem_id: each.prompt_hash for each in side} for side in (a, b)]
        other = sum(prompts[0][item] != prompts[1][item] for item in shared)
        if other:
            found.append(f"other prompts: {other} of {len(shared)} items are asked otherwise")
    conditions = [{each.conditions for each in side if each.finish_reason != "refused"} for side in (a, b)]
    if conditions[0] != conditions[1] and not mixed:
        found.append("measured under other conditions (engine, accelerator, dtype or sequences at once)")
    return found


def items_of(graded: Graded) -> set[str]:
    """The ids of the items of attempts."""
    return {each.problem_id for each in graded}


def notes(a: Graded, b: Graded) -> list[str]:
    """What must be said beside a comparison on the items that both sides have."""
    ours, theirs = items_of(a), items_of(b)
    found = [] if ours == theirs else [f"on the {len(ours & theirs)} items in both, of {len(ours)} in A and {len(theirs)} in B"]
    samples = [max(each.sample for each in side) + 1 for side in (a, b)]
    if samples[0] != samples[1]:
        found.append(f"{samples[0]} answers an item in A, {samples[1]} in B")
    conditions = [{each.conditions for each in side if each.finish_reason != "refused"} for side in (a, b)]
    return [*found, *(["other measuring conditions"] if conditions[0] != conditions[1] else [])]
