from __future__ import annotations

import json

import pytest

from ray_study.verify import judge, judge_lenient

GOLD = json.dumps({"numbers": [3, 7, 8, 25], "target": 29})

RIGHT = [
    "25 + 8 - 7 + 3",
    "(25+8)-(7-3)",
    "3 - 7 + 8 + 25",
    "25 + 8 - 7 + 3 = 29",
    "25 + 8 - 7 + 3=29.",
    "$25 + 8 - 7 + 3$",
    r"25 + 8 - 7 + 3 = 29",
    r"\left(25 + 8\right) - (7 - 3)",
    "[25 + 8] − {7 − 3}",
    r"\text{25 + 8 - 7 + 3}",
    "-(7 - 25) + 8 + 3",
]


@pytest.mark.parametrize("expression", RIGHT)
def test_an_expression_that_uses_each_number_once_and_makes_the_target_is_correct(expression: str) -> None:
    assert judge("countdown", rf"So \boxed{{{expression}}}", GOLD).verdict == "correct"


@pytest.mark.parametrize(
    ("expression", "numbers", "target"),
    [
        ("6 × 4", [6, 4], 24),
        (r"6 \times 4", [6, 4], 24),
        (r"6 \cdot 4", [6, 4], 24),
        ("48 ÷ 2", [48, 2], 24),
        (r"48 \div 2", [48, 2], 24),
        (r"\frac{48}{2}", [48, 2], 24),
        (r"\dfrac{40 + 8}{2}", [40, 8, 2], 24),
        (r"\frac{\frac{96}{2}}{2}", [96, 2, 2], 24),
        ("6(1 + 3)", [6, 1, 3], 24),
        ("(1 + 3)6", [6, 1, 3], 24),
        ("(1 + 3)(2 + 4)", [1, 2, 3, 4], 24),
        ("8 / (3 - 8 / 3)", [3, 3, 8, 8], 24),
        ("5 - 7", [5, 7], -2),
    ],
)
def test_every_common_way_to_write_an_operation_is_read(expression: str, numbers: list[int], target: int) -> None:
    gold = json.dumps({"numbers": numbers, "target": target})
    assert judge("countdown", rf"\boxed{{{expression}}}", gold).verdict == "correct"
    assert judge("countdown", rf"\boxed{{{expression}}}", json.dumps({"numbers": numbers, "target": target + 1})).verdict == "wrong"


@pytest.mark.parametrize(
    "expression",
    [
        "25 + 8 - 7 - 3",  # makes 23
        "25 + 7 - 3",  # makes 29 without the 8
        "25 + 8 - 7 + 3 + 3 - 3",  # a number too often
        "29",
        "25 + 8 - 7 + 3 = 30",
        "25 + 8 - 7 + 3 = 29 = 29",
        "25 + 8 - 7 + 3 + 0",
        "2 5 + 8 - 7 + 3",
        "258 / 7 / 3",
        "25 / (8 - 7 - 3 / 3)",
        "25 / (7 + 8 - 3 * 5)",
        "25 + 8 - 7 + 03.0",
        "25 + (8 - 7 + 3",
        "",
    ],
)
def test_another_value_or_other_numbers_are_wrong(expression: str) -> None:
    assert judge("countdown", rf"\boxed{{ {expression} }}", GOLD).verdict in (("no_answer",) if not expression else ("wrong",))


def test_a_division_by_zero_is_wrong_and_said() -> None:
    judgement = judge("countdown", r"\boxed{8 / (3 - 3)}", json.dumps({"numbers": [8, 3, 3], "target": 8}))
    assert (judgement.verdict, judgement.explanation) == ("wrong", "divides by zero")


ATTACKS = [
    "__import__('os').system('touch hacked')",
    "open('/etc/passwd').read()",
    "().__class__.__bases__[0].__subclasses__()",
    "[x for x in (3, 7, 8, 25)] and 29",
    "29 if 25 + 8 + 7 + 3 else 0",
    "(lambda: 29)()",
    "25 ** 8 ** 7 ** 3",
    "25 // 8 - 7 + 3",
    "9**9**9**9",
    "1e309 + 25 + 8 + 7 + 3",
    "0x19 + 8 - 7 + 3",
    "2_5 + 8 - 7 + 3",
    "25 + 8 - 7 + 3 # comment",
    "25 + 8 - 7 + 3; import os",
    "25 + 8 - 7 + 3\nimport os",
    "25 == 25 + 8 + 7 + 3 or 29",
    "'29'",
    "29j",
    "~25 + 8 + 7 + 3",
    "25 % 8 + 7 + 3",
    "25 << 8 >> 7 | 3",
    "３ + 7 + 8 + ２５",
    "a := 29",
    "25 + 8 - 7 + 3 = 29, 29",
    "f'{29}'",
    "9" * 1900,
    "(" * 900 + "25 + 8 - 7 + 3" + ")" * 900,
    "-" * 1500 + "25 + 8 - 7 + 3",
    "- " * 900 + "25 + 8 - 7 + 3",
    "+".join(["1"] * 900),
    "(" * 200_000,
    "9" * 1_000_000,
    r"\frac{1}{" * 150 + "1" + "}" * 150,
    "\x00 25 + 8 - 7 + 3",
]


# The timeout is for a string that would compute for hours; it says nothing about speed.
@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_string_is_run_or_hangs(attack: str) -> None:
    assert judge("countdown", rf"\boxed{{{attack}}}", GOLD).verdict == "wrong"


@pytest.mark.parametrize("gold", ["", "29", "[1]", '{"numbers": [], "target": 1}', '{"numbers": [1.5], "target": 1}', '{"numbers": [1]}'])
def test_a_gold_without_numbers_and_target_is_an_error_and_not_wrong(gold: str) -> None:
    assert judge("countdown", r"\boxed{1 + 2}", gold).verdict == "error"


def test_without_a_box_the_lenient_judge_takes_the_last_line_that_is_an_expression() -> None:
    text = "Try 25 + 7 - 3.\nNo. Then\n25 + 8 - 7 + 3 = 29\nThat is the answer."
    assert judge("countdown", text, GOLD).verdict == "no_answer"
    assert judge_lenient("countdown", text, GOLD).verdict == "correct"
    assert judge_lenient("countdown", "The answer: (25 + 8) - (7 - 3).", GOLD).verdict == "correct"
    assert judge_lenient("countdown", "I give up.", GOLD).verdict == "no_answer"
