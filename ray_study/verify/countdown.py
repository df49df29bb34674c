r"""Countdown answers: an arithmetic expression that uses every given number exactly once and makes the target.

Never `eval`: the text is reduced to digits, `+ - * / ( )`, its numbers are compared with those given, and only then is it
parsed, by a whitelist of `ast` nodes, and computed in exact fractions. Whatever is too long or too deep for a right answer
is wrong before any parser sees it.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from fractions import Fraction

from ray_study.rows import Judgement
from ray_study.verify.answers import without_text_command

_MOST_CHARACTERS = 2000
_MOST_NESTING = 40
_MOST_DIGITS = 12

_SIGNS = [
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])|[×·∗⋅]"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])|÷"), "/"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])|\\[,;:! ]|\\quad|~|\$"), ""),
    (re.compile(r"\\[dt]frac(?![a-zA-Z])"), r"\\frac"),
]
_FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_BETWEEN_FACTORS = re.compile(r"(?<=[\d)])\s*(?=\()|(?<=\))\s*(?=\d)")
_ALLOWED = re.compile(r"[0-9+\-*/()\s]+")
_NUMBER = re.compile(r"\d+")
_SIGN_RUN = re.compile(r"(?:[+-]\s*){3}")
_EXPRESSION_IN_LINE = re.compile(r"[0-9(\[][0-9+\-*/()\[\]\s×·÷−=.\\a-z{}]*[0-9)\]}]")


class _NotAnAnswerError(Exception):
    """Why an expression cannot be a right answer."""


def judge_countdown(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """`correct` where the expression uses every given number once and makes the target, else `wrong` with the reason.

    An `= target` at the end is allowed, and must be true. No time is needed: nothing here can hang.
    """
    given = _given(gold)
    if given is None:
        return Judgement(verdict="error", answer=answer, explanation=why_gold_countdown_fails(gold, timeout_seconds))
    numbers, target = given
    try:
        value = _value(answer, numbers, target)
    except _NotAnAnswerError as reason:
        return Judgement(verdict="wrong", answer=answer, explanation=str(reason))
    if value != target:
        return Judgement(verdict="wrong", answer=answer, explanation=f"makes {value}, not {target}")
    return Judgement(verdict="correct", answer=answer, explanation=f"makes {target} of the given numbers")


def why_gold_countdown_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold answer cannot be judged against, or an empty string where it holds numbers and a target."""
    if _given(gold) is not None:
        return ""
    return f'found gold {gold[:80]!r}, expected JSON such as {{"numbers": [3, 7, 8], "target": 29}}, whole numbers from 0'


def last_expression(text: str) -> str | None:
    """The last line's stretch that looks like arithmetic, or None."""
    for line in reversed(text[-_MOST_CHARACTERS * 5 :].splitlines()):
        found = [part for part in _EXPRESSION_IN_LINE.findall(line[-_MOST_CHARACTERS:]) if re.search(r"[+\-*/×÷−\\]", part)]
        if found:
            return str(found[-1])
    return None


def _given(gold: str) -> tuple[list[int], int] | None:
    try:
        facts = json.loads(gold)
    except ValueError:
        return None
    if not isinstance(facts, dict) or not isinstance(facts.get("numbers"), list):
        return None
    numbers, target = facts["numbers"], facts.get("target")
    if not numbers or not all(type(number) is int and number >= 0 for number in numbers) or type(target) is not int:
        return None
    return numbers, target


def _value(answer: str, numbers: list[int], target: int) -> Fraction:
    if len(answer) > _MOST_CHARACTERS:
        raise _NotAnAnswerError(f"the expression is longer than {_MOST_CHARACTERS} characters")
    expression, *tail = _plain(answer).split("=")
    if tail and (len(tail) > 1 or tail[0].strip().lstrip("+") != str(target)):
        raise _NotAnAnswerError(f"what follows the equals sign is not the target {target}")
    _check_before_parsing(expression, numbers)
    try:
        return _computed(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError as error:
        raise _NotAnAnswerError("not an arithmetic expression") from error
    except ZeroDivisionError as error:
        raise _NotAnAnswerError("divides by zero") from error


def _plain(answer: str) -> str:
    """The expression in digits, operators and parentheses, as far as it can be put so."""
    text = without_text_command(answer)
    for sign, plain in _SIGNS:
        text = sign.sub(plain, text)
    for _ in range(_MOST_NESTING):  # innermost fractions first
        text, changed = _FRACTION.subn(r"((\1)/(\2))", text)
        if not changed:
            break
    text = text.translate(str.maketrans("[]{}", "()()")).strip().removesuffix(".")
    return _BETWEEN_FACTORS.sub("*", text)


def _check_before_parsing(expression: str, numbers: list[int]) -> None:
    """Refuses what no right answer looks like, so that the parser sees only short, shallow, harmless text."""
    if not _ALLOWED.fullmatch(expression) or "**" in expression or "//" in expression or _SIGN_RUN.search(expression):
        raise _NotAnAnswerError("not an expression in + - * / and parentheses")
    depth = deepest = 0
    for character in expression:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > _MOST_NESTING:
        raise _NotAnAnswerError(f"parentheses nest deeper than {_MOST_NESTING}")
    used = _NUMBER.findall(expression)
    if any(len(number) > _MOST_DIGITS for number in used) or Counter(map(int, used)) != Counter(numbers):
        raise _NotAnAnswerError(f"does not use each of {numbers} exactly once")


def _computed(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _computed(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return _combined(node.op, _computed(node.left), _computed(node.right))
    raise _NotAnAnswerError("not an expression in + - * / and parentheses")


def _combined(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    raise _NotAnAnswerError("not an expression in + - * / and parentheses")
