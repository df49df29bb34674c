"""Sets of problems as another process makes them: settings as JSON on standard input, an id and a digest a problem on standard output.

Python salts `hash()` anew in each process, and a set that depends on it is another exam in each. Light: `check` waits for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from ray_study import problems
from ray_study.config import Problems
from ray_study.manifests import digest
from ray_study.rows import Problem


def marks(rows: Sequence[Problem]) -> list[list[str]]:
    """What must be equal in every process: each problem's id, and a digest of its prompt and gold answer, in order."""
    return [[row.id, digest([row.prompt, row.answer])] for row in rows]


def main() -> None:
    """Writes the marks of the sets that are asked for, by name."""
    asked = {name: Problems.model_validate(settings) for name, settings in json.load(sys.stdin).items()}
    made = {
        name: marks(problems.load(each.source, num_problems=each.num_problems, seed=each.seed, options=each.options))
        for name, each in asked.items()
    }
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
