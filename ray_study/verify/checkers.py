"""The 25 checkers of IFEval, of lm-eval's library, and IFBench's: which instructions a text follows, strictly and loosely.

As a program (`python -m ray_study.verify.checkers`) it answers one question on standard input: some checkers search with expressions that
take quadratic time on texts such as `<<<<<<…`, and only a process can be ended.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ray_study.verify import ifbench
from ray_study.verify.punkt import nltk_data

LIBRARIES = ("lm_eval", "langdetect", "nltk", "immutabledict")

Instruction = tuple[str, Mapping[str, Any]]
"""An instruction's name and what it is given."""
Followed = tuple[list[bool], list[bool]]
"""For each instruction whether it is followed strictly, and whether it is loosely."""

LONG_CHARACTERS = 8000
"""From so long on, a text is checked in a process of its own, which takes seconds to start and can be ended."""
_START_SECONDS = 60.0


def checkers_fault() -> str:
    """Empty where instructions can be checked on this machine, else what is missing and the mend."""
    lacking = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if lacking:
        return f"found no {', '.join(lacking)}, which check instructions; install the extra `ifeval` of this package"
    try:
        nltk_data()
    except (ValueError, OSError) as error:
        return f"the sentence model that checks instructions cannot be had: {error}"
    return ""


@lru_cache(maxsize=1)
def registry() -> Mapping[str, Any]:
    """The classes of the checkers by the names of the instructions.

    Raises:
        ValueError: the libraries or the sentence model are missing.
    """
    if fault := checkers_fault():
        raise ValueError(fault)
    before = dict(os.environ)
    # Seconds, and the data libraries with them: only who checks instructions pays.
    import langdetect  # noqa: PLC0415
    import nltk  # noqa: PLC0415

    # Otherwise it draws at random, and the same text may be of another language the next time.
    langdetect.DetectorFactory.seed = 0
    nltk.data.path.insert(0, str(nltk_data()))
    # It looks for the sentence model as it is imported: found there, it does not ask for a download.
    from lm_eval.tasks.ifeval import instructions_registry  # noqa: PLC0415

    # The library turns switches of the hub on for the whole process.
    for name in set(os.environ) - set(before):
        del os.environ[name]
    found: Mapping[str, Any] = instructions_registry.INSTRUCTION_DICT
    return found


def registry_of(name: str) -> Mapping[str, Any]:
    """The checkers among which an instruction's is looked for: IFBench's where its name says so, else IFEval's.

    Raises:
        ValueError: their libraries or data are missing.
    """
    return ifbench.registry() if ifbench.is_ifbench(name) else registry()


def why_unknown(instructions: Sequence[Instruction]) -> str:
    """Why no checker can be made of one of the instructions, or nothing."""
    for name, given in instructions:
        known = registry_of(name)
        if name not in known:
            return f"no checker for instruction {name!r}; expected one of {sorted(known)}"
        try:
            _checker(name, given)
        except (TypeError, ValueError, AttributeError) as error:
            return f"instruction {name!r} cannot be checked with {dict(given)}: {error}"
    return ""


def followed(text: str, instructions: Sequence[Instruction], timeout_seconds: float) -> Followed | None:
    """What a text follows, or None where that took too long to find out.

    Raises:
        ValueError: the libraries are missing, or an instruction has no checker.
    """
    if len(text) < LONG_CHARACTERS:
        return check(text, instructions)
    question = json.dumps({"text": text, "instructions": instructions})
    command = [sys.executable, "-m", "ray_study.verify.checkers"]
    path = os.pathsep.join(each for each in sys.path if each)
    try:
        done = subprocess.run(
            command,
            input=question,
            capture_output=True,
            text=True,
            timeout=timeout_seconds + _START_SECONDS,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise ValueError(f"the checkers of instructions failed: {done.stderr.strip()[-300:]}")
    strict, loose = json.loads(done.stdout)
    return strict, loose


def check(text: str, instructions: Sequence[Instruction]) -> Followed:
    """What a text follows: strictly as it stands; loosely without first line, last line, both, or asterisks, whichever helps."""
    checkers = [_checker(name, given) for name, given in instructions]
    strict = [_follows(checker, text) for checker in checkers]
    variants = [variant for variant in dict.fromkeys(loosened(text)) if variant != text]
    loose = [kept or any(_follows(checker, variant) for variant in variants) for kept, checker in zip(strict, checkers, strict=True)]
    return strict, loose


def loosened(text: str) -> Iterator[str]:
    """The text and its seven loose variants."""
    lines = text.split("\n")
    cut = ("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))
    for variant in (text, *cut):
        yield variant
        yield variant.replace("*", "")


def _checker(name: str, given: Mapping[str, Any]) -> Any:
    checker = registry_of(name)[name](name)
    # What is not given is drawn at random by the library: the same draw each time, and nobody else's draws are moved.
    with _draws_of(name):
        checker.build_description(**{key: value for key, value in given.items() if value})
    return checker


@contextmanager
def _draws_of(name: str) -> Iterator[None]:
    state = random.getstate()
    random.seed(f"instruction {name}")
    try:
        yield
    finally:
        random.setstate(state)


def _follows(checker: Any, text: str) -> bool:
    if not text.strip():
        return False
    try:
        return bool(checker.check_following(text))
    except (RecursionError, IndexError):  # JSON nested without end; a text without a word where one is looked at
        return False


def main() -> None:
    """Answers one question."""
    question = json.load(sys.stdin)
    json.dump(check(question["text"], [(name, given) for name, given in question["instructions"]]), sys.stdout)


if __name__ == "__main__":
    main()
