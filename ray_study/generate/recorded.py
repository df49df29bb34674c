"""Attempts that somebody made before, matched to problems by what was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ray_study.generate.solver import unasked
from ray_study.rows import Attempt, FinishReason, Problem

RECORDED = "recorded"
"""`Attempt.asked_of` where somebody else asked."""

_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "finished"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_length", "truncated"), "length"),
}
_MOST_SHOWN = 3


class Row(Protocol):
    """A row of recorded attempts, as `problems.read_recorded` reads it."""

    @property
    def prompt(self) -> str:
        """What was asked."""

    @property
    def responses(self) -> tuple[str, ...]:
        """What was answered."""

    @property
    def num_tokens(self) -> tuple[int, ...] | None:
        """Of each response, where the file says it."""

    @property
    def finish_reason(self) -> str | None:
        """How the responses ended, where the file says it."""

    @property
    def where(self) -> str:
        """The place in the file, for people."""


@dataclass(slots=True, kw_only=True)
class Matching:
    """Finds problems by what is asked, and counts what it found."""

    num_rows: int = 0
    num_unmatched: int = 0
    num_matched_problems: int = 0
    num_problems: int = 0
    unmatched: list[str] = field(default_factory=list)
    """The first few prompts that belong to no problem."""

    def attempts(self, rows: Iterable[Row], problems: Sequence[Problem], question: Callable[[str], str]) -> Iterator[Attempt]:
        """The attempts at the problems, in the order of the rows; their numbers go on over all rows of a problem.

        Args:
            rows: read one by one; unmatched ones are counted.
            problems: two that ask the same are one to a recording, and the first has the attempts.
            question: a prompt without the request for an answer's format.

        Raises:
            ValueError: no row matches, or a row says something that cannot be understood.
        """
        ids: dict[str, str] = {}
        for problem in problems:
            ids.setdefault(_key(problem.prompt, question), problem.id)
        self.num_problems = len(problems)
        samples: Counter[str] = Counter()
        for row in rows:
            self.num_rows += 1
            found = ids.get(_key(row.prompt, question))
            if found is None:
                self._miss(row.prompt)
                continue
            for attempt in _attempts(row, found, samples[found]):
                samples[found] += 1
                yield attempt
        self.num_matched_problems = len(samples)
        if not samples:
            raise ValueError(self._nothing(problems))

    def facts(self) -> dict[str, int]:
        """The counts for the record."""
        return {
            "num_recorded_rows": self.num_rows,
            "num_matched_rows": self.num_rows - self.num_unmatched,
            "num_unmatched_rows": self.num_unmatched,
            "num_matched_problems": self.num_matched_problems,
            "num_unmatched_problems": self.num_problems - self.num_matched_problems,
        }

    def _miss(self, prompt: str) -> None:
        self.num_unmatched += 1
        if len(self.unmatched) < _MOST_SHOWN:
            self.unmatched.append(prompt)

    def _nothing(self, problems: Sequence[Problem]) -> str:
        theirs = "; ".join(_short(prompt) for prompt in self.unmatched) or "no rows at all"
        ours = "; ".join(_short(problem.prompt) for problem in problems[:_MOST_SHOWN]) or "no problems at all"
        return (
            f"none of {self.num_rows} recorded rows has a response to one of {len(problems)} problems. Recorded prompts: {theirs}. "
            f"Problems: {ours}. Expected the same question up to white space and the request for an answer's format: name the column "
            "of the question under recorded.columns.prompt, or take the problems from the same set"
        )


def _key(prompt: str, question: Callable[[str], str]) -> str:
    return " ".join(question(prompt.strip()).split())


def _attempts(row: Row, problem_id: str, first: int) -> Iterator[Attempt]:
    counted = row.num_tokens
    if counted is not None and len(counted) != len(row.responses):
        raise ValueError(f"{row.where}: {len(row.responses)} responses and {len(counted)} counts of tokens; expected one count a response")
    # A file that does not say how its responses ended holds whole ones; thinking that was cut is still seen in the text.
    reason = _ENDS.get((row.finish_reason or "stop").strip().lower())
    if reason is None:
        raise ValueError(f"{row.where}: finish_reason {row.finish_reason!r}; expected one of {sorted(_ENDS)}, or leave its column out")
    for index, text in enumerate(row.responses):
        number = 0 if counted is None else counted[index]
        yield unasked(problem_id, first + index, RECORDED, text, num_tokens=number, finish_reason=reason)


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:117]}...")
