from __future__ import annotations

import pytest

from ray_study.rows import Kind
from ray_study.verify import judge, judge_lenient
from ray_study.verify.answers import answer_part, last_box, without_text_command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed {5}", "5"),
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\boxed{7}}", "7"),
        (r"a stray } and a stray { before \boxed{3}", "3"),
        (r"\boxed{4} and one that never ends \boxed{5", "4"),
        (r"\boxed{5", None),
        (r"\boxed 5", None),
        ("no box", None),
        (r"\boxed{}", ""),
        (r"\boxed{ a b }", "a b"),
    ],
)
def test_the_answer_is_the_last_box_whose_braces_balance(text: str, expected: str | None) -> None:
    assert last_box(text) == expected


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("plain", False, "plain"),
        ("<think>a</think>b", False, "b"),
        ("a</think>b", True, "b"),
        ("a</think>b", False, "b"),
        ("<think>a</think>b<think>c</think>d", False, "d"),
        ("<think>a", False, None),
        ("a", True, None),
        ("<think>a</think>b<think>c", False, None),
        ("a</think>b<think>c", True, None),
        ("", False, ""),
        ("", True, None),
    ],
)
def test_the_answer_part_is_what_follows_the_last_closed_thinking(text: str, opened: bool, expected: str | None) -> None:
    assert answer_part(text, thinking_opened=opened) == expected


def test_text_and_dollars_around_the_whole_answer_are_put_aside_and_others_stay() -> None:
    assert without_text_command(r" $\text{ a b }$ ") == "a b"
    assert without_text_command(r"5 \text{ cm}") == r"5 \text{ cm}"


# In quadratic time these would take hours; the timeout says nothing about speed.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", ["x" * 10**6, r"\boxed{" * 50_000, "{" * 300_000, "}" * 300_000, "<think>" * 140_000, "1," * 500_000])
def test_a_text_of_a_megabyte_is_judged_in_linear_time(text: str) -> None:
    golds: dict[Kind, str] = {"number": "5", "choice": "A", "exact": "a", "countdown": '{"numbers": [1], "target": 1}', "refusal": ""}
    for kind, gold in golds.items():
        judge(kind, text, gold)
        judge_lenient(kind, text, gold)


def test_v4_a_box_inside_the_thinking_is_never_the_answer() -> None:
    assert judge("number", r"<think>maybe \boxed{5}</think> It is \boxed{6}.", "6").verdict == "correct"
    assert judge("number", r"<think>maybe \boxed{5}</think> It is \boxed{6}.", "5").verdict == "wrong"
    assert judge("number", r"<think>surely \boxed{5}</think> It is five.", "5").verdict == "no_answer"
    assert judge("number", r"\boxed{4} no, \boxed{5}", "5").verdict == "correct"


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_e2_thinking_that_was_never_closed_is_unfinished_and_not_an_answer(finish_reason: str) -> None:
    in_text = judge("number", r"<think>so \boxed{5}", "5", finish_reason=finish_reason)  # type: ignore[arg-type]
    by_the_template = judge("number", r"so \boxed{5}", "5", finish_reason=finish_reason, thinking_opened=True)  # type: ignore[arg-type]
    lenient = judge_lenient("number", "so 5", "5", finish_reason=finish_reason, thinking_opened=True)  # type: ignore[arg-type]
    assert [in_text.verdict, by_the_template.verdict, lenient.verdict] == ["unfinished"] * 3


def test_e2_a_text_without_tags_is_an_answer_where_the_template_opened_no_thinking() -> None:
    assert judge("number", r"so \boxed{5}", "5").verdict == "correct"


def test_a_cut_text_without_an_answer_is_unfinished_and_with_one_is_judged() -> None:
    assert judge("number", "so it is", "5", finish_reason="length").verdict == "unfinished"
    assert judge("number", r"so it is \boxed{5", "5", finish_reason="length").verdict == "unfinished"
    assert judge("number", r"so it is \boxed{5} since", "5", finish_reason="length").verdict == "correct"
    assert judge("number", "so it is", "5").verdict == "no_answer"
    assert judge("number", r"\boxed{ }", "5").verdict == "no_answer"


def test_what_was_never_asked_is_an_error_and_not_wrong() -> None:
    assert judge("number", "", "5", finish_reason="refused").verdict == "error"


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="countdown"):
        judge("poetry", "", "")  # type: ignore[arg-type]
