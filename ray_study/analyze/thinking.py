"""How long attempts think and how long they answer, by step, with what was cut counted as cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ray_study.analyze.intervals import t_interval
from ray_study.analyze.lengths import median_interval, median_tokens, restricted_mean
from ray_study.analyze.statistics import Estimate, independent_units
from ray_study.rows import GradedAttempt

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The tokens of one attempt's thinking and of its answer."""

    thinking: int
    thinking_ended: bool
    """Whether `</think>` was reached, or there never was any thinking; otherwise `thinking` is a lower bound."""
    answer: int | None
    """None where the thinking never ended, so that no answer began."""
    answer_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthAt:
    """Lengths at one step, in tokens; a median is None where more than half of the attempts were cut before it."""

    step: int
    num_attempts: int
    share_cut: float
    """Of the attempts, those that were cut at their cap."""
    mean: Estimate
    """Restricted to the cap."""
    median: Estimate
    mean_of_cap: float
    """The restricted mean as a share of the largest cap: near 1 the cap is what is measured."""
    thinking: Estimate
    """Restricted mean of the tokens up to `</think>`."""
    answer: Estimate
    """The same of those after it, over the attempts that began an answer."""


def parts_of(attempt: GradedAttempt) -> Parts:
    """The tokens of an attempt's thinking and answer: its tokens divided as its characters are.

    Rows keep one count of tokens and no tokenizer is loaded here. Thinking and answer of one text are in the same language and script, so
    characters a token differ little between them; the sum is exact. Thinking ends at the last `</think>`; without one, an opened `<think>`
    (in the text, or by the prompt) makes all of it thinking, and a text without tags is an answer.
    """
    ended = attempt.finish_reason == "stop"
    before, closed, after = attempt.text.rpartition(CLOSE)
    if closed:
        characters = len(before) + len(CLOSE)
        thinking = round(attempt.num_tokens * characters / (characters + len(after)))
        return Parts(thinking=thinking, thinking_ended=True, answer=attempt.num_tokens - thinking, answer_ended=ended)
    if attempt.thinking_opened or OPEN in attempt.text:
        return Parts(thinking=attempt.num_tokens, thinking_ended=ended, answer=None, answer_ended=False)
    return Parts(thinking=0, thinking_ended=True, answer=attempt.num_tokens, answer_ended=ended)


def lengths_by_step(by_step: Mapping[int, Sequence[GradedAttempt]]) -> list[LengthAt]:
    """The lengths at each step; attempts that were never asked have none, and a step of such attempts alone is left out."""
    found = []
    for step in sorted(by_step):
        asked = [attempt for attempt in by_step[step] if attempt.finish_reason != "refused"]
        if asked:
            found.append(_at(step, asked))
    return found


def _at(step: int, asked: Sequence[GradedAttempt]) -> LengthAt:
    parts = {(each.problem_id, each.sample): parts_of(each) for each in asked}
    began = [each for each in asked if parts[each.problem_id, each.sample].answer is not None]
    whole = _mean(asked, lambda each: (each.num_tokens, each.finish_reason == "stop"))
    tokens, finished = [each.num_tokens for each in asked], [each.finish_reason == "stop" for each in asked]
    low, high = median_interval(tokens, finished)
    num_items = len({each.problem_id for each in asked})
    cap = max(each.cap for each in asked)

    def thinking(each: GradedAttempt) -> tuple[int, bool]:
        found = parts[each.problem_id, each.sample]
        return found.thinking, found.thinking_ended

    def answer(each: GradedAttempt) -> tuple[int, bool]:
        found = parts[each.problem_id, each.sample]
        return found.answer or 0, found.answer_ended

    return LengthAt(
        step=step,
        num_attempts=len(asked),
        share_cut=finished.count(False) / len(asked),
        mean=whole,
        median=Estimate(value=median_tokens(tokens, finished), standard_error=None, low=low, high=high, num_items=num_items),
        # Recorded attempts may know no cap.
        mean_of_cap=(whole.value or 0.0) / cap if cap else 0.0,
        thinking=_mean(asked, thinking),
        answer=_mean(began, answer),
    )


def _mean(asked: Sequence[GradedAttempt], read: Callable[[GradedAttempt], tuple[int, bool]]) -> Estimate:
    """The restricted mean of a length that `read` gives with whether it ended, clustered like every other number."""
    if not asked:
        return Estimate(value=None, standard_error=None, low=None, high=None, num_items=0)
    cluster_of = {each.problem_id: each.cluster for each in asked}
    items = sorted(cluster_of)
    unit_of = dict(zip(items, independent_units(items, [cluster_of[item] for item in items]), strict=True))
    lengths, ended = zip(*(read(each) for each in asked), strict=True)
    cap = max(each.cap for each in asked)
    found = restricted_mean(lengths, ended, cap, [unit_of[each.problem_id] for each in asked])
    error = None if found.variance is None else math.sqrt(found.variance)
    low, high = (None, None) if error is None else t_interval(found.value, error, found.num_units)
    return Estimate(
        value=found.value,
        standard_error=error,
        low=None if low is None else max(0.0, low),
        high=None if high is None else min(float(cap), high),
        num_items=len(items),
    )
