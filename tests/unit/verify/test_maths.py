r"""Mathematical answers. Every table row goes through `judge`, so through the box, the fast path and the worker process."""

from __future__ import annotations

import pytest

from ray_study.verify import judge, judge_lenient
from ray_study.verify.math_pool import math_workers

EQUAL = [
    # (gold, answer)
    ("5", "5"),
    ("5", "5."),
    ("5", "05"),
    ("5", "+5"),
    ("-3", "−3"),
    ("1000", "1,000"),
    ("10,000", "10000"),
    ("1{,}000", "1000"),
    (r"1\,000", "1000"),
    (r"1\!,\!000", "1000"),
    (r"\frac12", "0.5"),
    (r"\frac{1}{2}", "1/2"),
    ("1/2", r"\dfrac{1}{2}"),
    (r"\frac{3}{6}", r"\frac{1}{2}"),
    (r"1\frac{1}{2}", "3/2"),
    ("3/2", r"1\frac{1}{2}"),
    (r"0.\overline{3}", r"\frac{1}{3}"),
    (r"\frac{41}{333}", r"0.\overline{123}"),
    (r"0.1\overline{6}", "1/6"),
    ("50", r"50\%"),
    (r"50\%", "50%"),
    (r"12.5\%", "12.5"),
    (r"90^\circ", "90"),
    ("90", r"90^{\circ}"),
    (r"\$18", "18"),
    ("5", r"5\text{ cm}"),
    (r"5\text{ cm}^2", "5"),
    ("12", r"12 \text{ inches}"),
    ("5", "x = 5"),
    ("x=5", "5"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"\frac{\sqrt{3}}{2}", r"\frac{3}{2\sqrt{3}}"),
    ("2^{10}", "1024"),
    ("1000000007", "10^9+7"),
    (r"2\pi r", r"2r\pi"),
    (r"\frac{\pi}{4}", r"\pi/4"),
    ("x^2+2x+1", "(x+1)^2"),
    ("x+y", "y+x"),
    ("y=2x+1", "y=1+2x"),
    (r"\tan^2 x", r"\tan^{2}(x)"),
    ("6-5i", "-5i+6"),
    (r"[0,\infty)", r"[0, +\infty)"),
    (r"(-\infty,2)\cup(3,\infty)", r"(-\infty, 2) \cup (3, \infty)"),
    (r"\left(1,2\right]", "(1,2]"),
    ("x \\in [1,2]", "[1,2]"),
    ("1<x<5", "(1,5)"),
    ("x<5", "5>x"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("1,2", "2,1"),
    ("1,2", r"2 \text{ and } 1"),
    ("(1,2,3)", "(1, 2, 3)"),
    (r"3 \pm \sqrt{2}", r"3+\sqrt{2}, 3-\sqrt{2}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\text{Monday}", "Monday"),
    ("Evelyn", r"\text{ Evelyn }"),
    (r"\text{June 20}", "June 20"),
    (r"\text{(A)}", "A"),
    ("C", r"\textbf{C}"),
    ("11_2", "11"),
    ("3:4", r"\frac{3}{4}"),
]

DIFFERENT = [
    ("5", "6"),
    ("5", "-5"),
    ("1000", "1,001"),
    (r"\frac12", "0.25"),
    ("1/3", "0.333"),
    ("11/2", "1 1/2"),
    ("50", r"0.5\%"),
    (r"\sqrt{2}", r"\sqrt{3}"),
    ("x^2", "x^3"),
    ("x+y", "x-y"),
    ("(1,2)", "[1,2]"),
    (r"[0,\infty)", r"(0,\infty)"),
    ("(1,2,3)", "(1,3,2)"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    ("3,5,7", "3,5"),
    (r"\text{Monday}", "Tuesday"),
    ("A", "B"),
    ("5", r"\frac{1}{0}"),
    ("5", "hello world"),
    ("5", "???"),
    ("5", r"\frac{1}{}"),
    ("5", r"\begin{cases} x=1 \\ y=2 \end{cases}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
    ("5", "9" * 3000),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_an_answer_of_the_same_value_is_correct(gold: str, answer: str) -> None:
    judgement = judge("math", rf"<think>It may be \boxed{{0.123}}.</think>So it is $\boxed{{{answer}}}$.", gold)
    assert judgement.verdict == "correct", judgement
    assert judgement.answer == answer.strip()


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_an_answer_of_another_value_is_wrong(gold: str, answer: str) -> None:
    judgement = judge("math", rf"So it is $\boxed{{{answer}}}$.", gold)
    assert judgement.verdict == "wrong", judgement


def test_several_boxes_do_not_merge_into_a_set() -> None:
    assert judge("math", r"\boxed{1} and \boxed{2}", "1,2").verdict == "wrong"
    assert judge("math", r"\boxed{1}, \boxed{2}", "2").verdict == "correct"


def test_simple_answers_need_no_worker() -> None:
    math_workers().close()
    assert judge("math", r"\boxed{\dfrac{1}{2}}", r"\frac{1}{2}").verdict == "correct"
    assert judge("math", r"\boxed{7}", "8").verdict == "wrong"
    assert math_workers().idle_process_ids() == []


def test_a_gold_that_does_not_parse_is_an_error_and_not_wrong() -> None:
    judgement = judge("math", r"\boxed{5}", r"\frac{1}{")
    assert (judgement.verdict, judgement.answer) == ("error", "5")
    assert "does not parse" in judgement.explanation


def test_what_math_verify_raises_is_an_error_with_its_name() -> None:
    judgement = judge("math", r"\boxed{5}", r"\frac{1}{0}")
    assert judgement.verdict == "error"
    assert "ValueError" in judgement.explanation


@pytest.mark.parametrize("pathological", [r"9^{9^{9^9}}", "((((10!)!)!)!)!", "(" * 2000 + "1" + ")" * 2000])
def test_v2_v3_an_answer_that_hangs_is_a_timeout_and_the_next_is_judged(pathological: str) -> None:
    judgement = judge("math", rf"\boxed{{{pathological}}}", "1", timeout_seconds=1.5)
    assert judgement.verdict in ("timeout", "error"), judgement
    assert judgement.explanation
    assert judge("math", r"\boxed{0.5}", "1/2").verdict == "correct"


def test_a_megabyte_before_the_box_costs_math_verify_nothing() -> None:
    text = "We add $1+1$ and $\\frac{1}{2}$. " * 32_000 + r"\boxed{0.5}"
    assert judge("math", text, "1/2", timeout_seconds=4).verdict == "correct"


def test_without_a_box_the_lenient_judge_compares_the_last_number() -> None:
    assert judge("math", "It is 0.50", "1/2").verdict == "no_answer"
    assert judge_lenient("math", "It is 0.50", "1/2").verdict == "correct"
    assert judge_lenient("math", r"\boxed{1} or 0.5", "1/2").verdict == "wrong"
