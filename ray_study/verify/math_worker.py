"""The process in which math-verify runs: one JSON line in, one JSON line out, until its input closes.

Started as a file by `math_pool.py`, never imported by the package, and importing nothing of it: so it starts alike from a
script without a main guard, from standard input, a notebook, a thread, a Ray task and an actor. Where it hangs or takes too
much memory it is killed, and nothing else is.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

from latex2sympy2_extended.latex2sympy2 import normalize_latex
from math_verify import LatexExtractionConfig, parse, verify
from math_verify.parser import parse_latex_cached

MEMORY_BYTES = 4 * 2**30

STRICT = LatexExtractionConfig(boxed_match_priority=0, try_extract_without_anchor=False)


def main() -> None:
    """Serves comparisons until standard input closes."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    # The grammar's runtime prints the model's text; standard output is for replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)  # math-verify's loggers print whole predictions
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # A worker whose parent was killed while it hung kills itself: by default SIGALRM ends the process, and no Python
    # needs to run for it.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    replies.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["alarm_seconds"])
        verdict, explanation = answered(request["gold"], request["answer"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(json.dumps({"verdict": verdict, "explanation": explanation[:300]}) + "\n")


def answered(gold: str, answer: str | None) -> tuple[str, str]:
    """The verdict and its explanation, where `error` says that the comparison itself failed.

    Without an answer: `correct` where the gold parses.
    """
    try:
        return compare(gold, answer)
    except Exception as error:  # noqa: BLE001 - whatever math-verify raises means "could not judge", and is said as that
        return "error", f"math-verify raised {type(error).__name__}: {error}"


def compare(gold: str, answer: str | None) -> tuple[str, str]:
    """The verdict by math-verify, both of its own timeouts off: they need SIGALRM's handler, and the pool kills instead."""
    gold_expressions = parsed(gold)
    if not gold_expressions:
        return "error", f"the gold answer {gold[:80]!r} does not parse as LaTeX"
    if answer is None:
        return "correct", "the gold answer parses"
    expressions = parsed(answer)
    if not expressions:
        reason = why_unparsed(answer)
        if isinstance(reason, (RecursionError, MemoryError)):
            return "error", f"math-verify could not read the answer: {type(reason).__name__}"
        return "wrong", "the answer does not parse as LaTeX"
    equal = verify(gold_expressions, expressions, timeout_seconds=None, raise_on_error=True)
    return ("correct" if equal else "wrong"), "compared by math-verify"


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


if __name__ == "__main__":
    main()
