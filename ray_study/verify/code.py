"""Programs: what stands in the last fenced block is run in the sandbox, and must pass every test. LiveCodeBench's rules of comparing.

Differences to LiveCodeBench's own judge, which runs programs in its own process: a test's seconds are processor time, not wall clock (a
busy machine fails nobody; a sleeper is killed at ten times as much), each test on standard input has a process of its own, a program
has 1 GiB of address space and may start threads but no processes, and the expected results stay outside.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import signal
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ray_study.rows import Judgement, Verdict
from ray_study.verify import sandbox
from ray_study.verify.code_tests import Case, Tests, read_tests
from ray_study.verify.sandbox import Limits, Outcome

FENCE = "```"
_FUTURE = re.compile(r"^from __future__ import .*$", re.MULTILINE)
_DRIVER = Path(__file__).with_name("code_driver.py")
_WALL_PER_CPU = 10.0
_START_SECONDS = 5.0
_MOST_EXPLAINED = 200


class _SandboxBrokeError(Exception):
    """No fault of the program's: it was never run."""


def judge_code(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """`correct` where the program passes every test, `wrong` with the first that it fails, `error` where the sandbox itself broke.

    A program over its time is wrong: the gold says how long each test may take, not `timeout_seconds`.

    Raises:
        RuntimeError: programs cannot be run safely on this machine.
    """
    sandbox.require_sandbox()
    try:
        tests = read_tests(gold)
    except ValueError as error:
        return Judgement(verdict="error", answer=answer, explanation=str(error))
    try:
        num_passed, why = (_stdin if tests.style == "stdin" else _driven)(answer, tests)
    except _SandboxBrokeError as error:
        return Judgement(verdict="error", answer=answer, explanation=f"the sandbox broke: {error}")
    num_asked = len(tests.cases)
    verdict: Verdict = "correct" if num_passed == num_asked else "wrong"
    details = {
        "first_failing": None if verdict == "correct" else num_passed,
        "passed": num_passed,
        "tests": num_asked,
    }
    explanation = f"passes all of {num_asked} tests" if verdict == "correct" else f"fails test {num_passed} of {num_asked}: {why}"
    return Judgement(verdict=verdict, answer=answer, explanation=explanation, details=json.dumps(details, sort_keys=True))


def why_gold_code_fails(gold: str, timeout_seconds: float) -> str:
    """Why the gold cannot be judged against, or an empty string where it holds tests."""
    try:
        read_tests(gold)
    except ValueError as error:
        return str(error)
    return ""


def fenced_code(text: str) -> str | None:
    """What stands between the last two lines that hold a fence, or None where there are none."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if FENCE in line]
    if len(fences) < 2:
        return None
    code = "\n".join(lines[fences[-2] + 1 : fences[-1]])
    return code if code.strip() else None


def unfenced_code(text: str) -> str | None:
    """What follows the only fence, or all of the text."""
    before, fence, after = text.rpartition(FENCE)
    code = after.partition("\n")[2] if fence else before or text
    return code if code.strip() else None


def same_lines(printed: str, expected: str) -> bool:
    """Whether both are the same line by line, stripped: as written, or as the same decimal numbers."""
    ours, theirs = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(ours) == len(theirs) and all(a == b or _same_numbers(a, b) for a, b in zip(ours, theirs, strict=True))


def _same_numbers(line: str, other: str) -> bool:
    try:
        values = [[Decimal(word) for word in text.split()] for text in (line, other)]
        return values[0] == values[1]
    except InvalidOperation:
        return False


def _whole(answer: str, tests: Tests) -> str:
    """The program behind its setup; imports from the future stay in front."""
    if not tests.setup:
        return answer
    future = "\n".join(_FUTURE.findall(answer))
    return f"{future}\n{tests.setup}\n{_FUTURE.sub('', answer)}" if future else f"{tests.setup}\n{answer}"


def _limits(tests: Tests, *, num_tests: int, expected: int, per_line: bool) -> Limits:
    return Limits(
        cpu_seconds=math.ceil(tests.seconds) * num_tests,
        wall_seconds=_WALL_PER_CPU * tests.seconds + _START_SECONDS,
        per_line=per_line,
        output_bytes=(4 << 20) + 4 * expected,
    )


def _stdin(answer: str, tests: Tests) -> tuple[int, str]:
    """How many tests pass before the first that fails, and why that fails. No seconds: judged again, it must say the same."""
    program = _whole(answer, tests)
    for number, case in enumerate(tests.cases):
        limits = _limits(tests, num_tests=1, expected=len(case.output), per_line=False)
        outcome = _run({"program.py": program}, "program.py", case.input, limits)
        why = _why_it_ended(outcome, tests) or _why_not_printed(outcome, case)
        if why:
            return number, why
    return len(tests.cases), ""


def _driven(answer: str, tests: Tests) -> tuple[int, str]:
    """As `_stdin`, in one process for all tests: they are told line by line, and what does not carry the token is not read."""
    token = secrets.token_hex(16)
    request = {
        "style": tests.style,
        "entry_point": tests.entry_point,
        "seconds": tests.seconds,
        "token": token,
        "tests": [case.input for case in tests.cases],
    }
    expected = sum(len(case.output) for case in tests.cases)
    limits = _limits(tests, num_tests=len(tests.cases) + 1, expected=expected, per_line=True)
    files = {"driver.py": _DRIVER.read_text(), "program.py": _whole(answer, tests)}
    outcome = _run(files, "driver.py", json.dumps(request), limits)
    told = [fact for fact in map(_told, outcome.output.decode(errors="replace").split("\n")) if fact.get("token") == token]
    for number, case in enumerate(tests.cases):
        if number >= len(told):
            return number, _why_it_ended(outcome, tests) or "the program ended before it"
        if "error" in told[number]:
            return number, str(told[number]["error"])
        if tests.style == "functional" and told[number].get("value") != json.loads(case.output):
            return number, f"returned {_short(json.dumps(told[number].get('value')))}, not {_short(case.output)}"
    return len(tests.cases), ""


def _run(files: dict[str, str], main: str, given: str, limits: Limits) -> Outcome:
    outcome = sandbox.run(files, main=main, given=given.encode(errors="surrogatepass"), limits=limits)
    if outcome.how == "broken":
        raise _SandboxBrokeError(_short(outcome.errors.decode(errors="replace").strip()) or "bubblewrap ended and said nothing")
    return outcome


def _told(line: str) -> dict[str, object]:
    try:
        fact = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fact if isinstance(fact, dict) else {}


def _why_it_ended(outcome: Outcome, tests: Tests) -> str:
    """Why the program's end alone fails a test, or nothing."""
    if outcome.how == "time":
        return f"still not done after {_WALL_PER_CPU * tests.seconds + _START_SECONDS:g} s"
    if outcome.how == "output":
        return "printed too much"
    if outcome.signal in (signal.SIGXCPU, signal.SIGPROF, signal.SIGKILL):
        return f"over its time limit of {tests.seconds:g} s a test"
    if outcome.code == 0:
        return ""
    lines = outcome.errors.decode(errors="replace").strip().splitlines()
    return f"ended with code {outcome.code}" + (f": {_short(lines[-1])}" if lines else "")


def _why_not_printed(outcome: Outcome, case: Case) -> str:
    printed = outcome.output.decode(errors="replace")
    return "" if same_lines(printed, case.output) else f"printed {_short(printed)!r}, not {_short(case.output)!r}"


def _short(text: object) -> str:
    written = str(text)
    return written if len(written) <= _MOST_EXPLAINED else f"{written[:_MOST_EXPLAINED]}…"
