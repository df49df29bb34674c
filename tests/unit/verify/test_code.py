"""Programs are found, run and compared by LiveCodeBench's rules; every way to fail is told apart."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from ray_study import tables
from ray_study.rows import Attempt, GradedAttempt, Judgement, Problem
from ray_study.verify import check_gold, grade, judge, judge_lenient, sandbox_fault
from ray_study.verify.code import fenced_code, same_lines, unfenced_code
from ray_study.verify.code_driver import plain
from ray_study.verify.code_tests import read_tests
from ray_study.verify.shards import judge_shards

needs_sandbox = pytest.mark.skipif(sandbox_fault() != "", reason=sandbox_fault())


def gold(style: str, tests: list[Any], **more: object) -> str:
    return json.dumps({"style": style, "tests": tests, "seconds": 1, **more})


ADD = gold("stdin", [{"input": "1 2\n", "output": "3\n"}, {"input": "2.5 4\n", "output": "6.5"}])
JOIN = gold("functional", [{"input": "[1, 2]\n3", "output": "[1, 2, 3]"}, {"input": "[]\n1", "output": "[1]"}], entry_point="join")
NEXT = gold("asserts", ["assert after(1) == 2", "assert after(2) == 3"])


def fenced(program: str) -> str:
    return f"<think>```python\nprint(0)\n```</think>So:\n```python\n{program}\n```\nDone."


def judged(program: str, wanted: str) -> Judgement:
    return judge("code", fenced(program), wanted)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```", "a"),
        ("```\na\n```\nthen\n```python\nb\nc\n```\nend", "b\nc"),
        ("```python\na\n```\nwords\nand ```b``` too", "words"),
        ("no program", None),
        ("```python\na", None),
        ("```python\n\n```", None),
    ],
)
def test_a_program_stands_between_the_last_two_lines_with_a_fence(text: str, code: str | None) -> None:
    assert fenced_code(text) == (code or None)


def test_leniently_a_program_may_lack_its_fences() -> None:
    assert unfenced_code("```python\na\nb") == "a\nb"
    assert unfenced_code("a\nb") == "a\nb"
    assert unfenced_code("  ") is None


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("3\n", "3", True),
        (" 3 \n4\n\n", "3\n4", True),
        ("3.0", "3", True),
        ("1 2.50", "1.0 2.5", True),
        ("0.1", "0.10000001", False),
        ("3 4", "3\n4", False),
        ("yes", "Yes", False),
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("", "0", False),
        ("1e3", "1000", True),
    ],
)
def test_what_is_printed_is_compared_line_by_line_as_written_or_as_decimals(printed: str, expected: str, same: bool) -> None:
    assert same_lines(printed, expected) == same


def test_only_the_outermost_tuple_counts_as_a_list() -> None:
    assert plain((1, [2.5, "a", None, True], {"k": 1})) == [1, [2.5, "a", None, True], {"k": 1}]
    for value in ([(1, 2)], {1: 2}, {1, 2}, b"a", object()):
        with pytest.raises(TypeError, match="no test expects"):
            plain(value)


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "wanted", "explanation"),
    [
        ("a, b = map(float, input().split())\nprint(a + b)", ADD, "passes all of 2 tests"),
        ("print(eval('3'))", ADD, "fails test 1 of 2: printed '3\\n', not '6.5'"),
        ("import sys\nsys.exit('no')", ADD, "fails test 0 of 2: ended with code 1: no"),
        ("raise KeyError('x')", ADD, "fails test 0 of 2: ended with code 1: KeyError: 'x'"),
        ("def (", ADD, "fails test 0 of 2: ended with code 1: SyntaxError: invalid syntax"),
        ("while True:\n    pass", ADD, "fails test 0 of 2: over its time limit of 1 s a test"),
        ("while True:\n    print('x' * 100000)", ADD, "fails test 0 of 2: printed too much"),
        ("x = bytearray(3 << 30)", ADD, "fails test 0 of 2: ended with code 1: MemoryError"),
        ("def join(a, b):\n    return (*a, b)", JOIN, "passes all of 2 tests"),
        ("class Solution:\n    def join(self, a, b):\n        print('noise')\n        return a + [b]", JOIN, "passes all of 2 tests"),
        ("def join(a, b):\n    return a", JOIN, "fails test 0 of 2: returned [1, 2], not [1, 2, 3]"),
        ("def join(a, b):\n    return [a[0], 2, 3]", JOIN, "fails test 1 of 2: IndexError: list index out of range"),
        ("def joined(a, b):\n    return a", JOIN, "fails test 0 of 2: AttributeError: module 'program' has no attribute 'join'"),
        ("def join(a, b):\n    return {1, 2, 3}", JOIN, "fails test 0 of 2: TypeError: the result holds a set, which no test expects"),
        ("def join(a, b):\n    while a:\n        pass\n    return [b]", JOIN, "fails test 0 of 2: over its time limit of 1 s a test"),
        ("def after(x):\n    return x + 1\nif __name__ == '__main__':\n    print(input())", NEXT, "passes all of 2 tests"),
        ("def after(x):\n    return 2", NEXT, "fails test 1 of 2: AssertionError: "),
        ("import sys\nsys.exit(0)", NEXT, "fails test 0 of 2: SystemExit: 0"),
        ("import os\nos._exit(0)", NEXT, "fails test 0 of 2: the program ended before it"),
        (
            'import os\nos.write(3, b\'{"token": "0", "value": true}\\n\' * 2)\nos._exit(0)',
            NEXT,
            "fails test 0 of 2: the program ended before it",
        ),
        ("class E(Exception):\n    def __str__(self):\n        raise self\nraise E", NEXT, "fails test 0 of 2: E"),
    ],
)
def test_the_first_failing_test_and_its_reason_are_said(program: str, wanted: str, explanation: str) -> None:
    found = judged(program, wanted)
    assert found.explanation == explanation
    assert found.verdict == ("correct" if explanation.startswith("passes") else "wrong")
    assert found.answer == program
    details = json.loads(found.details)
    assert details["tests"] == 2
    assert details["first_failing"] == (None if found.verdict == "correct" else details["passed"])


@needs_sandbox
def test_expected_results_stay_outside_and_inputs_cannot_be_read_in_advance() -> None:
    program = "import os\nfound = sorted(n for d in ('/w', '/tmp') for n in os.listdir(d))\ndef join(a, b):\n    return found"
    assert 'returned ["driver.py", "program.py"]' in judged(program, JOIN).explanation


@needs_sandbox
def test_a_setup_comes_before_the_program_and_imports_from_the_future_before_it() -> None:
    program = "from __future__ import annotations\ndef after(x: List[Nothing]) -> int:\n    return x + STEP"
    assert judged(program, gold("asserts", ["assert after(1) == 2"], setup="from typing import *\nSTEP = 1")).verdict == "correct"


@needs_sandbox
def test_packed_tests_are_the_same_tests() -> None:
    packed = base64.b64encode(zlib.compress(json.dumps(json.loads(ADD)["tests"]).encode())).decode()
    wanted = json.dumps({"style": "stdin", "packed": packed, "seconds": 1})
    assert read_tests(wanted) == read_tests(ADD)
    assert judged("print(sum(map(float, input().split())))", wanted).verdict == "correct"


@needs_sandbox
@pytest.mark.parametrize(
    ("text", "how", "verdict", "lenient"),
    [
        ("I do not know.", {}, "no_answer", "wrong"),
        ("def after(x):\n    return x + 1", {}, "no_answer", "correct"),
        ("```python\ndef after(x):\n    return x + 1", {"finish_reason": "length"}, "unfinished", "correct"),
        ("<think>```python\ndef after(x):\n    return x + 1\n```", {}, "unfinished", "unfinished"),
        ("```python\ndef after(x):\n    return x + 1\n```", {"thinking_opened": True}, "unfinished", "unfinished"),
        ("", {"finish_reason": "refused"}, "error", "error"),
    ],
)
def test_an_answer_without_a_program_is_told_from_a_wrong_one(text: str, how: dict[str, Any], verdict: str, lenient: str) -> None:
    assert judge("code", text, NEXT, **how).verdict == verdict
    assert judge_lenient("code", text, NEXT, **how).verdict == lenient


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("", "which is no JSON"),
        ("[]", "expected {"),
        (gold("doctest", ["x"]), "expected {"),
        (gold("asserts", []), "found no tests"),
        (gold("asserts", [1]), "expected a text that runs"),
        (gold("stdin", ["x"]), "expected an object with texts"),
        (gold("stdin", [{"input": "1", "output": 1}]), "expected an object with texts"),
        (gold("functional", [{"input": "1", "output": "1"}]), "expected a function's name"),
        (gold("functional", [{"input": "one", "output": "1"}], entry_point="f"), "'one' is no JSON value"),
        (gold("asserts", ["x"], seconds=0), "above 0"),
        (gold("asserts", ["x"], seconds=True), "above 0"),
        (json.dumps({"style": "asserts", "packed": "?", "seconds": 1}), "packed tests cannot be read"),
        (json.dumps({"style": "asserts", "packed": base64.b64encode(b"no zlib").decode(), "seconds": 1}), "packed tests are damaged"),
    ],
)
@needs_sandbox
def test_a_gold_that_holds_no_tests_is_found_before_anything_is_asked(wanted: str, message: str) -> None:
    with pytest.raises(ValueError, match="1 gold answers cannot be judged against") as caught:
        check_gold([problem("p", wanted)])
    assert message in str(caught.value)
    assert judged("pass", wanted).verdict == "error"


def problem(name: str, wanted: str, kind: Any = "code") -> Problem:
    return Problem(id=name, source="s", kind=kind, prompt="?", answer=wanted, cluster=name, solution="")


@needs_sandbox
def test_many_attempts_of_several_kinds_are_graded_together_as_each_alone(tmp_path: Path) -> None:
    problems = {"a": problem("a", ADD), "n": problem("n", NEXT), "m": problem("m", "\\sqrt{8}", "math")}
    right = {"a": fenced("print(sum(map(float, input().split())))"), "n": fenced("after = (1).__add__"), "m": "\\boxed{2\\sqrt{2}}"}
    wrong = {"a": fenced("print(1)"), "n": fenced("after = abs"), "m": "\\boxed{1+\\sqrt{2}}"}
    attempts = [Attempt.of_text(name, (right, wrong)[sample % 2][name], sample=sample) for sample in range(4) for name in problems]
    graded = grade(attempts, problems, num_workers=2)
    assert [row.verdict for row in graded] == ["correct"] * 3 + ["wrong"] * 3 + ["correct"] * 3 + ["wrong"] * 3
    assert json.loads(graded[3].details)["first_failing"] == 0
    tables.write(iter(attempts), tmp_path / "attempts/a.parquet", Attempt)
    judge_shards(["a"], str(tmp_path / "attempts"), str(tmp_path / "verdicts"), problems, num_workers=2, progress=lambda text: None)
    stored = tables.read(tmp_path / "verdicts", GradedAttempt)
    assert [(row.problem_id, row.verdict, row.explanation) for row in stored] == [
        (row.problem_id, row.verdict, row.explanation) for row in graded
    ]
