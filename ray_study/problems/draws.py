"""Seeded choices that come out the same in every process, on every machine and in every Python version.

Nothing here uses Python's `hash()` (salted per process) or `random.choice` and `shuffle` (which may change between Python
versions): seeds are SHA-256 digests, and only `Random.random()` is drawn from, which Python promises to keep.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Literal, TypeVar

from ray_study.rows import Problem

T = TypeVar("T")
Split = Literal["train", "heldout"]

HELD_OUT_PER_TEN = 1
"""Of ten possible procedural problems, this many can only ever be held out."""


def digest(*parts: object) -> str:
    """The SHA-256 of the parts as JSON, in hexadecimal digits: equal parts, equal digest, everywhere."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def stream(source: str, seed: int, split: str) -> Random:
    """A random stream of its own for each (source, seed, split)."""
    return Random(int(digest("stream", source, seed, split), 16))


def between(rng: Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included, each as likely."""
    return low + int(rng.random() * (high - low + 1))


def pick(rng: Random, values: Sequence[T]) -> T:
    """One of the values, each as likely."""
    return values[int(rng.random() * len(values))]


def known_shares(shares: Mapping[str, float], known: Collection[str]) -> None:
    """Returns if each task of a mixture is a known one with a share above 0.

    Raises:
        ValueError: one is not, or there is none.
    """
    unknown = sorted(set(shares) - set(known))
    if unknown or not shares:
        raise ValueError(f"unknown tasks {unknown}; choose from {sorted(known)}")
    if not all(0 < share < float("inf") for share in shares.values()):
        raise ValueError("every share must be above 0; leave a task out rather than giving it 0")


def pick_by_share(rng: Random, shares: Mapping[str, float]) -> str:
    """One of the names, each as likely as its share of the sum of shares."""
    left = rng.random() * sum(shares.values())
    for name in sorted(shares):
        left -= shares[name]
        if left < 0:
            return name
    return max(shares)  # Only by rounding.


def shuffled(rng: Random, values: Sequence[T]) -> list[T]:
    """The values in a random order."""
    keyed = [(rng.random(), index) for index in range(len(values))]
    return [values[index] for _, index in sorted(keyed)]


def split_of(key: str) -> Split:
    """The split that a procedural problem belongs to, by its canonical key alone: no seed can put it into both."""
    return "heldout" if int(digest("split", key)[:12], 16) % 10 < HELD_OUT_PER_TEN else "train"


def subset(problems: Sequence[Problem], num_problems: int | None, seed: int) -> list[Problem]:
    """The first `num_problems` of a seeded order in which every cluster is spread evenly; all of them for None.

    A smaller subset with the same seed is the beginning of a larger one, and each holds the clusters in proportion.

    Raises:
        ValueError: where there are fewer problems than asked for.
    """
    if num_problems is not None and num_problems > len(problems):
        source = problems[0].source if problems else "the source"
        raise ValueError(f"{num_problems} problems were asked for, but {source} has {len(problems)}; ask for fewer")
    clusters: dict[str, list[tuple[str, Problem]]] = defaultdict(list)
    for problem in problems:
        clusters[problem.cluster].append((digest("subset", seed, problem.id), problem))
    placed: list[tuple[float, str, Problem]] = []
    for cluster, rows in clusters.items():
        rows.sort(key=lambda row: row[0])
        # A drawn start for each cluster: without it a small subset would hold the largest clusters only.
        start = int(digest("start", seed, cluster)[:12], 16) / 16**12
        placed += [((rank + start) / len(rows), drawn, problem) for rank, (drawn, problem) in enumerate(rows)]
    placed.sort(key=lambda row: row[:2])
    return [problem for _, _, problem in placed[:num_problems]]
