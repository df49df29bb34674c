from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from ray_study.generate.solver import solver_attempts
from ray_study.problems import load
from ray_study.rows import Problem


def test_the_solver_answers_with_the_written_solution_once_a_problem() -> None:
    problems = load("arithmetic", num_problems=5, seed=0, options={})
    attempts = list(solver_attempts(problems))
    assert [attempt.text for attempt in attempts] == [problem.solution for problem in problems]
    assert {(one.asked_of, one.sample, one.finish_reason, one.num_tokens, one.conditions) for one in attempts} == {
        ("solver", 0, "stop", 0, "{}")
    }


def test_a_problem_without_a_solution_names_its_source() -> None:
    problem = replace(load("arithmetic", num_problems=1, seed=0, options={})[0], solution="", source="mmlu")
    with pytest.raises(ValueError, match="of source 'mmlu' has no written solution"):
        list(solver_attempts([problem]))


def test_solutions_are_written_as_they_come_and_not_all_at_once() -> None:
    problems = load("arithmetic", num_problems=2, seed=0, options={})

    def endless() -> Iterator[Problem]:
        while True:
            yield from problems

    assert len(list(islice(solver_attempts(endless()), 5))) == 5
