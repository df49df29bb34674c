"""Instruction following, by IFEval's 25 checkers: a prompt counts when every instruction of it is followed; leniently, in some variant."""

from __future__ import annotations

from ray_study.benchmarks.definition import PAPER_SAMPLING, Definition, Protocol

NUM_COMPOSED = 200

IFEVAL = Definition(
    name="ifeval",
    what="IFEval's 541 prompts with checkable instructions",
    source="ifeval",
    options={"ids": "column"},
    group="general",
    cluster="each prompt stands alone",
    num_items=541,
    suites=("paper",),
    protocols={
        "paper": Protocol(
            asks="the prompt as it is; the authors' code puts it between `Question:` and `Answer:`, which is not done here",
            sampling=PAPER_SAMPLING,
            reads="stripped",
            note="which of the four accuracies the study reports is not known: strict by prompt here, loose as the lenient one",
        ),
        "standard": Protocol(asks="the prompt as it is"),
    },
)
COMPOSED = Definition(
    name="composed_instructions",
    what="prompts composed of instructions that IFEval's checkers know",
    source="instructions",
    options={"most": 3, "split": "heldout"},
    group="general",
    cluster="each prompt stands alone",
    num_problems=NUM_COMPOSED,
    protocols={"standard": Protocol(asks="a small task, then up to three instructions")},
)

DEFINITIONS = (IFEVAL, COMPOSED)
