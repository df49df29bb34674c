"""Training problems that also stand in a benchmark: found by shared runs of words, removed and counted."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from ray_study.problems.formats import without_request
from ray_study.rows import Problem

logger = logging.getLogger(__name__)

_WORD = re.compile(r"\w+")

WORDING_SHARE = 0.05
WORDING_ITEMS = 3
"""A run of words in more than this share, and at least this many, of one benchmark's items is the benchmark's own wording."""


def decontaminate(
    problems: Sequence[Problem], benchmarks: Iterable[Problem], *, n: int = 13
) -> tuple[list[Problem], list[tuple[str, str]]]:
    """The problems that share no run of `n` words with a benchmark item, and (problem id, item id) of each that was removed.

    Words are compared without case and punctuation, and without the request for a format: that is twelve words long and
    would make any two problems that end in the same word overlap. For the same reason a run that many items of one
    benchmark share is not evidence. Prompts shorter than `n` words, and those of nothing but such wording, overlap where they
    are wholly equal.
    """
    items = list(benchmarks)
    owners = _runs_of_benchmarks(items, n)
    whole: dict[str, str] = {}
    for item in items:
        whole.setdefault(" ".join(_words(item)), item.id)
    kept: list[Problem] = []
    removed: list[tuple[str, str]] = []
    for problem in problems:
        words = _words(problem)
        owner = whole.get(" ".join(words)) or next((owners[run] for run in _runs(words, n) if run in owners), None)
        if owner is None:
            kept.append(problem)
        else:
            removed.append((problem.id, owner))
    logger.info("%d of %d problems overlap with a benchmark and were removed", len(removed), len(problems))
    return kept, removed


def _runs_of_benchmarks(items: Sequence[Problem], n: int) -> dict[str, str]:
    by_source: dict[str, list[Problem]] = defaultdict(list)
    for item in items:
        by_source[item.source].append(item)
    owners: dict[str, str] = {}
    for rows in by_source.values():
        runs_of = [(row.id, set(_runs(_words(row), n))) for row in rows]
        counts = Counter(run for _, runs in runs_of for run in runs)
        too_common = max(WORDING_ITEMS - 1, WORDING_SHARE * len(rows))
        for name, runs in runs_of:
            for run in sorted(runs):
                if counts[run] <= too_common:
                    owners.setdefault(run, name)
    return owners


def _runs(words: Sequence[str], n: int) -> list[str]:
    return [" ".join(words[start : start + n]) for start in range(len(words) - n + 1)]


def _words(problem: Problem) -> list[str]:
    return _WORD.findall(without_request(problem.prompt).casefold())
