"""What runs inside the sandbox and nowhere else: a program that a model wrote is imported and called, and each test's result told.

Given on standard input, as JSON: the entry point, the tests, the seconds a test and a token. Told on what was standard output, a JSON
line a test. What the program prints goes nowhere, and it reads an empty input. The expected results of calls never come in here.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import os
import signal
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Given(importlib.machinery.SourceFileLoader):
    """Loads a module from a text that lies in no file, where the program could read it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, f"{name}.py")
        self._text = text

    def get_data(self, path: str) -> bytes:
        return self._text.encode(errors="surrogatepass")

    def path_stats(self, path: str) -> Any:
        raise OSError("no file")


def plain(value: Any, *, at_top: bool = True) -> Any:
    """A result as JSON can hold it; a tuple counts as a list at the top only, as in LiveCodeBench.

    Raises:
        TypeError: it is nothing that a test expects.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list) or (at_top and isinstance(value, tuple)):
        return [plain(each, at_top=False) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(each, at_top=False) for key, each in value.items()}
    raise TypeError(f"the result holds a {type(value).__name__}, which no test expects")


def _solver(program: types.ModuleType, entry_point: str) -> Any:
    holder = program.Solution() if hasattr(program, "Solution") else program
    return getattr(holder, entry_point)


def _results(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The import's own result, which only fails, and then each test's."""
    program = importlib.import_module("program")
    if request["style"] == "functional":
        solve = _solver(program, request["entry_point"])
        for text in request["tests"]:
            _start_clock(request["seconds"])
            yield {"value": plain(solve(*(json.loads(line) for line in text.split("\n"))))}
        return
    names = {name: value for name, value in vars(program).items() if not name.startswith("__")}
    for number, text in enumerate(request["tests"]):
        _start_clock(request["seconds"])
        test = types.ModuleType(f"test_{number}")
        vars(test).update(names)
        _Given(test.__name__, text).exec_module(test)
        yield {"value": True}


def _start_clock(seconds: float) -> None:
    """After so much processor time SIGPROF ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    """Imports, calls and tells."""
    request = json.load(sys.stdin)
    token = request.pop("token")
    with open(os.dup(1), "w", encoding="utf-8", errors="surrogatepass") as told:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        sys.path.insert(0, os.path.dirname(__file__))
        _start_clock(request["seconds"])
        try:
            for result in _results(request):
                told.write(json.dumps({"token": token, **result}) + "\n")
                told.flush()
        except BaseException as error:  # noqa: BLE001  (whatever the program raises, an exit too, is its own failure)
            signal.setitimer(signal.ITIMER_PROF, 0)
            try:
                why = f"{type(error).__name__}: {error}"[:300]
            except Exception:  # noqa: BLE001  (its own exceptions may fail to say what they are)
                why = type(error).__name__
            told.write(json.dumps({"token": token, "error": why}) + "\n")
            told.flush()
    # Threads that the program left behind are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
