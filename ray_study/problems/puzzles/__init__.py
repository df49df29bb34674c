"""Puzzles outside mathematics, made on demand: logic, algorithms, ordering and games, each with one exact answer.

Every task says the form of its answer, so that one box is right, and writes a short exact solution that a student can be taught.
A problem's split follows from its canonical key, which leaves out what does not make it another problem: names, the order
of clues, the side from which a board is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pydantic import Field, field_validator

from ray_study.problems.draws import Split, known_shares, pick_by_share
from ray_study.problems.formats import Request
from ray_study.problems.made import Draft, collect, to_problem
from ray_study.problems.puzzles import algorithms, games, logic, ordering
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

TASKS: dict[str, Callable[[Random, int], Draft]] = {
    "knights_knaves": logic.knights_knaves,
    "entailment": logic.entailment,
    "truth_rows": logic.truth_rows,
    "base_conversion": algorithms.base_conversion,
    "shortest_path": algorithms.shortest_path,
    "brackets": algorithms.brackets,
    "run_length": algorithms.run_length,
    "letter_count": algorithms.letter_count,
    "race_order": ordering.race_order,
    "sort_words": ordering.sort_words,
    "weekday": ordering.weekday,
    "nim": games.nim,
    "three_in_a_row": games.three_in_a_row,
    "life": games.life,
}


class PuzzleOptions(Options):
    """Which tasks in which shares, and how hard they are."""

    tasks: dict[str, float] = Field(default=dict.fromkeys(TASKS, 1.0))
    """Shares by task name; only their proportions count. All tasks in equal shares by default."""
    difficulty: int = Field(default=1, ge=1, le=3)
    """More people, variables, nodes, piles, days or cells from 1 to 3."""
    request: Request = "long"
    split: Split = "train"

    @field_validator("tasks")
    @classmethod
    def known_tasks(cls, tasks: dict[str, float]) -> dict[str, float]:
        """The shares, if each is above 0 and of a known task."""
        known_shares(tasks, TASKS)
        return tasks


def load(spec: SourceSpec[PuzzleOptions]) -> list[Problem]:
    """Puzzles of kind `number`, `exact` or `choice`; the cluster is the name of the task."""
    options = spec.options

    def make(rng: Random) -> Draft:
        return draft(rng, options)

    drafts = collect(make, spec.source, num=spec.num_problems, seed=spec.seed, split=options.split)
    return [to_problem(one, spec.source, options.request) for one in drafts]


def draft(rng: Random, options: PuzzleOptions) -> Draft:
    """One puzzle of the mixture with its solution."""
    return TASKS[pick_by_share(rng, options.tasks)](rng, options.difficulty)
