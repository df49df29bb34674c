"""Mathematical reasoning: the training domain of the study."""

from __future__ import annotations

from ray_study.benchmarks.definition import PAPER_SAMPLING, Definition, Protocol, ProtocolName

_BOX = "the problem, then on a line of its own the request to reason step by step and box the answer, as in training"
_SPACED_BOX = "as in training, but a space stands between the line break and the request"
_WHOLE = "the authors' code parses the whole text, thinking included; here the last box anywhere counts, else the last number"


def _contest(num_samples: int, note: str = "") -> dict[ProtocolName, Protocol]:
    return {
        "paper": Protocol(
            asks=_SPACED_BOX,
            num_samples=num_samples,
            sampling=PAPER_SAMPLING,
            options={"request": "spaced"},
            reads="whole_text",
            note=f"{_WHOLE}{note}",
        ),
        "standard": Protocol(asks=_BOX, num_samples=num_samples, options={"request": "long"}),
    }


MATH500 = Definition(
    name="math500",
    what="500 problems of MATH's test set",
    source="math500",
    group="in_domain",
    cluster="the subject",
    num_items=500,
    suites=("paper", "offline"),
    protocols=_contest(3),
)
AIME2024 = Definition(
    name="aime2024",
    what="the 30 problems of both AIME of 2024",
    source="aime2024",
    group="in_domain",
    cluster="each problem stands alone",
    num_items=30,
    suites=("paper",),
    protocols=_contest(10),
)
AIME2025 = Definition(
    name="aime2025",
    what="the 30 problems of both AIME of 2025",
    source="aime2025",
    group="in_domain",
    cluster="each problem stands alone",
    num_items=30,
    protocols=_contest(10, "; not in the paper: asked as its AIME 2024"),
)
GSM8K = Definition(
    name="gsm8k",
    what="GSM8K's 1,319 test problems",
    source="gsm8k_test",
    group="in_domain",
    cluster="each problem stands alone",
    num_items=1319,
    protocols={"standard": Protocol(asks=_BOX, note="zero-shot, boxed; the paper has no such benchmark")},
)
COUNTDOWN = Definition(
    name="countdown_held_out",
    what="500 Countdown tasks whose numbers and target no training set of this package may hold",
    source="countdown",
    group="in_domain",
    cluster="each task stands alone",
    num_problems=500,
    seed=20,
    num_items=500,
    options={"split": "heldout"},
    suites=("offline",),
    protocols={"standard": Protocol(asks="the numbers, the target and the request to box an expression")},
)

DEFINITIONS = (MATH500, AIME2024, AIME2025, GSM8K, COUNTDOWN)
