"""Rounds and shards, from ids and counts alone."""

from __future__ import annotations

import pytest

from ray_study.generate import Rule, cuts
from ray_study.generate.progress import Meter, duration
from ray_study.generate.tally import Fact, Tally
from ray_study.rows import FinishReason, Verdict

IDS = ["a", "b", "c"]
RULE = Rule(num_attempts=4, until_correct=1, at_most=10)


def fact(problem: str, verdict: Verdict, *, finish_reason: FinishReason = "stop", num_tokens: int = 10, sample: int = 0) -> Fact:
    return Fact(
        problem_id=problem, sample=sample, num_tokens=num_tokens, finish_reason=finish_reason, verdict=verdict, conditions="{}"
    )  # fmt: skip


def test_a_teacher_without_a_goal_asks_one_round() -> None:
    rule = Rule(num_attempts=3)
    first = rule.next(0, IDS, {}, frozenset())
    assert first is not None
    assert (list(first.rows), list(first.samples)) == ([0, 1, 2], [0, 1, 2])
    assert rule.next(1, IDS, {}, frozenset()) is None


def test_rounds_go_on_with_the_next_samples_of_whoever_lacks_a_correct_attempt() -> None:
    second = RULE.next(1, IDS, {"b": 2}, frozenset({"c"}))
    assert second is not None
    assert (list(second.rows), list(second.samples)) == ([0], [4, 5, 6, 7])


def test_the_last_round_asks_no_more_than_at_most() -> None:
    third = RULE.next(2, IDS, {}, frozenset())
    assert third is not None
    assert list(third.samples) == [8, 9]
    assert RULE.next(3, IDS, {}, frozenset()) is None
    assert RULE.most_rounds == 3


def test_nobody_is_asked_when_all_have_enough() -> None:
    assert RULE.next(1, IDS, {"a": 1, "b": 1, "c": 3}, frozenset()) is None
    assert RULE.next(0, [], {}, frozenset()) is None


@pytest.mark.parametrize("shard_size", [1, 2, 5, 100])
def test_a_round_is_cut_into_all_of_its_attempts_once(shard_size: int) -> None:
    round_ = RULE.next(0, IDS, {}, frozenset())
    assert round_ is not None
    made = list(cuts(round_, IDS, shard_size=shard_size))
    pairs = [pair for cut in made for pair in zip(cut.rows, cut.samples, strict=True)]
    assert pairs == [(row, sample) for row in range(3) for sample in range(4)]
    assert all(len(cut.rows) <= shard_size for cut in made)
    assert len({cut.name for cut in made}) == len(made)


def test_later_rounds_have_names_of_their_own_that_sort_behind() -> None:
    rounds = [RULE.next(number, IDS, {}, frozenset()) for number in range(3)]
    names = [cut.name for round_ in rounds if round_ for cut in cuts(round_, IDS, shard_size=5)]
    assert names == sorted(set(names))


def test_a_correct_attempt_counts_towards_enough_only_if_it_stopped_by_itself() -> None:
    tally = Tally()
    tally.add([fact("a", "correct"), fact("b", "correct", finish_reason="length"), fact("c", "error", finish_reason="refused")])
    assert dict(tally.num_good) == {"a": 1}
    assert tally.refused == {"c"}
    assert (tally.num_attempts, tally.num_refused, tally.num_tokens) == (3, 1, 30)


def test_the_share_correct_leaves_out_what_nobody_could_judge() -> None:
    tally = Tally()
    assert tally.share_correct is None
    tally.add([fact("a", "timeout")])
    assert tally.share_correct is None, "unknown is not a zero"
    tally.add([fact("a", "correct"), fact("b", "wrong"), fact("c", "no_answer"), fact("c", "unfinished")])
    assert tally.share_correct == 0.25


def test_progress_says_attempts_tokens_per_second_share_correct_and_time_left() -> None:
    said: list[str] = []
    now = [100.0]
    tally = Tally()
    meter = Meter(said.append, tally, clock=lambda: now[0])
    meter.begin("attempts of t at p", 4)
    tally.add([fact("a", "correct", num_tokens=500), fact("b", "wrong", num_tokens=500)])
    meter.step()
    assert said == [], "not at every shard"
    now[0] += 20
    meter.step()
    assert said == ["attempts of t at p: 2 of 4 attempts, 50 tokens/s, 50% correct so far, 20 s left"]
    tally.add([fact("c", "correct"), fact("c", "correct")])
    meter.step()
    assert said[-1] == "attempts of t at p: 4 of 4 attempts, 51 tokens/s, 75% correct so far"


def test_a_length_of_time_is_said_in_a_unit_for_people() -> None:
    assert [duration(seconds) for seconds in (40, 600, 36000)] == ["40 s", "10 min", "10.0 h"]
