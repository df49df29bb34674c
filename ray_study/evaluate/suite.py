"""The exams of a study: the same items in the same order for every checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ray_study.analyze.judged import PRIMARY
from ray_study.benchmarks.protocols import label
from ray_study.chosen import DIRECTORY, manifest, subset
from ray_study.config import Benchmark, Sampling, Study
from ray_study.manifests import digest
from ray_study.owed import is_asked
from ray_study.rows import BenchmarkCard, Problem
from ray_study.store import Result, Store

PHRASE_MATCH = "phrase match, not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One benchmark with its items."""

    name: str
    benchmark: Benchmark
    items: tuple[Problem, ...]
    sampling: Sampling
    source: Result
    """The stored problems that the items were taken from."""
    rubrics: tuple[str, ...] = ()
    """What the benchmark's judges are asked, in their order; empty where no judge is."""

    @property
    def digest(self) -> str:
        """What identifies the items, in their order."""
        return digest([[item.id, item.prompt, item.answer] for item in self.items])

    def card(self) -> BenchmarkCard:
        """What a reader of the scores must know."""
        kinds = sorted({item.kind for item in self.items})
        refusal = kinds == ["refusal"]
        named = self.benchmark.benchmark or self.name
        judged = f"judged by {', '.join(self.benchmark.judge)}" if self.rubrics else ""
        notes = [
            label(named, self.benchmark.protocol, self.benchmark.reads),
            self.benchmark.note,
            PHRASE_MATCH if refusal else judged,
        ]
        return BenchmarkCard(
            benchmark=self.name,
            group=self.benchmark.group,
            kind=kinds[0],
            metric=self.benchmark.metric or (PRIMARY[self.rubrics[0]] if self.rubrics else "share_refused" if refusal else "accuracy"),
            num_items=len(self.items),
            num_samples=self.benchmark.num_samples,
            note="; ".join(note for note in notes if note),
        )


def exams(study: Study, load: Callable[[str], tuple[Result, list[Problem]]]) -> list[Exam]:
    """The exams of a study; `load` gives the stored problems of a name."""
    made = []
    for name, benchmark in study.evaluation.benchmarks.items():
        source, problems = load(benchmark.problems)
        chosen = subset(problems, benchmark.items, study.seed)
        if benchmark.judge:
            # The same answers, whoever judges them.
            chosen = [replace(problem, kind="judged") for problem in chosen]
        sampling = benchmark.sampling or study.evaluation.sampling
        rubrics = tuple(study.judges[judge].rubric for judge in benchmark.judge)
        made.append(Exam(name=name, benchmark=benchmark, items=tuple(chosen), sampling=sampling, source=source, rubrics=rubrics))
    return made


def keep_lists(store: Store, exams: Sequence[Exam], seed: int) -> list[str]:
    """The paths of the lists of what exams with `items` ask, each written into the store, for people and for other studies."""
    kept = []
    for exam in exams:
        if exam.benchmark.items is not None:
            name = f"{DIRECTORY}/{exam.name}.json"
            store.write_json(name, manifest(exam.name, exam.items, int(exam.source.record["num_rows"]), seed))
            kept.append(store.path(name))
    return kept


def in_rounds(exams: Sequence[Exam]) -> list[list[Exam]]:
    """The exams that all checkpoints sit first, then the others; one round where none or each of them is primary."""
    rounds = [[exam for exam in exams if exam.benchmark.primary == first] for first in (True, False)]
    return [each for each in rounds if each] or [[]]


def is_owed(exam: Exam, step: int, last: int) -> bool:
    """Whether a checkpoint of a run that ends at step `last` sits an exam: step 0 and the last step always do."""
    return is_asked(exam.benchmark.at, step, last)
