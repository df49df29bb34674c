"""Stored attempts as a smaller cap would have left them: their texts cut after so many tokens, and judged as texts that were cut are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from ray_study.chat import Chat
from ray_study.rows import Attempt, GradedAttempt, Reads, Verdict
from ray_study.verify.answers import THINKING_CLOSES

CHARACTERS_A_TOKEN = 8
"""How much of a text is tokenised at first for each token that is kept; more where that was too little."""
END = 512
"""Characters at the end of a part of a text, whose tokens may be others in the whole: more than a token has."""
_FIELDS = tuple(field.name for field in dataclasses.fields(Attempt))

Judge = Callable[[Sequence[Attempt]], list[GradedAttempt]]


def verdicts_when_cut(
    rows: Iterable[GradedAttempt], caps: Sequence[int], chat: Chat, judge: Judge, reads: Reads
) -> dict[tuple[str, int, int], Verdict]:
    """The verdict on each attempt that is longer than a cap, by item, sample and cap; none where it could not have had an answer.

    Args:
        rows: the attempts of one checkpoint at one benchmark.
        caps: in tokens.
        chat: with the tokenizer of what answered.
        judge: grades attempts, as those of the benchmark are graded.
        reads: where that looks for an answer.
    """
    cut: list[Attempt] = []
    for row in rows:
        longer = [cap for cap in caps if row.num_tokens > cap]
        # Where only what follows the thinking is read, thinking without an end has no answer under any cap.
        if not longer or row.finish_reason == "refused" or (reads == "answer" and row.thinking_opened and THINKING_CLOSES not in row.text):
            continue
        attempt = Attempt(**{name: getattr(row, name) for name in _FIELDS})
        cut += [
            dataclasses.replace(attempt, text=cut_text(row.text, cap, chat), num_tokens=cap, cap=cap, finish_reason="length")
            for cap in longer
        ]
    return {(graded.problem_id, graded.sample, graded.cap): graded.verdict for graded in judge(cut)}


def cut_text(text: str, cap: int, chat: Chat) -> str:
    """The first `cap` tokens of a text.

    The text is tokenised anew. A model may have written it in other tokens than the tokenizer chooses, so the cut may lie a few
    characters beside the one that the engine would have made.
    """
    size = cap * CHARACTERS_A_TOKEN + END
    while True:
        ids = chat.ids(text[:size])
        kept = chat.decode(ids[:cap])
        if size >= len(text) or (len(ids) > cap and len(kept) <= size - END):
            break
        size *= 2
    # A character of several tokens may have been cut in two.
    return text if len(ids) <= cap else kept.rstrip("\N{REPLACEMENT CHARACTER}")
