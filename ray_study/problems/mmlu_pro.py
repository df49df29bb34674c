"""MMLU-Pro, whole or a category-balanced part whose ids anybody can derive: `python -m ray_study.problems.mmlu_pro FILE [NUMBER]`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from ray_study.problems import sets
from ray_study.problems.choices import LETTERS, laid_out
from ray_study.problems.draws import digest, subset
from ray_study.problems.math_sets import text
from ray_study.problems.sets import Item, PublishedSet, SetOptions
from ray_study.problems.source import Loaded, SourceSpec
from ray_study.rows import Problem

FILLED_UP = "N/A"
"""What the published lists of options are filled up with."""
RULE = "in each category by the SHA-256 of the problem's id, one from each category in turn, categories by the SHA-256 of their names"


class MmluProOptions(SetOptions):
    """Where MMLU-Pro is read from, and which of it."""

    ids: Literal["content", "column"] = "column"
    """By default `question_id`, so that the ids of a part can be compared with other people's."""
    balanced: int | None = Field(default=None, ge=1)
    """So many problems, from each category as many; None takes all."""


def load(spec: SourceSpec[MmluProOptions]) -> Loaded:
    """The part of MMLU-Pro that was asked for, and how many rows are no problems by reason."""
    everything: SourceSpec[SetOptions] = SourceSpec(source=spec.source, num_problems=None, seed=spec.seed, options=spec.options)
    whole = sets.load(MMLU_PRO, everything)
    if spec.options.balanced is None:
        return replace(whole, problems=subset(whole.problems, spec.num_problems, spec.seed))
    chosen = subset(balanced(whole.problems, spec.options.balanced), spec.num_problems, spec.seed)
    return replace(whole, problems=chosen, manifest=manifest(chosen))


def balanced(problems: Sequence[Problem], number: int) -> list[Problem]:
    """So many of the problems, from each cluster as many (one more or less); a smaller part is the beginning of a larger one.

    Raises:
        ValueError: there are fewer.
    """
    if number > len(problems):
        raise ValueError(f"balanced: {number} problems were asked for, but there are {len(problems)}; ask for fewer")
    clusters: dict[str, list[Problem]] = defaultdict(list)
    for problem in sorted(problems, key=lambda each: digest("balanced", each.id)):
        clusters[problem.cluster].append(problem)
    turns = [(rank, digest("balanced", cluster), problem) for cluster, rows in clusters.items() for rank, problem in enumerate(rows)]
    return [problem for _, _, problem in sorted(turns, key=lambda turn: turn[:2])[:number]]


def manifest(problems: Sequence[Problem]) -> dict[str, Any]:
    """Which problems a part holds: the rule, the ids by category, and one SHA-256 over all ids in order."""
    by_category: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        by_category[problem.cluster].append(problem.id)
    ids = {category: sorted(found) for category, found in sorted(by_category.items())}
    return {
        "name": MMLU_PRO.name,
        "rule": RULE,
        "num_problems": len(problems),
        "num_by_category": {category: len(found) for category, found in ids.items()},
        "sha256": digest(sorted(problem.id for problem in problems)),
        "ids": ids,
    }


def _read(row: Mapping[str, Any], options: SetOptions) -> Item:
    question, answer = text(row["question"]), text(row["answer"])
    listed = [text(option) for option in row["options"]] if isinstance(row["options"], list) else []
    if not 2 <= len(listed) <= len(LETTERS) or len(answer) != 1 or answer not in LETTERS[: len(listed)]:
        raise ValueError(f"expected 2 to {len(LETTERS)} options and the letter of one, found {len(listed)} and answer {answer!r}")
    # At the end of a list they stand for nothing, and what is before them keeps its letter.
    while listed[-1] == FILLED_UP and len(listed) > max(2, LETTERS.index(answer) + 1):
        listed.pop()
    return Item(
        question=laid_out(question, listed, "lines") if question else "",
        answer=answer,
        kind="choice",
        cluster=text(row["category"]),
        name=text(row["question_id"]),
        num_choices=len(listed),
    )


MMLU_PRO = PublishedSet(
    name="TIGER-Lab/MMLU-Pro",
    columns=("question_id", "question", "options", "answer", "category"),
    read=_read,
    kinds=("choice",),
    split="test",
    licence="MIT by its card",
    has_solutions=False,
    has_ids=True,
    options=MmluProOptions,
)


def main(arguments: Sequence[str]) -> int:
    """The exit code; the manifest of a part of a local file is written to standard output."""
    if not arguments:
        sys.stderr.write("usage: python -m ray_study.problems.mmlu_pro FILE [NUMBER]; FILE is a .parquet or .jsonl in MMLU-Pro's layout\n")
        return 2
    options = MmluProOptions(path=arguments[0], balanced=int(arguments[1]) if len(arguments) > 1 else 1000)
    found = load(SourceSpec(source="mmlu_pro", num_problems=None, seed=0, options=options))
    sys.stdout.write(json.dumps(manifest(found.problems), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
