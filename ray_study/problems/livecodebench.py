"""LiveCodeBench v2: contest problems from LeetCode, AtCoder and Codeforces, read from the two files that make up release_v2 (511 problems).

Some files hold the private tests as base64 of zlib of a pickle of one text. No pickle is ever run here: the text is read out of the
pickle's own instructions, and anything but one text is refused.
"""

from __future__ import annotations

import base64
import json
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ray_study.problems.math_sets import text
from ray_study.problems.programs import ON_STANDARD_INPUT, ask, gold
from ray_study.problems.sets import Dropped, Item, PublishedSet, SetOptions

Difficulty = Literal["easy", "medium", "hard"]

SECONDS = 6
"""Of one test, as in the published harness."""
MOST_BYTES = 1 << 30
"""Private tests of one problem that unpack to more are refused."""

_STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools", "functools"),
    *("operator", "io", "sys", "json", "builtins", "typing"),
)
SETUP = "\n".join([*(f"from {name} import *" for name in _STARRED), f"import {', '.join(_STARRED)}", "sys.setrecursionlimit(50000)"])
"""What the published harness puts before every program: answers rely on it (`List`, `defaultdict`, …)."""

_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_AROUND = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}


class LiveCodeBenchOptions(SetOptions):
    """Where the set is read from, and which of its problems."""

    difficulties: list[Difficulty] | None = Field(default=None, min_length=1)
    """None for all: a benchmark for each difficulty gives accuracy by difficulty."""


def read_private(packed: str) -> list[Any]:
    """The private tests of one row, however they are packed.

    Raises:
        ValueError: they are neither JSON nor base64 of zlib of a pickle of one text that is JSON.
    """
    try:
        found = json.loads(packed)
    except ValueError:
        found = _unpacked(packed)
    if not isinstance(found, list):
        raise ValueError(f"expected a list of private tests, found {type(found).__name__}")
    return found


def pickled_text(pickled: bytes) -> str:
    """The text that a pickle of one text holds; no instruction of the pickle is carried out.

    Raises:
        ValueError: it holds anything else.
    """
    try:
        instructions = [(instruction.name, value) for instruction, value, _ in pickletools.genops(pickled)]
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"a pickle of one text was expected, found a damaged one: {error}") from None
    texts: list[str] = []
    for name, value in instructions:
        if name in _TEXTS and not texts:
            texts.append(str(value))
        elif name not in _AROUND:
            raise ValueError(f"a pickle of one text was expected, found the instruction {name} in it; it is not run")
    if not texts:
        raise ValueError("a pickle of one text was expected, found none in it")
    return texts[0]


def _unpacked(packed: str) -> Any:
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(base64.b64decode(packed, validate=True), MOST_BYTES)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"column 'private_test_cases' is neither JSON nor base64 of zlib: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError(f"column 'private_test_cases' is cut, or unpacks to more than {MOST_BYTES} bytes")
    return json.loads(pickled_text(content))


def _livecodebench(row: Mapping[str, Any], options: LiveCodeBenchOptions) -> Item | Dropped:
    difficulty = text(row["difficulty"])
    if options.difficulties is not None and difficulty not in options.difficulties:
        return Dropped(f"difficulty {difficulty or 'unknown'}")
    cases = _cases([*_list(row, "public_test_cases"), *read_private(text(row["private_test_cases"]))])
    starter = text(row["starter_code"])
    functional = cases[0]["testtype"] == "functional"
    entry_point = str(_entry_point(row)) if functional else ""
    tests = [{"input": case["input"], "output": case["output"]} for case in cases]
    platform, contest = text(row["platform"]), text(row["contest_id"])
    return Item(
        question=ask(text(row["question_content"]), how="" if functional else ON_STANDARD_INPUT, starter=starter),
        answer=gold("functional" if functional else "stdin", tests, seconds=SECONDS, entry_point=entry_point, setup=SETUP),
        kind="code",
        cluster=f"{platform}-{contest}" if platform and contest else "",
        name=text(row["question_id"]),
    )


def _cases(cases: list[Any]) -> list[dict[str, str]]:
    for number, case in enumerate(cases):
        if not isinstance(case, dict) or not all(isinstance(case.get(key), str) for key in ("input", "output", "testtype")):
            raise ValueError(f"test {number} is {str(case)[:80]!r}, expected an object with texts `input`, `output` and `testtype`")
    kinds = sorted({case["testtype"] for case in cases})
    if kinds not in (["stdin"], ["functional"]):
        raise ValueError(f"found tests of types {kinds}, expected all `stdin` or all `functional`")
    return cases


def _list(row: Mapping[str, Any], column: str) -> list[Any]:
    try:
        found = json.loads(text(row[column]) or "[]")
    except ValueError as error:
        raise ValueError(f"column {column!r} is no JSON ({error})") from None
    if not isinstance(found, list):
        raise ValueError(f"column {column!r} holds {type(found).__name__}, expected a list of tests")
    return found


def _entry_point(row: Mapping[str, Any]) -> object:
    try:
        return json.loads(text(row["metadata"]))["func_name"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"column 'metadata': expected an object with `func_name`, found {str(row['metadata'])[:80]!r}") from None


LIVECODEBENCH = PublishedSet(
    name="livecodebench/code_generation_lite",
    columns=(
        *("question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code", "difficulty"),
        *("public_test_cases", "private_test_cases", "metadata"),
    ),
    read=_livecodebench,
    kinds=("code",),
    files=("test.jsonl", "test2.jsonl"),
    licence="see its card; the problems are LeetCode's, AtCoder's and Codeforces' own",
    has_solutions=False,
    has_ids=True,
    options=LiveCodeBenchOptions,
)
