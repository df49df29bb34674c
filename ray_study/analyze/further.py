"""Further scores of a checkpoint at a benchmark, beside those of `statistics.summarize`: of several samples, of thinking and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ray_study.analyze.shares import at_k
from ray_study.analyze.statistics import Estimate
from ray_study.analyze.thinking import CLOSE, OPEN, lengths_by_step
from ray_study.rows import UNJUDGED, GradedAttempt, Group, Score

_ONE_ANSWER_IS_NOT_RIGHT = ("refusal", "judged")
"""Kinds of which a sample is not right or wrong."""


def further_scores(graded: Sequence[GradedAttempt], *, run: str, step: int, benchmark: str, group: Group, num_samples: int) -> list[Score]:
    """`pass_at_K`, `pass_all_K` and `maj_at_K` for K samples an item where K is 2 or more, `thinking_tokens` and `answer_tokens`.

    The first three are `shares.at_k`, over the items all of whose samples could be judged; there are none where no item is so, and none of
    refusals and of what judges measure. The lengths are `thinking.LengthAt`'s, where any attempt thinks; `num_items` of the answer's are
    the items with an attempt that began one.
    """
    found: dict[str, Estimate] = {}
    judged = [attempt for attempt in graded if attempt.verdict not in UNJUDGED]
    if num_samples > 1 and judged and judged[0].kind not in _ONE_ANSWER_IS_NOT_RIGHT:
        found |= _of_several(judged, num_samples)
    if any(attempt.thinking_opened or OPEN in attempt.text or CLOSE in attempt.text for attempt in graded):
        found |= {
            name: estimate
            for length in lengths_by_step({step: graded})
            for name, estimate in (("thinking_tokens", length.thinking), ("answer_tokens", length.answer))
        }
    unjudged = len(graded) - len(judged)
    return [
        Score(run=run, step=step, benchmark=benchmark, group=group, metric=name, num_unjudged=unjudged, **asdict(estimate))
        for name, estimate in found.items()
    ]


def _of_several(judged: Sequence[GradedAttempt], k: int) -> dict[str, Estimate]:
    try:
        found = at_k(judged, k)
    except ValueError:
        # Of every item a sample could not be judged: there is no such number.
        return {}
    # Names that a tracking store takes: no `@`, no `^`.
    return dict(zip((f"pass_at_{k}", f"pass_all_{k}", f"maj_at_{k}"), found.values(), strict=True))
