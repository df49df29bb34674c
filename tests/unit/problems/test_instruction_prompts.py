"""Prompts whose instructions a program can check: IFEval's layout, and the composed ones that need no download."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ray_study.problems import load
from ray_study.problems.instructions import GROUPS, INSTRUCTIONS
from ray_study.rows import Problem
from ray_study.verify import check_gold, judge
from ray_study.verify.checkers import registry
from ray_study.verify.instructions import read_instructions


def composed(num: int, seed: int = 0, **options: object) -> list[Problem]:
    return load("instructions", num_problems=num, seed=seed, options=options)


def test_every_checker_can_be_asked_for_and_every_composed_gold_can_be_judged() -> None:
    problems = composed(400)
    check_gold(problems)
    asked = Counter(name for one in problems for name, _ in read_instructions(one.answer))
    assert set(asked) == set(INSTRUCTIONS) == set(registry())
    assert all(judge("instructions", "a text", one.answer).verdict in ("correct", "wrong") for one in problems)


def test_instructions_of_one_prompt_can_be_followed_together() -> None:
    for one in composed(300, most=4):
        groups = [GROUPS[name] for name, _ in read_instructions(one.answer)]
        assert len(groups) == len(set(groups)) <= 4
        assert "whole" not in groups or len(groups) == 1
        assert one.prompt.count("\n- ") == len(groups)
        assert "boxed" not in one.prompt


def test_composed_prompts_are_the_same_each_time_and_never_in_both_splits() -> None:
    assert composed(50) == composed(50)
    assert composed(20) == composed(50)[:20]
    assert not {one.prompt for one in composed(200)} & {one.prompt for one in composed(200, split="heldout")}


def test_what_a_prompt_asks_for_is_what_its_gold_checks() -> None:
    for one in composed(300):
        for name, given in read_instructions(one.answer):
            for value in given.values():
                words = value if isinstance(value, list) else [value]
                spoken = {"de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese"}
                exempt = ("at least", "less than")
                assert all(str(spoken.get(str(word), word)) in one.prompt for word in words if word not in exempt), name


IFEVAL: dict[str, Any] = {
    "key": 1000,
    "prompt": "Write about rain. Use no commas and at least two highlighted parts.",
    "instruction_id_list": ["punctuation:no_comma", "detectable_format:number_highlighted_sections"],
    "kwargs": [{"num_highlights": None, "keywords": None}, {"num_highlights": 2, "keywords": None}],
}


def ifeval(directory: Path, *rows: dict[str, Any], **options: object) -> list[Problem]:
    path = directory / "ifeval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load("ifeval", num_problems=None, seed=0, options={"path": str(path), "ids": "column", **options})


def test_an_ifeval_row_becomes_a_problem_without_its_empty_arguments(tmp_path: Path) -> None:
    (problem,) = ifeval(tmp_path, IFEVAL)
    assert (problem.id, problem.kind, problem.prompt) == ("ifeval-1000", "instructions", IFEVAL["prompt"])
    (asked,) = ifeval(tmp_path, {**IFEVAL, "prompt": "Write about rain.\n"}, form="qa")
    assert (asked.id, asked.prompt) == ("ifeval-1000", "Question: Write about rain.\n\nAnswer:"), "not a character is changed"
    assert json.loads(problem.answer)["kwargs"] == [{}, {"num_highlights": 2}]
    check_gold([problem])
    assert judge("instructions", "It *rains* and *pours*.", problem.answer).verdict == "correct"
    assert judge("instructions", "It *rains*, and *pours*.", problem.answer).verdict == "wrong"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kwargs": [{}]}, "line 1 of .*expected as many objects in column 'kwargs'"),
        ({"kwargs": None}, "line 1 of .*expected as many objects in column 'kwargs'"),
        ({"kwargs": ...}, r"no columns \['kwargs'\]; expected those of google/IFEval"),
    ],
)
def test_an_ifeval_row_that_does_not_fit_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    row = {key: value for key, value in {**IFEVAL, **changed}.items() if value is not ...}
    with pytest.raises(ValueError, match=message):
        ifeval(tmp_path, row)
