"""Which examples a run never learns from, so that its loss on them says what it has learned. Light: no torch.

They are a part of the data set alone: every run on it holds out the same ones, whatever its model and seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ray_study.manifests import digest
from ray_study.rows import Example


def split(examples: Sequence[Example], num_held_out: int) -> tuple[list[Example], list[Example]]:
    """The examples to learn from and those held out, each in their order; no problem and no prompt is on both sides.

    Problems are held out whole, in the order of a hash of their ids, until at least `num_held_out` examples are.

    Raises:
        ValueError: nothing would be left to learn from.
    """
    if num_held_out == 0:
        return list(examples), []
    ids = _held_out(examples, num_held_out)
    learned = [example for example in examples if example.problem_id not in ids]
    if not learned:
        raise ValueError(
            f"held_out {num_held_out} takes all {len(examples)} examples (those of a problem, and of a prompt, stay together); "
            "lower it, or make more examples"
        )
    return learned, [example for example in examples if example.problem_id in ids]


def _held_out(examples: Sequence[Example], number: int) -> frozenset[str]:
    """The ids of the problems that are held out: those sharing a prompt, directly or through others, are one group."""
    groups = _groups(examples)
    members: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for example in examples:
        first = groups[example.problem_id]
        members.setdefault(first, []).append(example.problem_id)
        sizes[first] = sizes.get(first, 0) + 1
    ids: set[str] = set()
    held = 0
    for first in sorted(members, key=lambda name: digest(["held out", name])):
        if held >= number:
            break
        ids.update(members[first])
        held += sizes[first]
    return frozenset(ids)


def _groups(examples: Sequence[Example]) -> dict[str, str]:
    """For each problem the smallest id of its group."""
    first = {example.problem_id: example.problem_id for example in examples}

    def root(name: str) -> str:
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    by_prompt: dict[str, str] = {}
    for example in examples:
        one, other = root(example.problem_id), root(by_prompt.setdefault(example.prompt, example.problem_id))
        first[max(one, other)] = min(one, other)
    return {name: root(name) for name in first}
