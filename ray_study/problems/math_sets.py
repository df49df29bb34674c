r"""Published sets of mathematics: OpenR1-Math-220k, NuminaMath-1.5, LUFFY's DeepSeek-R1 traces, and MATH's and GSM8K's training sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ray_study.problems.formats import last_box
from ray_study.problems.sets import Dropped, Item, PublishedSet, SetOptions
from ray_study.problems.turns import last_turn

NOT_ANSWERS = {"proof": "a proof", "notfound": "no answer was found in its solution"}
"""What NuminaMath writes in place of an answer."""


def text(value: object) -> str:
    """A cell as text; empty where there is none."""
    return "" if value is None else str(value).strip()


def worked(answer: str) -> tuple[str, str]:
    r"""Gold and a solution that ends in its box, of a GSM8K answer (`working #### gold`); calculator notes are taken out.

    Raises:
        ValueError: the text has no `####`.
    """
    working, marked, gold = answer.rpartition("####")
    if not marked:
        raise ValueError(f"expected '####' before the answer, found {answer[-80:]!r}")
    gold = gold.strip().replace(",", "")
    reasoning = re.sub(r"<<.*?>>", "", working).strip()
    return gold, f"{reasoning}\nThe answer is \\boxed{{{gold}}}." if gold else ""


def _openr1(row: Mapping[str, Any], options: SetOptions) -> Item:
    return Item(
        question=text(row["problem"]),
        answer=text(row["answer"]),
        solution=text(row["solution"]),
        cluster=text(row["problem_type"]),
        name=text(row["uuid"]),
    )


def _numina(row: Mapping[str, Any], options: SetOptions) -> Item | Dropped:
    answer = text(row["answer"])
    if text(row["question_type"]).lower() == "proof":
        return Dropped(NOT_ANSWERS["proof"])
    for column in ("problem_is_valid", "solution_is_valid"):
        if text(row[column]).lower() not in ("yes", "true"):
            return Dropped(f"{column} is {text(row[column]) or 'empty'}")
    if answer.lower() in NOT_ANSWERS or not answer:
        return Dropped(NOT_ANSWERS.get(answer.lower(), "no answer"))
    return Item(question=text(row["problem"]), answer=answer, solution=text(row["solution"]), cluster=text(row["problem_type"]))


def _luffy(row: Mapping[str, Any], options: SetOptions) -> Item:
    question, trace = last_turn(row["prompt"], "user"), last_turn(row["target"], "assistant")
    if question is None or trace is None:
        raise ValueError("expected turns with a user's in column 'prompt' and an assistant's in column 'target'")
    rule = row["reward_model"]
    if not isinstance(rule, Mapping) or "ground_truth" not in rule:
        raise ValueError(f"expected a 'ground_truth' inside column 'reward_model', found {str(rule)[:80]}")
    extra = row["extra_info"]
    name = text(extra.get("index")) if isinstance(extra, Mapping) else ""
    return Item(question=question, answer=text(rule["ground_truth"]), solution=trace, name=name)


def _math(row: Mapping[str, Any], options: SetOptions) -> Item:
    solution = text(row["solution"])
    return Item(question=text(row["problem"]), answer=text(last_box(solution)), solution=solution, cluster=text(row["type"]))


def _gsm8k(row: Mapping[str, Any], options: SetOptions) -> Item:
    answer, solution = worked(text(row["answer"]))
    return Item(question=text(row["question"]), answer=answer, solution=solution, kind="number")


OPENR1_MATH = PublishedSet(
    name="open-r1/OpenR1-Math-220k",
    subsets=("default",),
    columns=("problem", "answer", "solution", "source", "problem_type", "question_type", "uuid"),
    read=_openr1,
    licence="Apache-2.0 by its card; its problems are NuminaMath-1.5's",
    has_solutions=True,
    has_ids=True,
)
NUMINA_MATH = PublishedSet(
    name="AI-MO/NuminaMath-1.5",
    columns=(
        *("problem", "solution", "answer", "problem_type", "question_type", "source"),
        *("problem_is_valid", "solution_is_valid", "synthetic"),
    ),
    read=_numina,
    licence="Apache-2.0 by its card; the problems come from contests and forums",
    has_solutions=True,
)
LUFFY_R1 = PublishedSet(
    name="Elliott/Openr1-Math-46k-8192",
    columns=("prompt", "target", "reward_model", "data_source", "extra_info"),
    read=_luffy,
    licence="not known: see its card; its problems and DeepSeek-R1 traces are OpenR1-Math-220k's (Apache-2.0)",
    has_solutions=True,
    has_ids=True,
)
MATH_TRAIN = PublishedSet(
    name="EleutherAI/hendrycks_math",
    subsets=(
        *("algebra", "counting_and_probability", "geometry", "intermediate_algebra"),
        *("number_theory", "prealgebra", "precalculus"),
    ),
    columns=("problem", "solution", "type"),
    read=_math,
    licence="MIT (MATH)",
    has_solutions=True,
)
GSM8K_TRAIN = PublishedSet(
    name="openai/gsm8k",
    subsets=("main",),
    columns=("question", "answer"),
    read=_gsm8k,
    kinds=("number",),
    licence="MIT (GSM8K)",
    has_solutions=True,
)
