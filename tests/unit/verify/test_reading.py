r"""Where an answer is looked for: after the thinking (V4, E2), or as other projects' code does, which is named and never the default."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ray_study.rows import Attempt, Kind, Problem, Reads, Verdict
from ray_study.verify import grade, judge, judge_lenient
from ray_study.verify.reading import first_letter, last_yes_no, said_letter

SAMPLES: tuple[Reads, ...] = ("answer", "stripped", "whole_text", "first_in_text")


def verdicts(kind: Kind, gold: str, text: str, *, opened: bool = False) -> dict[Reads, Verdict]:
    problem = Problem(id="p", source="made", kind=kind, prompt="?", answer=gold, cluster="p", solution="")
    attempt = replace(Attempt.of_text("p", text), thinking_opened=opened)
    readings = SAMPLES if kind == "choice" else SAMPLES[:-1]
    found = {reads: grade([attempt], {"p": problem}, reads=reads)[0] for reads in readings}
    for reads, row in found.items():
        # One text alone is read as many are.
        assert judge(kind, text, gold, thinking_opened=opened, reads=reads).verdict == row.verdict
        assert judge_lenient(kind, text, gold, thinking_opened=opened, reads=reads).verdict == row.lenient_verdict
    return {reads: row.verdict for reads, row in found.items()}


def test_v4_a_letter_that_was_boxed_while_thinking_is_no_answer_and_only_the_papers_first_match_takes_it() -> None:
    found = verdicts("choice", "B", "<think>At first \\boxed{A}, but no.</think>\nIt is \\boxed{B}.")
    assert found == {"answer": "correct", "stripped": "correct", "whole_text": "correct", "first_in_text": "wrong"}
    found = verdicts("choice", "A", "<think>At first \\boxed{A}, but no.</think>\nIt is \\boxed{B}.")
    assert found == {"answer": "wrong", "stripped": "wrong", "whole_text": "wrong", "first_in_text": "correct"}


def test_v4_a_box_inside_the_thinking_alone_counts_for_whoever_reads_the_whole_text_and_for_nobody_else() -> None:
    found = verdicts("math", "7", "<think>So \\boxed{7}.</think>\nI forgot.")
    assert found == {"answer": "no_answer", "stripped": "no_answer", "whole_text": "correct"}


def test_e2_thinking_that_never_ended_is_unfinished_and_every_other_reading_takes_what_stands_in_it() -> None:
    found = verdicts("choice", "C", "<think>It must be \\boxed{C}. Or")
    assert found == {"answer": "unfinished", "stripped": "correct", "whole_text": "correct", "first_in_text": "correct"}


def test_e2_thinking_that_the_template_opened_and_a_cut_left_open_has_no_tag_and_is_unfinished_all_the_same() -> None:
    found = verdicts("number", "4", "so \\boxed{4} and then", opened=True)
    assert found == {"answer": "unfinished", "stripped": "correct", "whole_text": "correct"}


@pytest.mark.parametrize("reads", SAMPLES)
def test_a_text_without_any_tag_is_an_answer_however_it_is_read(reads: Reads) -> None:
    assert verdicts("choice", "D", "\\boxed{D}")[reads] == "correct"


def test_the_papers_phrases_count_only_where_the_thinking_does() -> None:
    assert said_letter("Answer: C") == said_letter("The answer is: C") == said_letter("answer : (C)") == "C"
    assert said_letter("An answer, C perhaps") is None
    found = verdicts("choice", "B", "Thus option B is correct.")
    assert found == {"answer": "no_answer", "stripped": "correct", "whole_text": "correct", "first_in_text": "no_answer"}


def test_a_number_without_a_box_is_an_answer_only_for_readings_that_judge_the_thinking_as_math_verify_would() -> None:
    assert verdicts("math", "7", "It comes to 7.") == {"answer": "no_answer", "stripped": "correct", "whole_text": "correct"}
    assert verdicts("number", "7", "It comes to 7.") == {"answer": "no_answer", "stripped": "no_answer", "whole_text": "no_answer"}


def test_a_letter_after_a_stop_string_of_the_papers_was_never_written_there() -> None:
    problem = Problem(id="p", source="made", kind="choice", prompt="?", answer="B", cluster="p", solution="")

    def found(text: str) -> Verdict:
        return grade([Attempt.of_text("p", text)], {"p": problem}, reads="first_before_stop")[0].verdict

    assert found("<think>So \\boxed{B}.</think> Q: another? The answer is A.") == "correct"
    assert found("I wonder.\nQ: another? The answer is B.") == "no_answer"
    assert found("Hm.</s> The answer is B.") == found("Hm.<|im_end|>\\boxed{B}") == "no_answer"
    assert found("The answer is B.") == "correct"


def test_an_attempt_that_was_never_asked_is_an_error_however_it_is_read() -> None:
    problem = Problem(id="p", source="made", kind="choice", prompt="?", answer="A", cluster="p", solution="")
    attempt = replace(Attempt.of_text("p", "\\boxed{A}"), finish_reason="refused")
    assert {grade([attempt], {"p": problem}, reads=reads)[0].verdict for reads in SAMPLES} == {"error"}


def test_the_first_answer_is_asked_for_only_where_there_are_letters() -> None:
    problem = Problem(id="p", source="made", kind="math", prompt="?", answer="1", cluster="p", solution="")
    with pytest.raises(ValueError, match=r"`reads: first_in_text` is for answers of kind \['choice'\], found 'math'; use `whole_text`"):
        grade([Attempt.of_text("p", "1")], {"p": problem}, reads="first_in_text")
    with pytest.raises(ValueError, match="`reads: first_in_text` is for answers of kind"):
        judge("math", "1", "1", reads="first_in_text")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (C). Or \\boxed{D}", "C"),
        ("\\boxed{\\text{J}}", "J"),
        ("\\boxed{(B) both}", "B"),
        ("\\boxed{Apple}", None),
        ("The answer is 7.", None),
        ("", None),
    ],
)
def test_the_first_letter_is_the_first_that_is_said_or_boxed(text: str, letter: str | None) -> None:
    assert first_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is: **B**", "B"),
        ("I choose C. No: option D", "D"),
        ("(A) is the correct one", "A"),
        ("A dog is correct", None),
        ("the answer is a matter of taste", None),
    ],
)
def test_a_letter_that_is_said_in_a_sentence_is_found(text: str, letter: str | None) -> None:
    assert said_letter(text) == letter


@pytest.mark.parametrize("piece", ["\\boxed{", "answer is ", "____", "No ", "A is ", "\n"])
def test_reading_takes_linear_time(piece: str) -> None:
    text, start = piece * 50_000, time.monotonic()
    assert first_letter(text) in (None, "A")
    assert said_letter(text) is None
    assert last_yes_no(text) in (None, "no")
    assert time.monotonic() - start < 5
