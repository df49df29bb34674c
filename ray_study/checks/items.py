"""The items of the exams: the letters of their gold answers, their order, items that stand twice, and what is trained on of them."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ray_study import problems, same_items
from ray_study.checks.finding import Finding, Subject, because, failed, not_applicable, passed, unknown
from ray_study.checks.subjects import is_loaded_here
from ray_study.config import Dataset
from ray_study.rows import Problem

_OPTION = re.compile(r"^\s*\(?([A-Z])[.):]\s", re.MULTILINE)
MOST_CHARACTERS = 5_000_000
"""Of all items together, for which runs of words are looked up in seconds."""
PATIENCE_SECONDS = 120.0
"""For a process that makes the items again."""
LEAST_CHANCE = 1e-4
"""Gold letters that chance would spread so unevenly more rarely than this are no chance."""


def gold_letters(subject: Subject) -> Finding:
    """Whether the gold letters of each choice benchmark are spread as chance would spread them."""
    choices = {name: [item for item in items if item.kind == "choice"] for name, items in subject.exams.items()}
    choices = {name: items for name, items in choices.items() if items}
    if not subject.exams:
        return unknown(because(subject, "there are no items yet"))
    if not choices:
        return not_applicable("no benchmark at hand asks for a letter")
    said = {name: _histogram(items) for name, items in choices.items()}
    odd = [
        f"{name}: {said[name]}: the gold letter tells itself" for name, items in choices.items() if spread_by_chance(items) < LEAST_CHANCE
    ]
    return failed(odd) if odd else passed("; ".join(f"{name}: {text}" for name, text in said.items()))


def _histogram(items: Sequence[Problem]) -> str:
    counts = Counter(item.answer for item in items)
    return ", ".join(f"{letter} {counts[letter]}" for letter in sorted(counts))


def spread_by_chance(items: Sequence[Problem]) -> float:
    """How often chance would spread gold letters at least so unevenly, each item's options being equally likely (Pearson's chi-squared)."""
    expected: dict[str, float] = defaultdict(float)
    for item in items:
        options = sorted(set(_OPTION.findall(item.prompt)) | {item.answer}) if _OPTION.search(item.prompt) else _letters(items)
        for letter in options:
            expected[letter] += 1 / len(options)
    found = Counter(item.answer for item in items)
    if len(expected) < 2:
        return 1.0
    distance = sum((found[letter] - share) ** 2 / share for letter, share in expected.items())
    return beyond(distance, len(expected) - 1)


def beyond(distance: float, freedom: int) -> float:
    """How often a chi-squared variable exceeds a value, by its closed form: scipy takes a second to load."""
    half = distance / 2
    total, power = (0.0, 0.0) if freedom % 2 == 0 else (math.erfc(math.sqrt(half)), 0.5)
    while power < freedom / 2:
        # exp(-x) x^p / p!, in logarithms: neither overflows.
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1)) if half else float(power == 0)
        power += 1
    return min(1.0, total)


def _letters(items: Sequence[Problem]) -> list[str]:
    """The options of items whose prompts do not show them: the letters that are some item's answer, four at least."""
    return sorted({item.answer for item in items} | set("ABCD"))


def item_order(subject: Subject) -> Finding:
    """Whether another process, with another salt of `hash()`, makes the same items in the same order."""
    names = sorted({benchmark.problems for benchmark in subject.study.evaluation.benchmarks.values()} & set(subject.sets))
    here = [name for name in names if is_loaded_here(subject.study.problems[name])]
    if not here:
        return unknown(because(subject, "loading the items again would ask the Hub"))
    asked = json.dumps({name: subject.study.problems[name].model_dump(mode="json") for name in here})
    environment = {**os.environ, "PYTHONHASHSEED": "20" if os.environ.get("PYTHONHASHSEED") != "20" else "21"}
    program = [sys.executable, "-m", same_items.__name__]
    try:
        done = subprocess.run(program, input=asked, capture_output=True, text=True, env=environment, check=False, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return unknown(f"the other process had not made the items after {PATIENCE_SECONDS:.0f} s")
    if done.returncode:
        return unknown(f"the other process ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    there = json.loads(done.stdout)
    differ = [name for name in here if not _same(same_items.marks(subject.sets[name]), there[name])]
    if differ:
        return failed(
            [f"problems {name!r} come out otherwise in another process, so that no two checkpoints sit one exam" for name in differ],
            stops=True,
        )
    return passed(f"{len(here)} sets of problems are the same in two processes")


def _same(own: list[list[str]], theirs: list[list[str]]) -> bool:
    """Whether both are the same in the same order; what was left out here, as gold that cannot be judged against, may be there."""
    ids = {mark[0] for mark in own}
    return own == [mark for mark in theirs if mark[0] in ids]


def duplicate_items(subject: Subject) -> Finding:
    """Whether an exam asks the same thing twice."""
    if not subject.exams:
        return unknown(because(subject, "there are no items yet"))
    faults = [fault for name, items in subject.exams.items() for fault in _twice(name, items)]
    return failed(faults) if faults else passed(f"no item stands twice in {len(subject.exams)} exams")


def _twice(name: str, items: Iterable[Problem]) -> Iterator[str]:
    first: dict[str, str] = {}
    ids: set[str] = set()
    for item in items:
        if item.id in ids:
            yield f"{name}: the id {item.id!r} stands twice"
        ids.add(item.id)
        key = " ".join(item.prompt.split())
        if key in first and first[key] != item.id:
            yield f"{name}: {item.id!r} asks what {first[key]!r} asks"
        first.setdefault(key, item.id)


def contamination(subject: Subject) -> Finding:
    """Whether training problems also stand in an exam, whole or in a long run of words; near duplicates are looked for by `run`."""
    known = {name: dataset for name, dataset in subject.study.datasets.items() if dataset.problems in subject.sets}
    if not known or not subject.exams:
        return unknown(
            because(subject, "no data set's problems are at hand; what is read ready-made is looked at when the data set is made")
        )
    num_characters = sum(len(item.prompt) for items in subject.exams.values() for item in items)
    if num_characters > MOST_CHARACTERS:
        return unknown(f"the exams have {num_characters:,} characters, too many for a check; `run` looks when each data set is made")
    said: list[str] = []
    faults: list[str] = []
    # Data sets often share their problems.
    looked_at: dict[tuple[str | None, int], Counter[str]] = {}
    for name, dataset in known.items():
        key = (dataset.problems, dataset.decontaminate.ngram)
        if key not in looked_at:
            looked_at[key] = _overlaps(subject, dataset)
        found = looked_at[key]
        total = len(subject.sets[str(dataset.problems)])
        text = f"{name}: {sum(found.values())} of {total} training problems stand in a benchmark"
        if found:
            text += f" ({', '.join(f'{count} in {benchmark}' for benchmark, count in found.most_common())})"
        (faults if found and not dataset.decontaminate.remove else said).append(text + (", and are removed" if found else ""))
    if faults:
        return failed([fault.removesuffix(", and are removed") + ", and `decontaminate.remove` is off" for fault in faults])
    return passed("; ".join(said))


def _overlaps(subject: Subject, dataset: Dataset) -> Counter[str]:
    index = problems.Benchmarks(subject.exams, ngram=dataset.decontaminate.ngram, similarity=None)
    prompts = ((problem.id, problem.prompt) for problem in subject.sets[str(dataset.problems)])
    return Counter(row.benchmark for row in problems.overlaps(prompts, index))
