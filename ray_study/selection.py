"""Graded attempts -> examples: which correct attempts a student learns from, and in what form. Smaller sets are nested in larger.

Nothing here depends on the order in which attempts arrive: they are sorted by key before any seeded choice.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from ray_study.rows import Example, GradedAttempt, Problem

logger = logging.getLogger(__name__)

Policy = Literal["random", "shortest", "longest", "first"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


def select(
    graded: Iterable[GradedAttempt],
    problems: Mapping[str, Problem],
    *,
    policy: Policy,
    per_problem: int = 1,
    num_examples: int | None,
    seed: int,
) -> list[Example]:
    """Examples from correct attempts that stopped by themselves, at most `per_problem` different ones a problem.

    Problems come in a seeded order that does not depend on how many are asked for, and a problem's examples stand together,
    so `num_examples` is the length of a prefix and smaller sets are nested in larger ones; None takes all.

    Raises:
        ValueError: where no problem, or too few, have such an attempt, or an attempt is at an unknown problem.
    """
    _check(policy, per_problem, num_examples)
    rows = list(graded)
    eligible: dict[str, list[GradedAttempt]] = defaultdict(list)
    for row in rows:
        if row.problem_id not in problems:
            raise ValueError(f"an attempt is at problem {row.problem_id!r}, which is not among the {len(problems)} problems given")
        # A cut attempt is never an example, whatever its verdict: it would teach the student not to stop.
        if row.verdict == "correct" and row.finish_reason == "stop":
            eligible[row.problem_id].append(row)
    if not eligible:
        raise ValueError(_nothing_correct(rows, problems))
    examples: list[Example] = []
    for problem_id in sorted(eligible, key=lambda name: (_draw(seed, name), name)):
        chosen = _choose(eligible[problem_id], policy, seed)[:per_problem]
        examples += [_example(row, problems[problem_id]) for row in chosen]
    logger.info(
        "%d examples from %d of %d problems with a correct attempt (%d attempts, policy %s)",
        len(examples),
        len(eligible),
        len(problems),
        len(rows),
        policy,
    )
    if num_examples is not None and len(examples) < num_examples:
        raise ValueError(
            f"found {len(examples)} of {num_examples} examples asked for: {len(eligible)} of {len(problems)} problems have a "
            f"correct attempt and each gives at most {per_problem}. Ask for fewer, attempt more problems, or make more attempts at each"
        )
    return examples[:num_examples]


def transform(examples: Sequence[Example], name: str) -> tuple[list[Example], int]:
    """The examples in the form `name`, and how many were dropped because nothing of their response was left."""
    if name not in TRANSFORMS:
        raise ValueError(f"unknown transform {name!r}; choose from {sorted(TRANSFORMS)}")
    changed = [TRANSFORMS[name](example) for example in examples]
    kept = [example for example in changed if example is not None]
    num_dropped = len(changed) - len(kept)
    logger.info("transform %s kept %d of %d examples", name, len(kept), len(changed))
    if examples and not kept:
        raise ValueError(f"transform {name!r} left nothing of any of {len(examples)} responses; choose another")
    return kept, num_dropped


def drop_thinking(example: Example) -> Example | None:
    """The example without its thinking, as in the study's NoCoT sets: the written summary and answer stay.

    A text with only `</think>` (the prompt's template opened the thinking) loses all up to it. None where nothing is left
    or the thinking was never closed.
    """
    text = re.sub(r"<think>.*?</think>", "", example.response, flags=re.DOTALL)
    text = text.rpartition("</think>")[2]
    return None if "<think>" in text else _with_response(example, text.strip())


def answer_only(example: Example) -> Example | None:
    r"""The example with nothing but its last `\boxed{…}` after the thinking, or its last line where it has no box."""
    summary = drop_thinking(example)
    if summary is None:
        return None
    start = summary.response.rfind("\\boxed{")
    if start < 0:
        return _with_response(example, summary.response.splitlines()[-1].strip())
    end = _closing_brace(summary.response, start + len("\\boxed{"))
    return None if end is None else _with_response(example, summary.response[start : end + 1])


def unchanged(example: Example) -> Example | None:
    """The example as it is; None where its response is empty."""
    return example if example.response.strip() else None


TRANSFORMS: dict[str, Callable[[Example], Example | None]] = {
    "none": unchanged,
    "drop_thinking": drop_thinking,
    "answer_only": answer_only,
}


def _choose(rows: Sequence[GradedAttempt], policy: Policy, seed: int) -> list[GradedAttempt]:
    """The attempts in the policy's order, each text once."""
    keys: dict[Policy, Callable[[GradedAttempt], tuple[object, ...]]] = {
        "random": lambda row: (_draw(seed, row.problem_id, row.asked_of, row.sample),),
        "shortest": lambda row: (row.num_tokens, len(row.text)),
        "longest": lambda row: (-row.num_tokens, -len(row.text)),
        "first": lambda row: (),
    }
    ordered = sorted(rows, key=lambda row: (*keys[policy](row), row.sample, row.asked_of, row.text))
    once: dict[str, GradedAttempt] = {}
    for row in ordered:
        once.setdefault(row.text, row)
    return list(once.values())


def _example(row: GradedAttempt, problem: Problem) -> Example:
    return Example(problem_id=row.problem_id, prompt=problem.prompt, response=row.text, num_tokens=row.num_tokens)


def _with_response(example: Example, response: str) -> Example | None:
    if not response:
        return None
    # Nobody has counted the tokens of a text that was changed.
    return example if response == example.response else replace(example, response=response, num_tokens=0)


def _closing_brace(text: str, start: int) -> int | None:
    depth, index = 1, start
    while index < len(text):
        if text[index] == "\\":
            index += 2  # An escaped brace is text, not structure.
            continue
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
        index += 1
    return None


def _draw(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _check(policy: str, per_problem: int, num_examples: int | None) -> None:
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r}; choose from {list(POLICIES)}")
    if per_problem < 1 or (num_examples is not None and num_examples < 1):
        raise ValueError(f"per_problem and num_examples must be 1 or more, found {per_problem} and {num_examples}")


def _nothing_correct(rows: Sequence[GradedAttempt], problems: Mapping[str, Problem]) -> str:
    verdicts = dict(sorted(Counter(row.verdict for row in rows).items()))
    return (
        f"0 of {len(problems)} problems have a correct attempt that stopped by itself ({len(rows)} attempts, {verdicts}); "
        "look at the verdicts' explanations: the cap, the format and the teacher are the usual causes"
    )
