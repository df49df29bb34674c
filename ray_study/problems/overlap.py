"""Training prompts that also stand in a benchmark: equal, sharing a long run of words, or near duplicates. Found, listed and counted."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_study.problems.formats import without_request
from ray_study.rows import Overlap, Problem, Removed

logger = logging.getLogger(__name__)

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+")
# Two short prompts are equal with their signs: 2 + 2 is not 2 - 2.
_WORD_OR_SIGN = re.compile(r"\w+|[-+*/^=<>%!×÷·−]")

NGRAM = 13
SIMILARITY = 0.8
SHINGLE = 5
"""Words in the runs that near duplicates are compared by."""
LEAST_SHINGLES = 6
"""With fewer runs of its own a prompt is too short to be like another: one word more or less would decide."""

WORDING_SHARE = 0.05
WORDING_ITEMS = 3
"""A run of words in more than this share, and at least this many, of one benchmark's items is the benchmark's own wording."""

_PERMUTATIONS = 128
_LOOSER = 0.15
"""How far below the similarity that is asked for MinHash looks for candidates; the exact similarity then decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The benchmark item that a prompt overlaps with, and how that shows."""

    benchmark: str
    item_id: str
    how: Overlap
    evidence: str


class Benchmarks:
    """The items of a study's benchmarks, ready to be looked up by a training prompt.

    Words are compared without case and punctuation, and without the request for a format: that is twelve words long and would
    make any two problems that end in the same word overlap. For the same reason a run of words that many items of one benchmark
    share is not evidence of anything. A prompt too short for a run overlaps where it is wholly equal, signs of arithmetic included.

    A near duplicate shares most of its runs of five words with an item *and has the same numbers in the same order*: a template filled in
    with other numbers is another problem.
    """

    def __init__(self, items: Mapping[str, Sequence[Problem]], *, ngram: int = NGRAM, similarity: float | None = SIMILARITY) -> None:
        """Indexes the items, given by the name of their benchmark.

        Args:
            items: what may not be trained on.
            ngram: words in a shared run.
            similarity: least Jaccard similarity of the runs of five words of near duplicates; None looks for none.
        """
        self._ngram = ngram
        self._whole: dict[str, tuple[str, str]] = {}
        self._runs: dict[str, tuple[str, str]] = {}
        self._near = None if similarity is None else _Near(similarity)
        for name, rows in items.items():
            prompts = [(row.id, row.prompt) for row in rows]
            for item_id, prompt in prompts:
                self._whole.setdefault(_key(prompt), (name, item_id))
            for item_id, runs in _own_runs(prompts, ngram)[0]:
                for run in sorted(runs):
                    self._runs.setdefault(run, (name, item_id))
            if self._near is not None:
                self._near.add(name, prompts)

    def match(self, prompt: str) -> Match | None:
        """The item that a training prompt overlaps with, or None: looked for by equality, then by runs of words, then by likeness."""
        key, words = _key(prompt), _words(prompt)
        if key in self._whole:
            benchmark, item = self._whole[key]
            return Match(benchmark=benchmark, item_id=item, how="equal", evidence=key)
        for run in _runs(words, self._ngram):
            if run in self._runs:
                benchmark, item = self._runs[run]
                return Match(benchmark=benchmark, item_id=item, how="ngram", evidence=run)
        return None if self._near is None else self._near.match(prompt)


class _Near:
    """Near duplicates: MinHash proposes items, the exact similarity of their runs decides."""

    def __init__(self, similarity: float) -> None:
        # `plan` imports this module, and scipy under it takes a second.
        from datasketch import MinHashLSH  # noqa: PLC0415

        self._similarity = similarity
        self._index: Any = MinHashLSH(threshold=max(0.2, similarity - _LOOSER), num_perm=_PERMUTATIONS)
        self._items: list[tuple[str, str, frozenset[str], tuple[str, ...]]] = []
        self._wording: dict[str, frozenset[str]] = {}

    def add(self, benchmark: str, prompts: Sequence[tuple[str, str]]) -> None:
        """Takes the items of one benchmark up."""
        own, self._wording[benchmark] = _own_runs(prompts, SHINGLE)
        for (item_id, prompt), (_, runs) in zip(prompts, own, strict=True):
            if len(runs) >= LEAST_SHINGLES:
                self._index.insert(len(self._items), _sketch(runs))
                self._items.append((benchmark, item_id, frozenset(runs), _numbers(prompt)))

    def match(self, prompt: str) -> Match | None:
        """The most similar item that is similar enough, the first of equals."""
        runs = frozenset(_runs(_words(prompt), SHINGLE))
        if len(runs) < LEAST_SHINGLES or not self._items:
            return None
        numbers = _numbers(prompt)
        best: tuple[float, int] | None = None
        for number in sorted(self._index.query(_sketch(runs))):
            benchmark, _, theirs, their_numbers = self._items[number]
            own = runs - self._wording[benchmark]
            likeness = len(own & theirs) / len(own | theirs)
            if likeness >= self._similarity and numbers == their_numbers and (best is None or likeness > best[0]):
                best = (likeness, number)
        if best is None:
            return None
        benchmark, item_id, _, _ = self._items[best[1]]
        evidence = f"{best[0]:.2f} of the runs of {SHINGLE} words of either are in both"
        return Match(benchmark=benchmark, item_id=item_id, how="near_duplicate", evidence=evidence)


def overlaps(prompts: Iterable[tuple[str, str]], benchmarks: Benchmarks) -> Iterator[Removed]:
    """The training prompts, given as (problem id, prompt), that stand in a benchmark."""
    for problem_id, prompt in prompts:
        found = benchmarks.match(prompt)
        if found is not None:
            yield Removed(
                problem_id=problem_id,
                prompt=prompt,
                benchmark=found.benchmark,
                item_id=found.item_id,
                how=found.how,
                evidence=found.evidence,
            )


def decontaminate(
    problems: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]], *, ngram: int = NGRAM, similarity: float | None = SIMILARITY
) -> tuple[list[Problem], list[Removed]]:
    """The problems that stand in no benchmark, and a row for each of the others."""
    index = Benchmarks(benchmarks, ngram=ngram, similarity=similarity)
    removed = list(overlaps(((problem.id, problem.prompt) for problem in problems), index))
    gone = {row.problem_id for row in removed}
    logger.info("%d of %d problems overlap with a benchmark and were removed", len(removed), len(problems))
    return [problem for problem in problems if problem.id not in gone], removed


def _own_runs(prompts: Sequence[tuple[str, str]], length: int) -> tuple[list[tuple[str, set[str]]], frozenset[str]]:
    """The runs of each item of a benchmark without the benchmark's own wording, and that wording."""
    runs_of = [(name, set(_runs(_words(prompt), length))) for name, prompt in prompts]
    counts = Counter(run for _, runs in runs_of for run in runs)
    too_common = max(WORDING_ITEMS - 1, WORDING_SHARE * len(prompts))
    wording = frozenset(run for run, count in counts.items() if count > too_common)
    return [(name, runs - wording) for name, runs in runs_of], wording


def _sketch(runs: Iterable[str]) -> Any:
    from datasketch import MinHash  # noqa: PLC0415 - as in `_Near`

    sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update_batch([run.encode() for run in sorted(runs)])
    return sketch


def _runs(words: Sequence[str], n: int) -> list[str]:
    return [" ".join(words[start : start + n]) for start in range(len(words) - n + 1)]


def _words(prompt: str) -> list[str]:
    return _WORD.findall(without_request(prompt).casefold())


def _numbers(prompt: str) -> tuple[str, ...]:
    return tuple(_NUMBER.findall(without_request(prompt)))


def _key(prompt: str) -> str:
    return " ".join(_WORD_OR_SIGN.findall(without_request(prompt).casefold()))
