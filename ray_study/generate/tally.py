"""What is known of a shard without its texts, and the sum of it: counts for the record, and who is asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ray_study import tables
from ray_study.rows import UNJUDGED, Attempt, FinishReason, GradedAttempt, Problem, Verdict

Judge = Callable[[Sequence[Attempt], Mapping[str, Problem]], Sequence[GradedAttempt]]
"""Judges a shard's attempts, in their order, with the problems by id. It goes to tasks, so it is a function that can be imported there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is known of an attempt without its text."""

    problem_id: str
    sample: int
    num_tokens: int
    finish_reason: FinishReason
    verdict: Verdict
    conditions: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """The sum over shards. It grows with the number of problems that have a correct attempt, not with texts."""

    num_attempts: int = 0
    num_tokens: int = 0
    num_refused: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    conditions: set[str] = field(default_factory=set)
    num_good: Counter[str] = field(default_factory=Counter)
    """Attempts that are correct and stopped by themselves, by problem."""
    refused: set[str] = field(default_factory=set)
    """Problems that cannot be asked: every later attempt would be refused as the first was."""

    def add(self, facts: Iterable[Fact]) -> None:
        """Counts a shard."""
        for fact in facts:
            self.num_attempts += 1
            self.num_tokens += fact.num_tokens
            self.verdicts[fact.verdict] += 1
            if fact.finish_reason == "refused":
                self.num_refused += 1
                self.refused.add(fact.problem_id)
                continue
            self.conditions.add(fact.conditions)
            if fact.verdict == "correct" and fact.finish_reason == "stop":
                self.num_good[fact.problem_id] += 1

    @property
    def share_correct(self) -> float | None:
        """Correct attempts among those that could be judged; None where none could."""
        judged = sum(count for verdict, count in self.verdicts.items() if verdict not in UNJUDGED)
        return self.verdicts["correct"] / judged if judged else None


def write_facts(path: str, name: str, attempts: Sequence[Attempt], problems: Mapping[str, Problem], judge: Judge) -> None:
    """Judges a shard that is whole and keeps what is known of it beside its rows, in `PATH/facts/NAME.parquet`.

    Verdicts are kept since a comparison that ran out of time may end otherwise another day: a driver that goes on after a kill
    must ask what the killed one would have asked.
    """
    graded = judge(attempts, problems)
    facts = [
        Fact(
            problem_id=attempt.problem_id,
            sample=attempt.sample,
            num_tokens=attempt.num_tokens,
            finish_reason=attempt.finish_reason,
            verdict=row.verdict,
            conditions=attempt.conditions,
        )
        for attempt, row in zip(attempts, graded, strict=True)
    ]
    tables.write(facts, f"{path}/facts/{name}.parquet", Fact)


def read_facts(path: str, name: str) -> list[Fact]:
    """What is known of a shard."""
    return tables.read(f"{path}/facts/{name}.parquet", Fact)
