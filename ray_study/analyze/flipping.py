"""Which items flipped between two checkpoints, of one run or of two, in which ways, and the two attempts that show it.

**What a flip is.** An item is looked at through its samples. Three shares are taken on either side: of its judged samples those with
verdict `correct`; of those asked, those that ended by a stop token; of those that finished and were judged, those with an answer. An item
flips where a share goes up or down. With one sample an item these are the plain flips, right to wrong and so on. With several, an item that
was right in three of four and is right in one of four went from right to wrong by half: the counts before and after stand beside it, and
`noise` says how often two attempts at *one* checkpoint differ already. Right is what the verdict calls so, whatever the benchmark's metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ray_study.analyze.comparisons import Difference, mcnemar_p, paired_difference
from ray_study.analyze.flow import State, transitions
from ray_study.rows import UNJUDGED, GradedAttempt

FlipKind = Literal[
    "right_to_wrong",
    "wrong_to_right",
    "finished_to_unfinished",
    "unfinished_to_finished",
    "answered_to_no_answer",
    "no_answer_to_answered",
]
FLIP_KINDS: tuple[FlipKind, ...] = get_args(FlipKind)

Outcome = Literal["right_to_wrong", "wrong_to_right", "still_right", "still_wrong", "as_often_right", "unjudged", "missing"]
"""What became of an item's being right; each item has one. `still_right`: all of its judged samples, before and after; `still_wrong`: none;
`as_often_right`: the same share between; `unjudged`: no judged sample on one side; `missing`: not asked on one side."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Reason = Literal["first_to_last", "first_to_bottom", "bottom_to_last", "between_datasets", "chosen"]
"""Why two checkpoints are compared. A bottom was chosen on these very items for being low: counts and p-values to and from it flatter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A checkpoint by its run and its step, with what the run is called for people."""

    run: str
    label: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item at two checkpoints, its samples by number."""

    problem_id: str
    outcome: Outcome
    kinds: tuple[FlipKind, ...]
    before: tuple[GradedAttempt, ...]
    after: tuple[GradedAttempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Two checkpoints on one benchmark: all items by id, and what they say together."""

    benchmark: str
    before: RunStep
    after: RunStep
    reason: Reason
    items: tuple[Item, ...]
    difference: Difference
    """After - before in the share right by verdict, paired by item and clustered."""
    p_value: float
    """McNemar's exact test of as many items rising as falling; with several samples an item, the sign test, which is the same. It takes
    items as independent: where they share clusters, `difference` has the p-value to go by."""
    churn: float | None
    """The share of pairs of an attempt before with one after, at the same item, of which one is right and the other is not."""
    noise: float | None
    """The same for two attempts at the same checkpoint, the mean of both sides; None where items were asked once."""
    transitions: Mapping[tuple[State, State], int]
    """In attempts, by sample number."""

    def of_kind(self, kind: FlipKind) -> list[Item]:
        """The items that flipped this way, by id."""
        return [item for item in self.items if kind in item.kinds]

    def counts(self) -> dict[str, int]:
        """How many items have each kind and each outcome. An item may have several kinds; the outcomes add up to all items."""
        found: dict[str, int] = dict.fromkeys((*FLIP_KINDS, *OUTCOMES), 0)
        for item in self.items:
            for name in {*item.kinds, item.outcome}:
                found[name] += 1
        return found


Read = Callable[[GradedAttempt], float | None]


def is_right(attempt: GradedAttempt) -> float | None:
    """1 where the verdict is `correct`, 0 where it is not, None where there is none."""
    return None if attempt.verdict in UNJUDGED else float(attempt.verdict == "correct")


def is_finished(attempt: GradedAttempt) -> float | None:
    """1 where the attempt ended by a stop token, 0 where it was cut, None where it was never asked."""
    return None if attempt.finish_reason == "refused" else float(attempt.finish_reason == "stop")


def is_answered(attempt: GradedAttempt) -> float | None:
    """1 where there was an answer to judge, 0 where there was none though the attempt had finished; otherwise None."""
    return {"correct": 1.0, "wrong": 1.0, "no_answer": 0.0}.get(attempt.verdict)


_QUESTIONS: tuple[tuple[Read, FlipKind, FlipKind], ...] = (
    (is_right, "right_to_wrong", "wrong_to_right"),
    (is_finished, "finished_to_unfinished", "unfinished_to_finished"),
    (is_answered, "answered_to_no_answer", "no_answer_to_answered"),
)


def share(attempts: Sequence[GradedAttempt], read: Read) -> float | None:
    """The mean of what `read` knows of an item's samples; None where it knows of none."""
    known = [value for attempt in attempts if (value := read(attempt)) is not None]
    return math.fsum(known) / len(known) if known else None


def look(problem_id: str, before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Item:
    """An item with its outcome and the ways in which it flipped."""
    kinds: list[FlipKind] = []
    for read, falls, rises in _QUESTIONS:
        first, last = share(before, read), share(after, read)
        if first is not None and last is not None and first != last:
            kinds.append(falls if last < first else rises)
    outcome = _outcome(before, after)
    return Item(problem_id=problem_id, outcome=outcome, kinds=tuple(kinds), before=tuple(before), after=tuple(after))


def _outcome(before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Outcome:
    if not before or not after:
        return "missing"
    first, last = share(before, is_right), share(after, is_right)
    if first is None or last is None:
        return "unjudged"
    if first != last:
        return "right_to_wrong" if last < first else "wrong_to_right"
    return "still_right" if first == 1 else "still_wrong" if first == 0 else "as_often_right"


def attempts_shown(item: Item, kind: FlipKind) -> tuple[GradedAttempt, GradedAttempt]:
    """The two attempts that show a flip: the first samples of one number that differ in its way, or else the first on either side that do.

    ValueError where the item did not flip that way.
    """
    if kind not in item.kinds:
        raise ValueError(f"found {item.kinds or 'no flip'} of item {item.problem_id!r}, expected {kind!r}: ask for one of its own kinds")
    read, falls, _ = next(question for question in _QUESTIONS if kind in question)
    had, has = (1.0, 0.0) if kind == falls else (0.0, 1.0)
    firsts = [attempt for attempt in item.before if read(attempt) == had]
    lasts = {attempt.sample: attempt for attempt in reversed(item.after) if read(attempt) == has}
    # The share moved this way, so either side has an attempt that shows it, if not of one number.
    both = next(((first, lasts[first.sample]) for first in firsts if first.sample in lasts), None)
    return both or (firsts[0], next(attempt for attempt in item.after if read(attempt) == has))


def between(
    benchmark: str,
    before: tuple[RunStep, Sequence[GradedAttempt]],
    after: tuple[RunStep, Sequence[GradedAttempt]],
    reason: Reason = "chosen",
) -> Flips:
    """The flips between two checkpoints, each a side with its attempts at one benchmark."""
    sides = [_by_item(graded) for _, graded in (before, after)]
    items = tuple(look(name, sides[0].get(name, ()), sides[1].get(name, ())) for name in sorted(sides[0].keys() | sides[1].keys()))
    means = [{name: value for name, own in side.items() if (value := share(own, is_right)) is not None} for side in sides]
    cluster_of = {attempt.problem_id: attempt.cluster for graded in (after[1], before[1]) for attempt in graded}
    gained, lost = (sum(item.outcome == outcome for item in items) for outcome in ("wrong_to_right", "right_to_wrong"))
    within = [value for graded in sides if (value := _within(graded)) is not None]
    return Flips(
        benchmark=benchmark,
        before=before[0],
        after=after[0],
        reason=reason,
        items=items,
        difference=paired_difference(means[0], means[1], cluster_of),
        p_value=mcnemar_p(gained, lost),
        churn=_across(means[0], means[1]),
        noise=math.fsum(within) / 2 if len(within) == 2 else None,
        transitions=transitions(before[1], after[1]),
    )


def _by_item(graded: Sequence[GradedAttempt]) -> dict[str, tuple[GradedAttempt, ...]]:
    found: dict[str, list[GradedAttempt]] = {}
    for attempt in graded:
        found.setdefault(attempt.problem_id, []).append(attempt)
    return {name: tuple(sorted(own, key=lambda attempt: attempt.sample)) for name, own in found.items()}


def _across(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """The mean over items of p (1 - q) + q (1 - p): an attempt before and one after, one right and one not."""
    both = before.keys() & after.keys()
    return math.fsum(before[name] * (1 - after[name]) + after[name] * (1 - before[name]) for name in both) / len(both) if both else None


def _within(side: Mapping[str, Sequence[GradedAttempt]]) -> float | None:
    """The mean over items with k >= 2 judged samples, r of them right, of 2 r (k - r) / (k (k - 1)): two of them, one right and one not."""
    judged = [[value for attempt in own if (value := is_right(attempt)) is not None] for own in side.values()]
    shares = [2 * sum(own) * (len(own) - sum(own)) / (len(own) * (len(own) - 1)) for own in judged if len(own) > 1]
    return math.fsum(shares) / len(shares) if shares else None
