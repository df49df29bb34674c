"""Benchmarks that stand in parts, as the one number that their authors give: beside the parts, and in no count that the parts are in.

The value is the mean over the parts, each weighed by the items that its published set has, whatever share of them was asked: a part of
which fewer are asked is known less well and counts no less. Parts have different items, so the variances of the weighed parts add up. The
interval is made of the parts' own intervals: half widths, weighed, add up by their squares on each side (MOVER; Zou and Donner 2008,
Statistics in Medicine 27), which stays sensible where a part has no spread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_study.analyze.study_tables import StudyTables
from ray_study.rows import BenchmarkCard, Score

METRIC = "accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One benchmark in parts."""

    name: str
    sizes: Mapping[str, int]
    """Items of the published set of each part, by the part's named benchmark: its weight."""

    @property
    def weights(self) -> dict[str, float]:
        """The share of each part."""
        total = sum(self.sizes.values())
        return {part: size / total for part, size in self.sizes.items()}

    def in_words(self) -> str:
        """How the parts are weighed."""
        return ", ".join(f"{part} {weight:.3g}" for part, weight in self.weights.items()) + ": by the items of their published sets"


HALUEVAL = Aggregate(name="halueval", sizes={f"halueval_{part}": 10_000 for part in ("qa", "dialogue", "summarization")})
AGGREGATES = (HALUEVAL,)
PARTS = {part: aggregate.name for aggregate in AGGREGATES for part in aggregate.sizes}
"""The named benchmarks that are a part -> of what."""


def together(study: StudyTables, aggregates: Sequence[Aggregate] = AGGREGATES) -> StudyTables:
    """The study with nothing but its benchmarks in parts, each as one benchmark: its scores, cards and what is declared of it.

    Parts belong together where the study has all of them, once each, asked and read alike. A checkpoint at which one part has no score
    has none of the whole.
    """
    declared = dict((study.facts.get("declared") or {}).get("benchmarks") or {})
    cards = {card.benchmark: card for card in study.benchmarks}
    scores: list[Score] = []
    made: list[BenchmarkCard] = []
    said: dict[str, Any] = {}
    examined: dict[str, Any] = {}
    taken: list[str] = []
    for aggregate in aggregates:
        for found in _complete(aggregate, declared, cards):
            name = _free_name(aggregate.name, {*cards, *said}, declared[next(iter(found.values()))])
            taken += found.values()
            made.append(_card(name, aggregate, [cards[benchmark] for benchmark in found.values()]))
            scores += _scores(name, aggregate, found, study.scores)
            first = declared[next(iter(found.values()))]
            said[name] = {**first, "benchmark": aggregate.name}
            asked = [(study.facts.get("examined_at") or {}).get(benchmark, "all") for benchmark in found.values()]
            # Where parts are asked at different steps, others are missing nothing.
            examined[name] = asked[0] if all(each == asked[0] for each in asked) else "final"
    facts = {**study.facts, "declared": {**(study.facts.get("declared") or {}), "benchmarks": said}}
    facts |= {"examined_at": examined, "parts": taken}
    return replace(study, scores=scores, benchmarks=made, attempts=(), training=(), facts=facts)


def as_wholes(study: StudyTables) -> StudyTables:
    """The study with each benchmark in parts in the place of its parts, where all of these are there."""
    whole = together(study)
    if not whole.benchmarks:
        return study
    parts = whole.facts["parts"]
    declared = study.facts.get("declared") or {}
    benchmarks = {**(declared.get("benchmarks") or {}), **whole.facts["declared"]["benchmarks"]}
    examined = {**(study.facts.get("examined_at") or {}), **whole.facts["examined_at"]}
    facts = {**study.facts, "declared": {**declared, "benchmarks": benchmarks}, "examined_at": examined}
    scores = [score for score in study.scores if score.benchmark not in parts]
    cards = [card for card in study.benchmarks if card.benchmark not in parts]
    return replace(study, scores=[*scores, *whole.scores], benchmarks=[*cards, *whole.benchmarks], facts=facts)


def _complete(aggregate: Aggregate, declared: Mapping[str, Any], cards: Mapping[str, BenchmarkCard]) -> list[dict[str, str]]:
    """For each way of asking in which all parts are there once: part -> what the study calls it."""
    ways: dict[str, dict[str, list[str]]] = {}
    for benchmark, settings in declared.items():
        if settings.get("benchmark") in aggregate.sizes and benchmark in cards:
            way = {key: settings.get(key) for key in ("protocol", "reads", "sampling", "num_samples", "thinking")}
            ways.setdefault(json.dumps(way, sort_keys=True), {}).setdefault(str(settings["benchmark"]), []).append(benchmark)
    whole = [found for found in ways.values() if set(found) == set(aggregate.sizes) and all(len(names) == 1 for names in found.values())]
    return [{part: found[part][0] for part in aggregate.sizes} for found in whole]


def _free_name(name: str, taken: set[str], settings: Mapping[str, Any]) -> str:
    """What the whole is called: told apart by its protocol where the name is taken."""
    names = [name, f"{name}-{settings.get('protocol')}", *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in names if each not in taken)


def _card(name: str, aggregate: Aggregate, parts: Sequence[BenchmarkCard]) -> BenchmarkCard:
    number = sum(card.num_items for card in parts)
    return replace(parts[0], benchmark=name, metric=METRIC, num_items=number, note=f"the mean over its parts, {aggregate.in_words()}")


def _scores(name: str, aggregate: Aggregate, found: Mapping[str, str], scores: Sequence[Score]) -> list[Score]:
    cells: dict[tuple[str, int], dict[str, Score]] = {}
    part_of = {benchmark: part for part, benchmark in found.items()}
    for score in scores:
        if score.benchmark in part_of and score.metric == METRIC:
            cells.setdefault((score.run, score.step), {})[part_of[score.benchmark]] = score
    whole = [parts for parts in cells.values() if set(parts) == set(aggregate.sizes)]
    return [combined(name, aggregate, parts) for parts in whole]


def combined(name: str, aggregate: Aggregate, parts: Mapping[str, Score]) -> Score:
    """The score of the whole; without a value where a part has none, and without an error or interval where a part has none."""
    pairs = [(aggregate.weights[part], parts[part]) for part in aggregate.sizes]
    values, errors = [score.value for _, score in pairs], [score.standard_error for _, score in pairs]
    value = None if None in values else sum(weight * (score.value or 0.0) for weight, score in pairs)
    known = value is not None and None not in errors
    error = math.sqrt(sum((weight * (score.standard_error or 0.0)) ** 2 for weight, score in pairs)) if known else None
    low, high = (None, None) if value is None else _interval(value, pairs)
    return replace(
        pairs[0][1],
        benchmark=name,
        value=value,
        standard_error=error,
        low=low,
        high=high,
        num_items=sum(score.num_items for _, score in pairs),
        num_unjudged=sum(score.num_unjudged for _, score in pairs),
    )


def _interval(value: float, pairs: Sequence[tuple[float, Score]]) -> tuple[float | None, float | None]:
    if any(score.value is None or score.low is None or score.high is None for _, score in pairs):
        return None, None
    below = math.hypot(*(weight * ((score.value or 0.0) - (score.low or 0.0)) for weight, score in pairs))
    above = math.hypot(*(weight * ((score.high or 0.0) - (score.value or 0.0)) for weight, score in pairs))
    return max(0.0, value - below), min(1.0, value + above)
