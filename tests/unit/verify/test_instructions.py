"""Each of IFEval's 25 checkers on an answer that follows its instruction and on one that does not, and how verdicts come of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from ray_study.rows import Attempt, Problem
from ray_study.verify import check_gold, checkers, grade, judge, judge_lenient
from ray_study.verify.checkers import LONG_CHARACTERS, loosened, registry
from ray_study.verify.punkt import tables

ENGLISH = "the river runs past the old bridge and nobody in the village knows where it ends"

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["river", "stone"]}, "A stone in the river.", "A stone in the sea."),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"}, "Tea, then tea.", "Tea, then milk."),
    ("keywords:forbidden_words", {"forbidden_words": ["cloud"]}, "A clear sky.", "A cloud."),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, "zigzag", "zero"),
    ("language:response_language", {"language": "de"}, "Der Fluss ist sehr alt und niemand kennt seine Quelle.", ENGLISH),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Dr. Who is two.", "One. Two. Three."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n***\nTwo.\n***\nThree."),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"}, "one two three four", "one two three"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First this.\n\nThen that.",
        "First this.\n\nAnd that.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name] of [town]", "Dear [name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. Again.", "Bye."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two", "* one\n* two\n* three"),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and *two*", "*one* and two"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "Section 1\na",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<A title>>\nText.", "A title\nText."),
    ("combination:two_responses", {}, "One.\n******\nTwo.", "One.\n******\nOne."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. It.", "It."),
    ("startend:end_checker", {"end_phrase": "That is all."}, "Text. That is all.", "That is all. Text."),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "VERY GOOD.", "VERY good."),
    ("change_case:english_capital", {}, ENGLISH.upper(), ENGLISH),
    ("change_case:english_lowercase", {}, ENGLISH, ENGLISH.title()),
    ("punctuation:no_comma", {}, "One and two.", "One, two."),
    ("startend:quotation", {}, '"All of it."', "None of it."),
]


def gold(*instructions: tuple[str, dict[str, Any]]) -> str:
    return json.dumps({"instructions": [name for name, _ in instructions], "kwargs": [given for _, given in instructions]})


@pytest.mark.parametrize(("name", "given", "follows", "breaks"), CASES, ids=[case[0] for case in CASES])
def test_each_checker_tells_an_answer_that_follows_from_one_that_does_not(
    name: str, given: dict[str, Any], follows: str, breaks: str
) -> None:
    wanted = gold((name, given))
    assert judge("instructions", follows, wanted).verdict == "correct"
    found = judge("instructions", breaks, wanted)
    assert found.verdict == "wrong"
    assert found.explanation == f"does not follow {name}"


def test_there_is_a_case_for_each_checker() -> None:
    assert sorted(case[0] for case in CASES) == sorted(registry())
    assert len(CASES) == 25


def test_all_instructions_must_be_followed_and_each_is_kept() -> None:
    wanted = gold(("punctuation:no_comma", {}), ("detectable_format:title", {}), ("keywords:existence", {"keywords": ["tea"]}))
    found = judge("instructions", "<think>no, no</think><<Tea>>\nOne, two.", wanted)
    assert found.verdict == "wrong"
    assert json.loads(found.details) == {
        "instructions": ["punctuation:no_comma", "detectable_format:title", "keywords:existence"],
        "loose": [True, True, True],
        "strict": [False, True, True],
    }
    assert judge_lenient("instructions", "<<Tea>>\nOne, two.", wanted).verdict == "correct"


def test_the_loose_variants_are_those_of_the_benchmark() -> None:
    assert list(loosened("*a*\nb\nc*")) == ["*a*\nb\nc*", "a\nb\nc", "b\nc*", "b\nc", "*a*\nb", "a\nb", "b", "b"]


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("Sure, here it is:\nOne and two.", "wrong", "correct"),
        ("One and two.\nI hope, it helps.", "wrong", "correct"),
        ("So, listen:\nOne and two.\nWell, well.", "wrong", "correct"),
        ("So, listen:\nOne, two.\nWell, well.", "wrong", "wrong"),
    ],
)
def test_loosely_the_first_and_last_line_do_not_count(text: str, strict: str, lenient: str) -> None:
    wanted = gold(("punctuation:no_comma", {}))
    assert judge("instructions", text, wanted).verdict == strict
    assert judge_lenient("instructions", text, wanted).verdict == lenient


def test_graded_attempts_have_the_loose_verdict_beside_the_strict_one() -> None:
    problem = Problem(
        id="p", source="s", kind="instructions", prompt="?", answer=gold(("punctuation:no_comma", {})), cluster="p", solution=""
    )
    texts = ["One.", "Sure, so:\nOne.", "One, two.", "", "<think>open"]
    graded = grade([Attempt.of_text("p", text, sample=number) for number, text in enumerate(texts)], {"p": problem})
    assert [(row.verdict, row.lenient_verdict) for row in graded] == [
        ("correct", "correct"),
        ("wrong", "correct"),
        ("wrong", "wrong"),
        ("no_answer", "no_answer"),
        ("unfinished", "unfinished"),
    ]
    assert json.loads(graded[1].details)["loose"] == [True]


def test_falsy_arguments_are_dropped() -> None:
    wanted = gold(
        ("punctuation:no_comma", {"num_words": None, "keywords": []}), ("length_constraints:number_words", {"num_words": 2, "x": 0})
    )
    assert judge("instructions", "one two", wanted).verdict in ("correct", "wrong")


def test_what_is_not_given_is_drawn_the_same_each_time_and_moves_nobody_elses_draws() -> None:
    wanted = gold(("keywords:letter_frequency", {}))
    random.seed(7)
    first = [random.random() for _ in range(2)]
    random.seed(7)
    drawn = [random.random()]
    verdicts = {judge("instructions", ENGLISH, wanted).verdict for _ in range(20)}
    drawn.append(random.random())
    assert len(verdicts) == 1
    assert drawn == first


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("", "expected as many names as kwargs"),
        (json.dumps({"instructions": ["punctuation:no_comma"], "kwargs": []}), "expected as many names as kwargs"),
        (json.dumps({"instructions": ["punctuation:no_comma"], "kwargs": [1]}), "expected texts and objects"),
        (gold(("keywords:colours", {"N": 3})), "no checker for instruction 'keywords:colours'"),
        (gold(("punctuation:no_comma", {"num_words": 3})), "cannot be checked with {'num_words': 3}"),
    ],
)
def test_a_gold_without_checkers_is_found_before_anything_is_asked(wanted: str, message: str) -> None:
    problem = Problem(id="p", source="s", kind="instructions", prompt="?", answer=wanted, cluster="p", solution="")
    with pytest.raises(ValueError, match="1 gold answers cannot be judged against") as caught:
        check_gold([problem])
    assert message in str(caught.value)
    assert judge("instructions", "text", wanted).verdict == "error"


def test_json_that_nests_without_end_is_no_json() -> None:
    assert judge("instructions", "[" * 7000, gold(("detectable_format:json_format", {}))).verdict == "wrong"


def test_a_long_text_is_checked_in_a_process_that_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = gold(("detectable_format:title", {}))
    assert judge("instructions", "<<A title>>\n" + "word " * LONG_CHARACTERS, wanted).verdict == "correct"
    monkeypatch.setattr(checkers, "_START_SECONDS", 0.0)
    began = time.monotonic()
    found = judge("instructions", "<" * 2_000_000, wanted, timeout_seconds=1)
    assert found.verdict == "timeout"
    assert time.monotonic() - began < 20


def test_without_the_libraries_the_extra_is_named() -> None:
    program = (
        "import sys\nfor name in ('lm_eval', 'langdetect'):\n    sys.modules[name] = None\n"
        "import importlib.util\nfound = importlib.util.find_spec\n"
        "from ray_study import verify\nprint(verify.missing(['instructions', 'math']))\n"
    )
    hidden = "class Hidden:\n    def find_spec(self, name, path, target=None):\n        return None\n"
    done = subprocess.run([sys.executable, "-c", hidden + program], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert "install the extra `ifeval`" in done.stdout, done.stderr


def test_a_wheel_without_the_tables_is_refused() -> None:
    whole = "ABBREV_TYPES = frozenset(('dr',))\nSENT_STARTERS = frozenset(('the',))\nCOLLOCATIONS = frozenset((('a', 'b'),))\n"
    assert tables(whole + "ORTHO_CONTEXT = {'a': 3}\n") == {
        "abbrev_types.txt": "dr",
        "sent_starters.txt": "the",
        "collocations.tab": "a\tb",
        "ortho_context.tab": "a\t3",
    }
    with pytest.raises(ValueError, match=r"holds no \['ORTHO_CONTEXT'\]"):
        tables(whole)
    with pytest.raises(ValueError, match=r"holds no \['ORTHO_CONTEXT'\]"):
        tables(whole + "ORTHO_CONTEXT = __import__('os').system('true')\n")


def test_a_text_without_an_answer_follows_none_of_its_instructions() -> None:
    gold = json.dumps({"instructions": ["punctuation:no_comma", "detectable_format:title"], "kwargs": [{}, {}]})
    problem = Problem(id="p", source="made", kind="instructions", prompt="?", answer=gold, cluster="p", solution="")
    (cut,) = grade([Attempt.of_text("p", "<think>No comma here")], {"p": problem})
    assert (cut.verdict, cut.lenient_verdict) == ("unfinished", "unfinished")
    details = json.loads(cut.details)
    assert (details["strict"], details["loose"]) == ([False, False], [False, False])
    assert judge("instructions", "<think>No comma here", gold).details == cut.details
