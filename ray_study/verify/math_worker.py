"""The process in which math-verify runs: a guard that reads questions, and a child of it that computes.

Started as a file by `math_pool.py`, never imported by the package, and importing nothing of it: so it starts alike from a
script without a main guard, from standard input, a notebook, a thread, a Ray task and an actor. The guard imports
math-verify once and never runs it on an answer; it forks the child that does, kills it at the wall clock, and forks
another one, which takes milliseconds where a new process takes seconds.

One JSON line in, `{"pairs": [[gold, answer], ...], "seconds": 8}`, is one JSON line out, until the input closes.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import os
import re
import resource
import select
import signal
import sys
import time
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import normalize_latex
from math_verify import LatexExtractionConfig, parse, verify
from math_verify.parser import parse_latex_cached
from sympy.core.relational import Relational

MEMORY_BYTES = 4 * 2**30
ALARM_GRACE_SECONDS = 20.0

STRICT = LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)

# The grammar's runtime learns while it parses: its first formulas are up to fifty times slower. Children start with what the guard learnt.
LEARN_FROM = [
    *(r"\frac{1}{2}", "x^2+2x-1", r"\frac{\sqrt{3}}{2}", r"(-\infty,2)\cup(3,\infty)", r"\{1,2\}", "(1,-2)", "y=2x+1", "1<x<5"),
    *(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "3+4i", "1,2,3", r"\text{even}", r"\frac{\pi}{4}", "2^{10}", r"x \in [1,2]", "x/y"),
]

_OR = re.compile(r"\\lor(?![a-zA-Z])|(?<![a-zA-Z])or(?![a-zA-Z])")


def main() -> None:
    """Serves comparisons until standard input closes."""
    replies = os.dup(1)
    # The grammar's runtime prints the model's text; standard output is for replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)  # math-verify's loggers print whole predictions
    for latex in LEARN_FROM:
        answered(latex, latex)
    gc.collect()
    gc.freeze()  # the children then share these pages
    child = Child(replies)
    send(replies, {"process_id": child.process_id})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        found = [child.asked(gold, answer, request["seconds"]) for gold, answer in request["pairs"]]
        send(replies, {"process_id": child.process_id, "replies": found})
    child.kill()


def send(pipe: int, message: object) -> None:
    """Writes one JSON line."""
    data = json.dumps(message).encode("ascii") + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


class Child:
    """The process that computes, and the one that follows when it had to be killed."""

    def __init__(self, replies: int) -> None:
        self._not_its = replies
        self._start()

    def asked(self, gold: str, answer: str | None, seconds: float) -> tuple[str, str]:
        """The verdict and its explanation; `timeout` at the wall clock, `error` where the child died or is short of memory."""
        if os.waitpid(self.process_id, os.WNOHANG)[0]:
            self._close()
            self._start()
        deadline = time.monotonic() + seconds
        try:
            send(self._requests, [gold, answer, seconds + ALARM_GRACE_SECONDS])
            line = self._line(deadline)
        except BrokenPipeError:
            line = b""
        if line is None:
            self._replace()
            return "timeout", f"math-verify took more than {seconds:g} s"
        if not line:
            return "error", f"the math worker ended by signal {self._replace()} (its memory limit, perhaps)"
        verdict, explanation, is_sound = json.loads(line)
        if not is_sound:
            self._replace()
        return verdict, explanation

    def kill(self) -> int:
        """Ends the child, whatever it does; the signal that ended it."""
        try:
            os.kill(self.process_id, signal.SIGKILL)
        except ProcessLookupError:
            return signal.SIGKILL
        _, status = os.waitpid(self.process_id, 0)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def _line(self, deadline: float) -> bytes | None:
        """The child's reply, empty where it died, None at the deadline."""
        ready = select.poll()
        ready.register(self._answers, select.POLLIN)
        ready.register(0, 0)  # the end of whoever asks
        line = b""
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            events = dict(ready.poll(remaining * 1000)) if remaining > 0 else {}
            if 0 in events:
                self.kill()
                sys.exit(0)
            if not events:
                return None
            chunk = os.read(self._answers, 65536)
            if not chunk:
                return b""
            line += chunk
        return line

    def _replace(self) -> int:
        how = self.kill()
        self._close()
        self._start()
        return how

    def _start(self) -> None:
        theirs, self._requests = os.pipe()
        self._answers, ours = os.pipe()
        self.process_id = os.fork()
        if self.process_id == 0:
            try:
                for pipe in (0, self._not_its, self._requests, self._answers):
                    os.close(pipe)
                serve(theirs, ours)
            finally:
                os._exit(0)
        os.close(theirs)
        os.close(ours)

    def _close(self) -> None:
        os.close(self._requests)
        os.close(self._answers)


def serve(requests: int, replies: int) -> None:
    """What the child does: one comparison after the other under its own memory limit."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # A child whose guard was killed while it hung ends itself: by default SIGALRM ends a process, without any Python.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    for line in os.fdopen(requests, "rb"):
        gold, answer, alarm_seconds = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, alarm_seconds)
        verdict, explanation, is_sound = answered(gold, answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(replies, [verdict, explanation[:300], is_sound])


def answered(gold: str, answer: str | None) -> tuple[str, str, bool]:
    """The verdict (`error`: the comparison itself failed), its explanation, and whether the process is still sound."""
    try:
        return *compare(gold, answer), True
    except Exception as error:  # noqa: BLE001 - whatever math-verify raises means "could not judge", and is said as that
        return "error", f"math-verify raised {type(error).__name__}: {error}", not isinstance(error, (RecursionError, MemoryError))


def compare(gold: str, answer: str | None) -> tuple[str, str]:
    """The verdict by math-verify, its own timeouts off, as the guard kills; without an answer `correct` where the gold parses."""
    gold_expressions = parsed(gold)
    if not gold_expressions:
        return "error", f"the gold answer {gold[:80]!r} does not parse as LaTeX"
    if answer is None:
        return "correct", "the gold answer parses"
    expressions = parsed(answer)
    if not expressions:
        reason = why_unparsed(answer)
        if isinstance(reason, (RecursionError, MemoryError)):
            raise reason
        return "wrong", "the answer does not parse as LaTeX"
    gold_first, first = gold_expressions[0], expressions[0]
    if are_same_relation(gold_first, first):
        return "correct", "the same relation up to a constant factor"
    if are_far_numbers(gold_first, first):
        return "wrong", "compared as numbers"
    if _OR.search(answer) or _OR.search(gold):
        gold_expressions, expressions = [united(gold_first)], [united(first)]
    equal = verify(
        gold_expressions, expressions, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
    ) and not are_both_unsolvable(gold_first, first)
    return ("correct" if equal else "wrong"), "compared by math-verify"


@functools.lru_cache(maxsize=4096)
def parsed(latex: str) -> list[Any]:
    """The expressions that math-verify reads, boxed first since bare LaTeX is mis-parsed; empty where it reads none."""
    found = parse(rf"\boxed{{{latex}}}", [STRICT], parsing_timeout=None, raise_on_error=True)
    return found if any(not isinstance(expression, str) for expression in found) else []


def why_unparsed(latex: str) -> Exception | None:
    """What stopped the parser: math-verify swallows it, and a lack of stack or memory is no fault of the answer."""
    try:
        parse_latex_cached(normalize_latex(rf"\boxed{{{latex}}}", STRICT.normalization_config))
    except Exception as error:  # noqa: BLE001 - only its type is asked for
        return error
    return None


def are_far_numbers(gold: Any, answer: Any) -> bool:
    """Whether both are numbers that differ in their first digits: then there is no need to simplify their difference."""
    if not all(isinstance(side, sympy.Expr) and not side.is_Matrix and side.is_number for side in (gold, answer)):
        return False
    try:
        ours, theirs = complex(gold.evalf(15)), complex(answer.evalf(15))
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return False
    return 1e-3 * (1 + abs(ours)) < abs(ours - theirs) < 1e12


def are_same_relation(gold: Any, answer: Any) -> bool:
    """Whether both are one relation; where sympy cannot tell, math-verify has the word."""
    try:
        return is_multiple(gold, answer)
    except (ArithmeticError, AttributeError, NotImplementedError, sympy.PolynomialError, TypeError, ValueError):
        return False


def is_multiple(gold: Any, answer: Any) -> bool:
    """Whether both are one equation, or one inequality, multiplied by a constant that is not zero (for an inequality: above it).

    A gold that is solved already (`x = 2`) is a value: `2x = 4` still asks for it, and is not the same answer.
    """
    sides = one_sided(gold), one_sided(answer)
    if sides[0] is None or sides[1] is None or sides[0][1] != sides[1][1] or is_solved(gold):
        return False
    ours, theirs = sympy.expand(sides[0][0]), sympy.expand(sides[1][0])
    if not ours.free_symbols or ours.free_symbols != theirs.free_symbols:
        return False
    ratio = sympy.cancel(theirs / ours)
    if ratio.free_symbols:
        ratio = sympy.simplify(ratio)
    if ratio.free_symbols or not ratio.is_number or ratio.is_finite is not True or ratio.is_zero is not False:
        return False
    return isinstance(gold, sympy.Eq) or ratio.is_positive is True


def one_sided(relation: Any) -> tuple[Any, str] | None:
    """A relation as what stands before `= 0`, `< 0` or `<= 0`, and which of them; None for what is no relation of numbers."""
    if not isinstance(relation, Relational) or not all(isinstance(side, sympy.Expr) and not side.is_Matrix for side in relation.args):
        return None
    if isinstance(relation, sympy.Eq):
        return relation.lhs - relation.rhs, "="
    sign = "<" if isinstance(relation, (sympy.StrictLessThan, sympy.StrictGreaterThan)) else "<="
    if isinstance(relation, (sympy.StrictLessThan, sympy.LessThan)):
        return relation.lhs - relation.rhs, sign
    if isinstance(relation, (sympy.StrictGreaterThan, sympy.GreaterThan)):
        return relation.rhs - relation.lhs, sign
    return None


def is_solved(relation: Any) -> bool:
    """Whether a relation has one symbol on one side and no symbol on the other."""
    return any(one.is_Symbol and not other.free_symbols for one, other in (relation.args, relation.args[::-1]))


def are_both_unsolvable(gold: Any, answer: Any) -> bool:
    """Whether these are two different equations without a solution: math-verify takes any two of them for equal."""
    sides = one_sided(gold), one_sided(answer)
    if sides[0] is None or sides[1] is None or not isinstance(gold, sympy.Eq) or not isinstance(answer, sympy.Eq):
        return False
    if gold == answer or sympy.simplify(sides[0][0] - sides[1][0]) == 0:
        return False
    try:
        return not sympy.solve(gold, gold.free_symbols)
    except Exception:  # noqa: BLE001 - then math-verify did not get its verdict by solving either
        return False


def united(expression: Any) -> Any:
    """Inequalities in one symbol, joined by "or", as the union of their solutions; anything else as it is."""
    parts = expression.args if isinstance(expression, sympy.FiniteSet) else [expression]
    if not all((isinstance(part, Relational) or part.is_Boolean) and len(part.free_symbols) == 1 for part in parts):
        return expression
    if any(isinstance(part, sympy.Eq) for part in parts):
        return expression
    return sympy.Union(*(part.as_set() for part in parts))


if __name__ == "__main__":
    main()
