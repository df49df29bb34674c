"""Which of a set of problems an exam asks: its `items: N`, and the list of those that are asked, for whoever wants to ask the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_study.manifests import digest
from ray_study.rows import Problem

RULE = "within each cluster by SHA-256 of the study's seed and the item's id, one from each cluster in turn, clusters by the same of theirs"
DIRECTORY = "exams"
"""Of the store: `exams/BENCHMARK.json` lists what a benchmark with `items: N` asks."""


def subset(problems: Sequence[Problem], items: int | str | None, seed: int) -> list[Problem]:
    """A seeded subset of `items` problems, balanced over clusters; a smaller one is the beginning of a larger one.

    Where `items` is a path, those that the list there names, in its order, whatever the seed.

    Raises:
        ValueError: there are fewer problems than asked for, or a listed one is not among them.
    """
    if items is None:
        return list(problems)
    if isinstance(items, str):
        return _listed(problems, items)
    if items > len(problems):
        raise ValueError(f"a benchmark asks for {items} items of a set of {len(problems)}; ask for fewer, or leave `items` out")
    by_cluster: dict[str, list[Problem]] = defaultdict(list)
    for problem in sorted(problems, key=lambda each: digest([seed, each.id])):
        by_cluster[problem.cluster].append(problem)
    ranked = [(rank, digest([seed, cluster]), problem) for cluster, members in by_cluster.items() for rank, problem in enumerate(members)]
    ranked.sort(key=lambda each: each[:2])
    return [problem for _, _, problem in ranked[:items]]


def _listed(problems: Sequence[Problem], path: str) -> list[Problem]:
    by_id = {problem.id: problem for problem in problems}
    ids = listed_ids(path)
    strange = [each for each in ids if each not in by_id]
    if strange:
        raise ValueError(
            f"{path} lists {len(strange)} items that are not among the {len(by_id)} problems, the first {strange[0]!r}; "
            "name the set of problems that the list was made of"
        )
    return [by_id[each] for each in ids]


def listed_ids(path: str) -> list[str]:
    """The ids of a list of items, as `manifest` writes it: `ids` as a list, or by category as MMLU-Pro's has them.

    Raises:
        ValueError: there is none at that path.
    """
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`items` names {path!r}, which is no list of items ({error}); name a file like the store's exams/NAME.json"
        ) from error
    ids = found.get("ids") if isinstance(found, dict) else None
    ids = [each for part in ids.values() for each in part] if isinstance(ids, dict) else ids
    if not isinstance(ids, list) or not ids:
        raise ValueError(f"{path}: expected `ids`, a list of different items; found {'an empty list' if ids == [] else type(ids).__name__}")
    names = [str(each) for each in ids]
    twice = next((each for each, number in Counter(names).items() if number > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: expected `ids`, a list of different items; found {twice!r} twice: leave one out")
    return names


def num_asked(items: int | str | None) -> int | None:
    """How many items a benchmark asks; None where it asks all that there are."""
    return len(listed_ids(items)) if isinstance(items, str) else items


def items_literal(items: int | str | None) -> object:
    """What identifies the choice: of a list what it names, and not where it lies."""
    return {"ids": digest(listed_ids(items))} if isinstance(items, str) else items


def manifest(name: str, asked: Sequence[Problem], of: int, seed: int) -> dict[str, Any]:
    """Which items an exam asks: the rule, how many of each cluster, the ids in the order asked, and one digest over them.

    Args:
        name: of the benchmark.
        asked: its items.
        of: how many problems they were chosen from.
        seed: of the study.
    """
    ids = [problem.id for problem in asked]
    counts = Counter(problem.cluster for problem in asked)
    return {
        "benchmark": name,
        "rule": RULE,
        "seed": seed,
        "num_items": len(ids),
        "num_problems": of,
        "num_by_cluster": dict(sorted(counts.items())),
        "digest": digest(ids),
        "ids": ids,
    }
