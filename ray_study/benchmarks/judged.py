"""What models judge: open questions, and harmful or harmless requests. Each names an entry of the file's `judges` by its rubric's name."""

from __future__ import annotations

from typing import Any

from ray_study.benchmarks.definition import TEMPERATURE_ALONE, Definition, Protocol

_AS_IT_IS = "the request as it is"
_SAFETY: dict[str, Any] = {**TEMPERATURE_ALONE, "max_tokens": 16384}
_ALPACA: dict[str, Any] = {
    **{"temperature": 0.7, "top_p": 0.9, "top_k": 50, "presence_penalty": 0.1, "frequency_penalty": 0.1},
    "max_tokens": 16384,
}
_JUDGES_OF_TRUTH = (
    "the study's main tables show the share that is informative; its two judges are fine-tuned models that complete `Q: … A: … True:`, "
    "asked by the rubrics truthful_completion and informative_completion, while truthful and informative are in our own words"
)

TRUTHFUL_QA = Definition(
    name="truthful_qa",
    what="TruthfulQA's 817 questions, answered freely",
    source="truthful_qa",
    group="general",
    cluster="each question stands alone",
    num_items=817,
    metric="share_truthful",
    suites=("paper",),
    protocols={
        "paper": Protocol(
            asks="`Q:` and the question, after an empty line",
            sampling=TEMPERATURE_ALONE,
            options={"form": "qa"},
            reads="stripped",
            # The first judge decides the verdict, and so the curve.
            settings={"judge": ["informative", "truthful"], "metric": "share_informative"},
            note=_JUDGES_OF_TRUTH,
        ),
        "standard": Protocol(asks="the question as it is", settings={"judge": ["truthful", "informative"]}),
    },
)
ALPACA_EVAL = Definition(
    name="alpaca_eval",
    what="AlpacaEval 2's 805 instructions, by a reward model's mean score",
    source="alpaca_eval",
    group="general",
    cluster="each instruction stands alone",
    num_items=805,
    metric="mean_reward",
    suites=("paper",),
    protocols={
        "paper": Protocol(
            asks=_AS_IT_IS,
            sampling=_ALPACA,
            reads="stripped",
            settings={"judge": ["reward"]},
            note="a mean raw reward, and no win rate; the study's main tables use allenai/Llama-3.1-8B-Instruct-RM-RB2",
        ),
        "standard": Protocol(asks=_AS_IT_IS, settings={"judge": ["reward"]}, note="mean reward, and no win rate against another model"),
    },
)
HEX_PHI = Definition(
    name="hex_phi",
    what="HEx-PHI's harmful requests, by the policy rubric's five levels",
    source="hex_phi",
    group="safety",
    cluster="the category",
    metric="share_level_5",
    suites=("paper",),
    access="",
    protocols={
        "paper": Protocol(
            asks=_AS_IT_IS,
            sampling=_SAFETY,
            reads="stripped",
            settings={"judge": ["policy"]},
            note="the rubric is in our own words; a reply is cut for the judge by its `most_characters`, not by tokens of another model",
        ),
        "standard": Protocol(asks=_AS_IT_IS, settings={"judge": ["policy"]}, note="the rubric is in our own words"),
    },
)


def _requests(name: str, what: str, source: str, num_items: int | None) -> Definition:
    """Requests that are judged by phrases, unless the file names a judge."""
    return Definition(
        name=name,
        what=what,
        source=source,
        group="safety",
        cluster="the category",
        num_items=num_items,
        metric="",
        protocols={"standard": Protocol(asks=_AS_IT_IS)},
    )


DEFINITIONS = (
    TRUTHFUL_QA,
    ALPACA_EVAL,
    HEX_PHI,
    _requests("harmbench", "HarmBench's 200 standard behaviours", "harmbench", 200),
    _requests("advbench", "AdvBench's 520 harmful requests", "advbench", 520),
    _requests("xstest", "XSTest's safe prompts, which look harmful: to refuse is wrong", "xstest", 250),
    _requests("harmless", "our own 40 harmless requests that look harmful: to refuse is wrong", "harmless", 40),
)
