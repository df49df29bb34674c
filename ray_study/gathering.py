"""What selection reads of stored verdicts: first all but the texts, then the texts of what was chosen, each time shard by shard.

Neither pass holds more than some thousand texts. Those that are chosen come in the order of the choice, which has nothing to do with
the order in which they are stored: they are sorted through files.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ray_study import tables
from ray_study.rows import GradedAttempt
from ray_study.selection import Arm, Candidate, is_of
from ray_study.transforms import Tokens

BUCKET = 2048
"""Chosen texts that are held and sorted at once."""
BUFFER = 8192
"""Texts that wait in memory to be written to their buckets."""
_FACTS = ("problem_id", "sample", "asked_of", "verdict", "finish_reason", "num_tokens", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """A chosen text, and its place among those that were chosen."""

    rank: int
    text: str


def candidates(directory: str, arm: Arm, tokens: Tokens | None) -> Iterator[Candidate]:
    """The attempts of a directory of `GradedAttempt` shards without their texts.

    Args:
        directory: of the shards.
        arm: only its attempts are counted by `tokens`, since others are never chosen.
        tokens: counts responses in the teacher's place; None leaves the teacher's counts.
    """
    for shard in tables.names(directory):
        for problem_id, sample, asked_of, verdict, finish_reason, num_tokens, text in tables.columns(
            f"{directory}/{shard}.parquet", GradedAttempt, _FACTS
        ):
            found = Candidate(
                problem_id=problem_id,
                sample=sample,
                asked_of=asked_of,
                verdict=verdict,
                finish_reason=finish_reason,
                num_tokens=num_tokens,
                num_characters=len(text) if text.strip() else 0,
                mark=_mark(text),
                shard=shard,
            )
            yield replace(found, num_tokens=tokens.count(text)) if tokens and is_of(arm, found) else found


def texts_in_order(directory: str, chosen: Sequence[Candidate], scratch: str) -> Iterator[str]:
    """The texts of the chosen attempts in the order given.

    Args:
        directory: of the `GradedAttempt` shards.
        chosen: all of them in that directory.
        scratch: a directory of its own for as long as the texts are read; nothing is written where there are few.
    """
    if len(chosen) <= BUCKET:
        yield from (text for _, text in sorted(_fetch(directory, chosen)))
        return
    try:
        num_buckets = _spill(_fetch(directory, chosen), scratch)
        for bucket in range(num_buckets):
            rows = tables.read(f"{scratch}/{bucket:06d}", _Fetched)
            yield from (row.text for row in sorted(rows, key=lambda row: row.rank))
    finally:
        tables.delete(scratch)


def _spill(fetched: Iterator[tuple[int, str]], scratch: str) -> int:
    """How many buckets there are, once every text is in the file of its bucket."""
    waiting: dict[int, list[_Fetched]] = defaultdict(list)
    num_waiting, piece, last = 0, 0, 0
    for rank, text in fetched:
        waiting[rank // BUCKET].append(_Fetched(rank=rank, text=text))
        last = max(last, rank // BUCKET)
        num_waiting += 1
        if num_waiting == BUFFER:
            _flush(waiting, scratch, piece)
            num_waiting, piece = 0, piece + 1
    _flush(waiting, scratch, piece)
    return last + 1


def _flush(waiting: dict[int, list[_Fetched]], scratch: str, piece: int) -> None:
    for bucket, rows in waiting.items():
        tables.write(rows, f"{scratch}/{bucket:06d}/{piece:06d}.parquet", _Fetched)
    waiting.clear()


def _fetch(directory: str, chosen: Sequence[Candidate]) -> Iterator[tuple[int, str]]:
    """The place and the text of each chosen attempt, in the order of the shards."""
    by_shard: dict[str, dict[tuple[str, int, str, bytes], int]] = defaultdict(dict)
    for rank, row in enumerate(chosen):
        by_shard[row.shard][row.problem_id, row.sample, row.asked_of, row.mark] = rank
    for shard, wanted in sorted(by_shard.items()):
        # A text is hashed only where it may be one of them.
        problems = {problem_id for problem_id, *_ in wanted}
        for problem_id, sample, asked_of, text in tables.columns(
            f"{directory}/{shard}.parquet", GradedAttempt, ("problem_id", "sample", "asked_of", "text")
        ):
            key = (problem_id, sample, asked_of, _mark(text)) if problem_id in problems else None
            if key in wanted:
                # Taken out, so that an equal attempt is not taken twice.
                yield wanted.pop(key), text
        assert not wanted, f"{directory}/{shard}.parquet changed while it was read"


def _mark(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
