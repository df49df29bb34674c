"""What is asked for a program, in this project's words, and the gold that the verifier of kind `code` reads."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence

from ray_study.problems.formats import CODE_REQUEST, CODE_ROLE

ON_STANDARD_INPUT = "The program reads its input from standard input and prints only the answer to standard output, in the task's format."

PACKED_FROM = 20_000
"""Characters of tests from which they are packed, as `ray_study.verify` unpacks them: those of a contest may take tens of megabytes."""


def ask(task: str, *, how: str = "", starter: str = "", tests: Sequence[str] = ()) -> str:
    """The whole user turn: role, task, what the program must be called or do, and the request for a fenced block."""
    parts = [CODE_ROLE, f"Task:\n{task.strip()}"]
    if tests:
        parts.append("It must pass tests such as these:\n```python\n" + "\n".join(tests) + "\n```")
    if starter:
        parts.append(f"Begin with this and keep its names and arguments:\n```python\n{starter.rstrip()}\n```")
    return "\n\n".join([*parts, f"{how} {CODE_REQUEST}".strip()])


def fenced(program: str) -> str:
    """A program as an answer gives it."""
    return f"```python\n{program.strip()}\n```"


def gold(style: str, tests: Sequence[dict[str, str] | str], *, seconds: float, entry_point: str = "", setup: str = "") -> str:
    """Gold of kind `code`: the tests, packed where they are many (base64 of zlib of their JSON), as JSON."""
    facts: dict[str, object] = {"style": style, "seconds": seconds, "entry_point": entry_point, "setup": setup}
    text = json.dumps(list(tests))
    if len(text) < PACKED_FROM:
        facts["tests"] = list(tests)
    else:
        facts["packed"] = base64.b64encode(zlib.compress(text.encode())).decode()
    return json.dumps(facts, sort_keys=True)
