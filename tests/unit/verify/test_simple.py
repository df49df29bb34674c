from __future__ import annotations

import pytest

from ray_study.verify import judge, judge_lenient

CHOICES = [
    ("B", "B", "correct"),
    ("b", "B", "correct"),
    ("(B)", "B", "correct"),
    ("B.", "B", "correct"),
    ("B)", "B", "correct"),
    ("B) the cell wall", "B", "correct"),
    ("(B) the cell wall", "B", "correct"),
    ("B: the cell wall", "B", "correct"),
    (r"\text{B}", "B", "correct"),
    (r"\text{(B)}", "B", "correct"),
    (r"\text{B. the wall}", "B", "correct"),
    (r"\mathrm{B}", "B", "correct"),
    (r"\textbf{B}", "B", "correct"),
    ("$B$", "B", "correct"),
    ("J", "J", "correct"),
    ("C", "B", "wrong"),
    ("K", "B", "wrong"),
    ("AB", "A", "wrong"),
    ("A and B", "A", "wrong"),
    ("A cat", "A", "wrong"),
    ("42", "B", "wrong"),
    ("the wall", "B", "wrong"),
    ("B", "(B)", "correct"),
    ("B", "42", "error"),
]


@pytest.mark.parametrize(("answer", "gold", "verdict"), CHOICES)
def test_a_choice_is_one_letter_however_it_is_written(answer: str, gold: str, verdict: str) -> None:
    assert judge("choice", rf"Thus \boxed{{{answer}}}.", gold).verdict == verdict


NUMBERS = [
    ("5", "5", "correct"),
    ("-5", "-5", "correct"),
    ("−5", "-5", "correct"),
    ("+5", "5", "correct"),
    ("5.0", "5", "correct"),
    ("5.", "5", "correct"),
    (".5", "0.5", "correct"),
    ("1/2", "0.5", "correct"),
    (r"\frac{1}{2}", "1/2", "correct"),
    (r"\dfrac{3}{6}", "1/2", "correct"),
    (r"-\frac{1}{2}", "-0.5", "correct"),
    ("1 1/2", "1.5", "correct"),
    (r"1\frac{1}{2}", "1.5", "correct"),
    ("1,234", "1234", "correct"),
    ("1,234,567.5", "1234567.5", "correct"),
    ("1{,}234", "1234", "correct"),
    (r"1\,234", "1234", "correct"),
    ("$18", "18", "correct"),
    (r"\$18", "18", "correct"),
    (r"\$1,800.00", "1800", "correct"),
    ("$18$", "18", "correct"),
    ("€18", "18", "correct"),
    ("18 dollars", "18", "correct"),
    (r"18\text{ apples}", "18", "correct"),
    (r"\text{18}", "18", "correct"),
    ("12 cm^2", "12", "correct"),
    ("12 m^{3}", "12", "correct"),
    (r"90^\circ", "90", "correct"),
    (r"50\%", "50", "correct"),
    ("50%", "50", "correct"),
    ("x = 7", "7", "correct"),
    ("1.5e3", "1500", "correct"),
    ("0.1", "1/10", "correct"),
    ("0.3333", "1/3", "wrong"),
    ("12 apples and 3 pears", "12", "wrong"),
    ("1,23", "123", "wrong"),
    ("3, 4", "3", "wrong"),
    ("5 or 6", "5", "wrong"),
    ("five", "5", "wrong"),
    ("1/0", "5", "wrong"),
    ("1e999999999", "5", "wrong"),
    ("9" * 5000, "5", "wrong"),
    ("6", "5", "wrong"),
    ("6", "many", "error"),
]


@pytest.mark.parametrize(("answer", "gold", "verdict"), NUMBERS)
def test_a_number_is_compared_exactly_without_its_commas_currency_and_units(answer: str, gold: str, verdict: str) -> None:
    assert judge("number", rf"Thus \boxed{{{answer}}}.", gold).verdict == verdict


EXACT = [
    ("olleh", "olleh", "correct"),
    ("  a   b ", "a b", "correct"),
    ("a\nb", "a b", "correct"),
    (r"\text{a b}", "a b", "correct"),
    (r"\texttt{ab}", "ab", "correct"),
    ("ab", r"\text{ab}", "correct"),
    ("1 2 3", "1 2 3", "correct"),
    ("Ab", "ab", "wrong"),
    ("ab", "a b", "wrong"),
    ("ab.", "ab", "wrong"),
]


@pytest.mark.parametrize(("answer", "gold", "verdict"), EXACT)
def test_an_exact_answer_is_the_same_text_up_to_white_space(answer: str, gold: str, verdict: str) -> None:
    assert judge("exact", rf"Thus \boxed{{{answer}}}.", gold).verdict == verdict


@pytest.mark.parametrize(
    ("kind", "text", "gold", "verdict"),
    [
        ("number", "12 and 13, so the answer is 25.", "25", "correct"),
        ("number", "The answer is $1,234.50.", "1234.5", "correct"),
        ("number", "10-5", "5", "correct"),
        ("number", "it is -5", "-5", "correct"),
        ("number", r"it is \frac{1}{2}", "0.5", "correct"),
        ("number", "<think>5</think> six", "5", "no_answer"),
        ("number", r"\boxed{4} is 5", "5", "wrong"),
        ("math", "so we get 25", "25", "correct"),
        ("choice", "The answer is B. I am sure, it is a wall.", "B", "correct"),
        ("choice", "I think that A cell wall it is: (C)", "C", "correct"),
        ("choice", "I think so", "A", "no_answer"),
        ("exact", "The reverse is\nolleh\n\n", "olleh", "correct"),
        ("exact", "", "olleh", "no_answer"),
    ],
)
def test_without_a_box_the_lenient_judge_takes_the_last_number_letter_or_line(kind: str, text: str, gold: str, verdict: str) -> None:
    assert judge_lenient(kind, text, gold).verdict == verdict  # type: ignore[arg-type]
    if r"\boxed" not in text:
        assert judge(kind, text, gold).verdict == "no_answer"  # type: ignore[arg-type]
