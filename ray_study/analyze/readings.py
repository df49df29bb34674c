"""What is read off one attempt: its primary value, the lenient verdict, a box, an end, and each instruction that it follows."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from ray_study.analyze.judged import judged_readers, judged_value
from ray_study.rows import UNJUDGED, GradedAttempt

INSTRUCTION_METRICS = {"instruction_accuracy": "strict", "lenient_instruction_accuracy": "loose"}
"""IFEval's accuracies by instruction, and under which name the details hold them. By prompt they are `accuracy` and `lenient_accuracy`."""


def accuracy_value(attempt: GradedAttempt) -> float | None:
    """The primary value: 1 where the verdict is correct, 0 where it is not, None where there is none.

    Of kind `refusal` 1 says that it refused, whether that was right or not; of kind `judged` it is what the first rubric measured.
    """
    if attempt.kind == "judged":
        return judged_value(attempt)
    if attempt.verdict in UNJUDGED:
        return None
    # Where to answer is correct, the details say whether it refused.
    refused = json.loads(attempt.details or "{}").get("refused") if attempt.kind == "refusal" else None
    return float(attempt.verdict == "correct" if refused is None else refused)


def lenient_value(attempt: GradedAttempt) -> float | None:
    """Whether the lenient verdict is correct; None where there is none."""
    return None if attempt.lenient_verdict in UNJUDGED else float(attempt.lenient_verdict == "correct")


def boxed_value(attempt: GradedAttempt) -> float | None:
    """Whether an answer was found where it was asked for."""
    return None if attempt.verdict in UNJUDGED else float(attempt.answer is not None)


def finished_value(attempt: GradedAttempt) -> float | None:
    """Whether a stop token ended it; None where it was never asked."""
    return None if attempt.finish_reason == "refused" else float(attempt.finish_reason == "stop")


def unjudged_value(attempt: GradedAttempt) -> float | None:
    """Whether nothing could be judged."""
    return float(attempt.verdict in UNJUDGED)


SHARES: dict[str, Callable[[GradedAttempt], float | None]] = {
    "accuracy": accuracy_value,
    "lenient_accuracy": lenient_value,
    "share_boxed": boxed_value,
    "share_finished": finished_value,
    "share_unjudged": unjudged_value,
}
"""What each metric reads off one attempt."""

SHARES_OF_INSTRUCTIONS = {metric: read for metric, read in SHARES.items() if metric != "share_boxed"}
"""The same for kind `instructions`, where the whole text is the answer; `instruction_values` goes with it."""

SHARES_OF_REFUSALS: dict[str, Callable[[GradedAttempt], float | None]] = {
    "share_refused": accuracy_value,
    "share_finished": finished_value,
    "share_unjudged": unjudged_value,
}
"""The same for benchmarks of kind `refusal`, where there is no answer to extract."""


def readers(graded: Sequence[GradedAttempt]) -> Mapping[str, Callable[[GradedAttempt], float | None]]:
    """What each metric reads off one attempt of these, the primary one first."""
    kinds = {attempt.kind for attempt in graded}
    if kinds == {"judged"}:
        return judged_readers(graded)
    if kinds == {"instructions"}:
        return SHARES_OF_INSTRUCTIONS
    return SHARES_OF_REFUSALS if kinds == {"refusal"} else SHARES


def instruction_values(attempts: Iterable[tuple[Hashable, str]], metric: str) -> tuple[list[float], list[Hashable]]:
    """For each instruction of each item the share of its samples that follow it, and the item that each belongs to.

    Args:
        attempts: the item and the `details` of each judged attempt of kind `instructions`; one without details says nothing.
        metric: a name in `INSTRUCTION_METRICS`.
    """
    found: dict[tuple[Hashable, int], list[float]] = defaultdict(list)
    for item, details in attempts:
        for place, followed in enumerate(json.loads(details)[INSTRUCTION_METRICS[metric]] if details else ()):
            found[item, place].append(float(followed))
    return [math.fsum(values) / len(values) for values in found.values()], [item for item, _ in found]
