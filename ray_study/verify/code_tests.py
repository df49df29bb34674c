"""The gold of a program: its tests, how they are asked, and how long each may take, as JSON; many tests are packed."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Literal, get_args

Style = Literal["stdin", "functional", "asserts"]

MOST_BYTES = 1 << 30
"""Tests that unpack to more are refused."""

_FORM = (
    '{"style": "stdin", "functional" or "asserts", "tests": [{"input": "…", "output": "…"}] or a list of texts for asserts, '
    '"entry_point": "…", "seconds": 6, "setup": "…"}; or in place of tests "packed", base64 of zlib of their JSON'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test.

    For `stdin` what is read and what must be printed; for `functional` the arguments, a JSON value a line, and the JSON value that must
    come back; for `asserts` in `input` a text that must run without an exception.
    """

    input: str
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """What a program must pass."""

    style: Style
    cases: tuple[Case, ...]
    entry_point: str
    """The function that is called, or the method of a class `Solution`; empty where the program is run as a whole."""
    seconds: float
    """Of processor time, for one test."""
    setup: str = ""
    """Put before the program."""


def read_tests(gold: str) -> Tests:
    """The tests that a gold holds.

    Raises:
        ValueError: it does not; the message says what was expected.
    """
    try:
        facts = json.loads(gold)
    except ValueError as error:
        raise ValueError(f"found gold {gold[:80]!r}, which is no JSON ({error}); expected {_FORM}") from None
    if not isinstance(facts, dict) or facts.get("style") not in get_args(Style):
        raise ValueError(f"found gold {gold[:80]!r}; expected {_FORM}")
    cases = _unpacked(facts["packed"]) if "packed" in facts else facts.get("tests")
    seconds, entry_point, setup = facts.get("seconds", 6), facts.get("entry_point", ""), facts.get("setup", "")
    if not isinstance(cases, list) or not cases:
        raise ValueError(f"found no tests in gold {gold[:80]!r}; expected {_FORM}")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 600:
        raise ValueError(f"found {seconds!r} seconds a test, expected a number above 0 and at most 600")
    texts = isinstance(entry_point, str) and isinstance(setup, str)
    if not texts or (facts["style"] == "functional" and not entry_point.isidentifier()):
        raise ValueError(f"found entry point {entry_point!r} and setup of {type(setup).__name__}; expected a function's name and a text")
    read = tuple(_case(facts["style"], number, case) for number, case in enumerate(cases))
    return Tests(style=facts["style"], cases=read, entry_point=entry_point, seconds=seconds, setup=setup)


def inflate(packed: bytes) -> bytes:
    """What zlib packed, up to a bound.

    Raises:
        ValueError: it is damaged, or too much.
    """
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(packed, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"packed tests are damaged: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError(f"packed tests are cut, or unpack to more than {MOST_BYTES} bytes")
    return content


def _unpacked(packed: object) -> object:
    if not isinstance(packed, str):
        raise ValueError(f"found packed tests of {type(packed).__name__}, expected a text in base64")
    try:
        return json.loads(inflate(base64.b64decode(packed, validate=True)))
    except ValueError as error:
        raise ValueError(f"packed tests cannot be read: {error}") from None


def _case(style: Style, number: int, case: object) -> Case:
    if style == "asserts" and isinstance(case, str) and case.strip():
        return Case(input=case)
    if style == "asserts" or not isinstance(case, dict) or not all(isinstance(case.get(key), str) for key in ("input", "output")):
        expected = "a text that runs without an exception" if style == "asserts" else "an object with texts `input` and `output`"
        raise ValueError(f"test {number} of style {style!r} is {str(case)[:80]!r}, expected {expected}")
    if style == "functional":
        for text in (*case["input"].split("\n"), case["output"]):
            try:
                json.loads(text)
            except ValueError:
                raise ValueError(f"test {number}: {text[:80]!r} is no JSON value; arguments are one a line, and so is the result") from None
    return Case(input=case["input"], output=case["output"])
