"""IFBench's checkers, run out of their wheel, judge as the wheel's own evaluation does, and nothing is fetched for them."""

from __future__ import annotations

import json
import sys

import pytest

from ray_study import assets
from ray_study.problems.instruction_sets import NEED_DATA, ifbench
from ray_study.verify import check_gold, judge
from ray_study.verify.ifbench import ASSET, FAMILIES, is_ifbench, registry
from ray_study.verify.instructions import read_instructions

CASES: list[tuple[str, dict[str, object], str, str]] = [
    ("count:numbers", {"N": 2}, "There are 2 of 3.", "There are 2."),
    ("format:emoji", {}, "Good day 😀", "Good day."),
    ("count:conjunctions", {"small_n": 2}, "One and two, but not three.", "One and two."),
    ("format:no_whitespace", {}, "Oneword", "Two words"),
    ("words:prime_lengths", {}, "to the sea", "to this sea"),
    ("repeat:repeat_span", {"prompt_to_repeat": "say it once", "n_start": 1, "n_end": 3}, "It once", "say it"),
]


@pytest.mark.parametrize(
    ("name", "given", "follows", "strays"), CASES, ids=lambda part: part if isinstance(part, str) and ":" in part else ""
)
def test_a_checker_tells_an_answer_that_follows_from_one_that_does_not(
    name: str, given: dict[str, object], follows: str, strays: str
) -> None:
    gold = json.dumps({"instructions": [name], "kwargs": [given]})
    assert judge("instructions", follows, gold).verdict == "correct"
    assert judge("instructions", strays, gold).verdict == "wrong"


def test_every_prompt_that_is_asked_can_be_judged_and_the_others_are_counted() -> None:
    problems, dropped = ifbench(assets.fetch(ASSET))
    assert (len(problems), sum(dropped.values())) == (275, 19)
    check_gold(problems)
    names = {name for problem in problems for name, _ in read_instructions(problem.answer)}
    assert {name for name in registry() if name in names} == names
    assert not names & set(NEED_DATA)
    assert {name.partition(":")[0] for name in registry()} == FAMILIES
    assert not is_ifbench("keywords:existence")


def test_the_verdicts_on_the_wheels_own_sample_answers_are_those_of_its_own_evaluation() -> None:
    registry()
    theirs = sys.modules["ifbench.instructions_registry"]
    said = {row["prompt"]: row["response"] for row in map(json.loads, assets.read(ASSET, "ifbench/data/sample_output.jsonl").splitlines())}
    problems, _ = ifbench(assets.fetch(ASSET))
    compared = 0
    for problem in problems[::6]:
        text = str(said.get(problem.prompt, ""))
        if not text.strip() or len(text) > 7000:
            continue
        expected = []
        for name, given in read_instructions(problem.answer):
            checker = theirs.INSTRUCTION_DICT[name](name)
            checker.build_description(**given)
            expected.append(bool(checker.check_following(text)))
        assert json.loads(judge("instructions", text, problem.answer).details)["strict"] == expected, problem.id
        compared += 1
    assert compared > 20


def test_nothing_of_what_stood_in_for_a_library_stays_behind() -> None:
    registry()
    assert "spacy" not in sys.modules
    assert type(sys.modules["nltk"]).__name__ == "module"
    assert sys.modules["ifbench.instructions"].nltk.download("punkt_tab") is True, "NLTK's own would have asked the network"
