"""Which of a set of problems an exam asks: its `items: N`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ray_study.manifests import digest
from ray_study.rows import Problem


def subset(problems: Sequence[Problem], items: int | None, seed: int) -> list[Problem]:
    """A seeded subset of `items` problems, balanced over clusters; a smaller one is the beginning of a larger one.

    Raises:
        ValueError: there are fewer problems than asked for.
    """
    if items is None:
        return list(problems)
    if items > len(problems):
        raise ValueError(f"a benchmark asks for {items} items of a set of {len(problems)}; ask for fewer, or leave `items` out")
    by_cluster: dict[str, list[Problem]] = defaultdict(list)
    for problem in sorted(problems, key=lambda each: digest([seed, each.id])):
        by_cluster[problem.cluster].append(problem)
    ranked = [(rank, digest([seed, cluster]), problem) for cluster, members in by_cluster.items() for rank, problem in enumerate(members)]
    ranked.sort(key=lambda each: each[:2])
    return [problem for _, _, problem in ranked[:items]]
