"""Which attempts are asked together, and in which round: cut from ids and numbers alone, no prompt is rendered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_study.generate.asking import shard_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A shard before it is rendered: whom it asks about, as places in the table of problems."""

    name: str
    rows: tuple[int, ...]
    """The place of each attempt's problem in the table."""
    samples: tuple[int, ...]
    """The number of each attempt at its problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is asked before anybody looks at verdicts again."""

    number: int
    rows: Sequence[int]
    """The problems that are still asked."""
    samples: range

    @property
    def num_attempts(self) -> int:
        """How many attempts the round asks."""
        return len(self.rows) * len(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How often a problem is asked."""

    num_attempts: int
    """In each round."""
    until_correct: int | None = None
    """None asks one round."""
    at_most: int | None = None

    @property
    def most(self) -> int:
        """Most attempts at one problem."""
        return self.num_attempts if self.until_correct is None or self.at_most is None else self.at_most

    @property
    def most_rounds(self) -> int:
        """Most rounds."""
        return -(-self.most // self.num_attempts)

    def next(self, number: int, ids: Sequence[str], num_good: Mapping[str, int], closed: frozenset[str]) -> Round | None:
        """The round of that number, or None where nobody is asked any more.

        Args:
            number: from 0.
            ids: of all problems, in the order of their table.
            num_good: attempts so far that are correct and stopped by themselves, by problem; what was never asked may be absent.
            closed: problems that cannot be asked at all.
        """
        samples = range(number * self.num_attempts, min((number + 1) * self.num_attempts, self.most))
        if number == 0:
            rows: Sequence[int] = range(len(ids))
        else:
            enough = self.until_correct or 0
            rows = [row for row, each in enumerate(ids) if each not in closed and num_good.get(each, 0) < enough]
        return Round(number=number, rows=rows, samples=samples) if rows and samples else None


def cuts(round_: Round, ids: Sequence[str], *, shard_size: int) -> Iterator[Cut]:
    """The shards of a round, each of at most `shard_size` attempts, those at one problem beside each other."""
    each = len(round_.samples)
    for index, start in enumerate(range(0, round_.num_attempts, shard_size)):
        places = range(start, min(start + shard_size, round_.num_attempts))
        rows = tuple(round_.rows[place // each] for place in places)
        samples = tuple(round_.samples[place % each] for place in places)
        name = shard_name(index, ((ids[row], sample) for row, sample in zip(rows, samples, strict=True)))
        # The first round is named as before there were others, and every name sorts by round.
        yield Cut(name=name if round_.number == 0 else f"r{round_.number:03d}-{name}", rows=rows, samples=samples)
