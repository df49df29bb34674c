"""What scoring a study would cost, benchmark by benchmark, and which exams cannot be sat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ray_study import problems
from ray_study.benchmarks import num_items
from ray_study.benchmarks.protocols import label
from ray_study.chosen import num_asked
from ray_study.config import Benchmark, Study
from ray_study.exam_literals import benchmark_literal
from ray_study.manifests import digest

Saved = Sequence[tuple[int, ...] | None]
"""The steps at which each run of the grid is saved, without step 0; None where they are not known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What all checkpoints' cells of one benchmark cost at most; None where it is not known yet."""

    benchmark: str
    num_checkpoints: int | None
    num_items: int | None
    num_attempts: int | None
    num_tokens: int | None
    """If every answer came to its cap."""
    hours: float | None
    """Of the whole pool, where the file says what one replica generates."""


def benchmark_lines(study: Study, num_bases: int, saved: Saved) -> Iterator[str]:
    """A line for each benchmark, then the table of what they cost."""
    total = _num_checkpoints("all", num_bases, saved)
    for name, benchmark in study.evaluation.benchmarks.items():
        sampling = benchmark.sampling or study.evaluation.sampling
        cells = _word(total) if benchmark.at == "all" else f"those at {benchmark.at}"
        named = label(benchmark.benchmark or name, benchmark.protocol, benchmark.reads)
        first = "; sat before those that are not primary" if benchmark.primary and _some_are_not(study) else ""
        yield (
            f"benchmark {name} ({benchmark.group}): {items_of(study, benchmark) or 'all'} items x "
            f"{benchmark.num_samples} samples, at most {sampling.max_tokens} tokens each, checkpoints: {cells}"
            f"{f'; {named}' if named else ''}{first}"
        )
    yield from _table(prices(study, num_bases, saved))


def prices(study: Study, num_bases: int, saved: Saved) -> list[Price]:
    """What each benchmark costs at most, in the order of the file."""
    return [_price(study, name, _num_checkpoints(each.at, num_bases, saved)) for name, each in study.evaluation.benchmarks.items()]


def _price(study: Study, name: str, num_checkpoints: int | None) -> Price:
    benchmark, evaluate = study.evaluation.benchmarks[name], study.resources.evaluate
    items = items_of(study, benchmark)
    cap = (benchmark.sampling or study.evaluation.sampling).max_tokens
    attempts = None if items is None or num_checkpoints is None else num_checkpoints * items * benchmark.num_samples
    tokens = None if attempts is None else attempts * cap
    speed = None if evaluate.tokens_per_second is None else evaluate.tokens_per_second * evaluate.replicas
    return Price(
        benchmark=name,
        num_checkpoints=num_checkpoints,
        num_items=items,
        num_attempts=attempts,
        num_tokens=tokens,
        hours=None if tokens is None or speed is None else tokens / speed / 3600,
    )


def _num_checkpoints(at: str | tuple[int, ...], num_bases: int, saved: Saved) -> int | None:
    """How many sit a benchmark: step 0 of each model and the last step of each run always do."""
    known = [each for each in saved if each is not None]
    if len(known) < len(saved):
        return None
    return num_bases + sum(at == "all" or step == max(steps) or (isinstance(at, tuple) and step in at) for steps in known for step in steps)


def items_of(study: Study, benchmark: Benchmark) -> int | None:
    """How many items a benchmark asks, where that is known without reading its problems."""
    asked = num_asked(benchmark.items)
    if asked:
        return asked
    stated = study.problems[benchmark.problems].num_problems
    if stated is not None or benchmark.benchmark is None or benchmark.protocol is None or benchmark.options:
        return stated
    return num_items(benchmark.benchmark, benchmark.protocol)


def _some_are_not(study: Study) -> bool:
    return not all(each.primary for each in study.evaluation.benchmarks.values())


def _table(found: Sequence[Price]) -> Iterator[str]:
    """The prices in columns, with their sum where all are known."""
    numbers: list[list[float | None]] = [[each.num_checkpoints, each.num_attempts, each.num_tokens, each.hours] for each in found]
    head = ("scoring, at most", "checkpoints", "attempts", "tokens", "hours")
    rows = [(each.benchmark, *map(_word, row)) for each, row in zip(found, numbers, strict=True)]
    sums = [_sum([row[place] for row in numbers]) for place in range(1, len(head) - 1)]
    shown: list[tuple[str, ...]] = [head, *rows, ("all", "", *map(_word, sums))]
    if all(each.hours is None for each in found):
        shown = [row[:-1] for row in shown]
    yield from columns(shown)


def columns(shown: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows with their cells below each other: the first to the left, numbers to the right."""
    widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
    for row in shown:
        yield "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]).rstrip()


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _word(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.1f}" if isinstance(value, float) else str(value) if value < 10_000 else f"{value:,}"


def exam_faults(study: Study, saved: set[int]) -> Iterator[str]:
    """What cannot work about the exams; `saved` are the steps at which some run is saved, none where they are not known yet."""
    same: dict[str, str] = {}
    for name, benchmark in study.evaluation.benchmarks.items():
        never = sorted(set(benchmark.at) - saved) if saved and isinstance(benchmark.at, tuple) else []
        if never:
            yield f"evaluation.benchmarks.{name}.at names {never}, at which no run is saved; saved are {sorted(saved)}"
        # The same answers read in two ways are two exams.
        mark = digest([benchmark_literal(study, name), benchmark.reads])
        if mark in same:
            yield f"evaluation.benchmarks.{name} is the same exam as {same[mark]!r}; leave one of them out"
        same[mark] = name


def hub_sets(study: Study) -> Iterator[tuple[str, str, str, str]]:
    """Where problems are read from the Hub: the section, the name, the revision, and how to get access where it is gated."""
    for key, settings in study.problems.items():
        source = problems.SOURCES.get(settings.source)
        revision = str(settings.options.get("revision", "main"))
        name = settings.options.get("name") or (source.hub if source is not None else None)
        if (settings.source == "hub" or (source is not None and source.hub)) and not settings.options.get("path"):
            yield f"problems {key}", str(name), revision, source.access if source is not None else ""
