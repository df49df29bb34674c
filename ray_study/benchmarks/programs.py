"""Programs: the out-of-domain reasoning of the study that is checked by running it, in a sandbox."""

from __future__ import annotations

from ray_study.benchmarks.definition import PAPER_SAMPLING, Definition, Protocol

_ASKS = "a role, the task, and the request for one fenced program, in our own words"

LIVECODEBENCH = Definition(
    name="livecodebench_v2",
    what="LiveCodeBench's release_v2: 511 problems of programming contests",
    source="livecodebench",
    options={"ids": "column"},
    group="out_of_domain",
    cluster="the platform's contest",
    num_items=511,
    suites=("paper",),
    protocols={
        "paper": Protocol(
            asks=_ASKS,
            num_samples=3,
            sampling=PAPER_SAMPLING,
            reads="stripped",
            note=(
                "here as in the benchmark's own harness: public and private tests, compared by its rules; the authors' checker compares "
                "results exactly, runs the private tests only, and takes one character where no program is fenced"
            ),
        ),
        "standard": Protocol(asks=_ASKS, num_samples=3),
    },
)
HUMAN_EVAL = Definition(
    name="humaneval",
    what="HumanEval's 164 functions",
    source="humaneval",
    group="out_of_domain",
    cluster="each problem stands alone",
    num_items=164,
    protocols={"standard": Protocol(asks=_ASKS)},
)
MBPP = Definition(
    name="mbpp",
    what="MBPP's 500 test problems",
    source="mbpp",
    group="out_of_domain",
    cluster="each problem stands alone",
    num_items=500,
    protocols={"standard": Protocol(asks=_ASKS)},
)

DEFINITIONS = (LIVECODEBENCH, HUMAN_EVAL, MBPP)
