"""Instruction following, by programs that check it: a prompt counts when all its instructions are followed; leniently, in some variant."""

from __future__ import annotations

from ray_study.benchmarks.definition import TEMPERATURE_ALONE, Definition, Protocol

NUM_COMPOSED = 200

_FOUR = (
    "accuracy is strict and by prompt, lenient_accuracy loose and by prompt, instruction_accuracy and lenient_instruction_accuracy the "
    "same by instruction"
)

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
            asks="the prompt between `Question:` and `Answer:`",
            sampling=TEMPERATURE_ALONE,
            options={"form": "qa"},
            reads="stripped",
            note=f"which of the four accuracies the study reports is not known; {_FOUR}",
        ),
        "standard": Protocol(asks="the prompt as it is", note=_FOUR),
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
IFBENCH = Definition(
    name="ifbench",
    what="IFBench's prompts, with instructions of other kinds than IFEval's: the 275 of 294 that can be checked from wheels alone",
    source="ifbench",
    group="general",
    cluster="each prompt stands alone",
    num_items=275,
    protocols={"standard": Protocol(asks="the prompt as it is", note=_FOUR)},
)

DEFINITIONS = (IFEVAL, COMPOSED, IFBENCH)
