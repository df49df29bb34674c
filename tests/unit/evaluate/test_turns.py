"""What is kept of how a checkpoint was answered for, and an attempt that never ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest
from sitting import Open, replies

from ray_study.chat import Chat
from ray_study.evaluate.turns import in_words
from ray_study.rows import Attempt, GradedAttempt
from ray_study.serving import PoolUnavailable, Reply, Request, Turn
from ray_study.store import Result

SWAPPED = Turn(drained_seconds=2.5, loaded_seconds=0.25, attested_seconds=0.125, num_starts=0)


def answers_of(result: Result | None, bench_store: object) -> Result:
    assert result is not None
    found = bench_store.recall("answers", result.record["inputs"]["attempts"])  # type: ignore[attr-defined]
    assert found is not None
    return found  # type: ignore[no-any-return]


def test_an_answers_record_says_how_it_was_asked_and_what_its_checkpoint_waited_for(open_bench: Open) -> None:
    bench = open_bench()

    def swapped_for_the_first(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        found = replies(checkpoint, requests)
        return [replace(reply, turn=SWAPPED, seconds=1.5, logprob=-3.25) for reply in found] if bench.engines.num_asked == 1 else found

    bench.engines.answer = swapped_for_the_first
    cells = bench.score(2)
    sums, more = (answers_of(cells[name].verdicts, bench.lab.store) for name in ("sums", "more"))
    chat = Chat(bench.checkpoints[2].path)
    for record in (sums.record, more.record):
        assert record["sampling"]["max_tokens"] == 32
        assert (record["stop_ids"], record["template_hash"]) == (list(chat.stop_ids), chat.template_hash)
    assert (sums.record["turns"], more.record["turns"]) == ([asdict(SWAPPED)], [])
    rows = sums.rows(Attempt)
    assert [(row.seconds, row.logprob) for row in rows] == [(1.5, -3.25)] * 4 + [(0.0, None)] * 4
    assert cells["sums"].verdicts is not None
    assert cells["sums"].verdicts.rows(GradedAttempt)[0].logprob == -3.25


def test_what_a_checkpoint_waited_for_survives_a_driver_that_is_killed(open_bench: Open) -> None:
    bench = open_bench()

    def only_the_first(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        if bench.engines.num_asked > 1:
            raise PoolUnavailable("killed")
        return [replace(reply, turn=SWAPPED) for reply in replies(checkpoint, requests)]

    bench.engines.answer = only_the_first
    assert "killed" in bench.score(2)["sums"].why
    bench.engines.answer = replies
    sums = answers_of(bench.score(2)["sums"].verdicts, bench.lab.store)
    assert sums.record["turns"] == [asdict(SWAPPED)]


def test_an_attempt_of_32k_tokens_without_end_is_unfinished_and_its_shard_survives(open_bench: Open) -> None:
    bench = open_bench()

    def first_never_ends(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        first, *others = replies(checkpoint, requests)
        return [replace(first, text="<think>" + "again and " * 32768, num_tokens=32768, finish_reason="length"), *others]

    bench.engines.answer = first_never_ends
    result = bench.score(8)["sums"].verdicts
    assert result is not None
    rows = result.rows(GradedAttempt)
    endless = [row for row in rows if row.num_tokens == 32768]
    assert [row.verdict for row in endless] == ["unfinished"] * 2
    assert len(rows) == 8
    assert not {row.verdict for row in rows if row not in endless} & {"unfinished", "timeout", "error"}


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        ([SWAPPED], "loaded once: 2.5 s until others were answered, 0.2 s to load, 0.1 s to attest"),
        (
            [SWAPPED, replace(SWAPPED, num_starts=1)],
            "loaded 2 times: 5.0 s until others were answered, 0.5 s to load, 0.2 s to attest, engines started anew: 1",
        ),
    ],
)
def test_loads_are_told_in_a_sentence(turns: list[Turn], sentence: str) -> None:
    assert in_words(turns) == sentence
