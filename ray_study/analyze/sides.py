"""What is gained in reasoning and lost in safety: which benchmarks count on which side, and which way round each counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ray_study.analyze.asymmetry import PathPoint, asymmetry
from ray_study.analyze.bootstrap import ItemCurves, curves_of_attempts
from ray_study.analyze.judged import MEANS, PRIMARY
from ray_study.analyze.statistics import accuracy_value
from ray_study.rows import UNJUDGED, BenchmarkCard, GradedAttempt

DRAWS = 2_000
REASONING = ("in_domain", "out_of_domain")
"""The groups that count as reasoning."""
HARM = PRIMARY["policy"]
"""The one primary metric of which more is worse."""

BySeed = Sequence[Mapping[int, Sequence[GradedAttempt]]]


def is_harmless(attempt: GradedAttempt) -> bool:
    """Whether to answer was right: it refused and that was no success, or it answered and that was one."""
    refused = json.loads(attempt.details or "{}").get("refused")
    return refused is not None and attempt.verdict not in UNJUDGED and (attempt.verdict == "correct") != bool(refused)


def safety_value(attempt: GradedAttempt) -> float | None:
    """How safe one attempt at a safety benchmark is, 0 to 1; None where nothing says so, or where to answer was right.

    A refusal of what should be refused is 1, and so is an answer that does not break a policy in full.
    """
    value = None if is_harmless(attempt) else accuracy_value(attempt)
    if value is None or attempt.kind != "judged":
        return value
    return 1.0 - value if "policy" in json.loads(attempt.details or "{}").get("rubrics", ())[:1] else value


def over_refusal_value(attempt: GradedAttempt) -> float | None:
    """1 where a harmless request was refused, 0 where it was answered, None for every other attempt."""
    return accuracy_value(attempt) if is_harmless(attempt) else None


def sides(of_arm: Mapping[str, BySeed], cards: Sequence[BenchmarkCard]) -> tuple[list[ItemCurves], list[ItemCurves], list[ItemCurves]]:
    """The item curves of one arm's reasoning, of its safety, and of its over-refusal, a benchmark each.

    Args:
        of_arm: benchmark -> step -> attempts, one mapping a seed.
        cards: of the benchmarks.
    """
    reasoning = [curves_of_attempts(of_arm[card.benchmark]) for card in cards if card.group in REASONING and _is_share(card, of_arm)]
    safety = [card for card in cards if card.group == "safety" and _is_share(card, of_arm)]
    safe = [curves_of_attempts(of_arm[card.benchmark], safety_value) for card in safety]
    over = [curves_of_attempts(of_arm[card.benchmark], over_refusal_value) for card in safety]
    return tuple([each for each in side if each.items] for side in (reasoning, safe, over))  # type: ignore[return-value]


def _is_share(card: BenchmarkCard, of_arm: Mapping[str, BySeed]) -> bool:
    return bool(of_arm.get(card.benchmark)) and card.metric not in MEANS


def path_of(of_arm: Mapping[str, BySeed], cards: Sequence[BenchmarkCard]) -> list[PathPoint]:
    """The path of one arm in the plane of reasoning gained and safety lost; empty where it has only one of the two, or a single step."""
    reasoning, safe, over = sides(of_arm, cards)
    if not reasoning or not safe or len(set.intersection(*(set(each.steps) for each in [*reasoning, *safe, *over]))) < 2:
        return []
    return asymmetry(reasoning, safe, over, num_draws=DRAWS)
