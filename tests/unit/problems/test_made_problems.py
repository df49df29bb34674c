from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest

from ray_study.problems import load
from ray_study.problems.arithmetic import add_columns, steps, subtract_columns, sum_key
from ray_study.problems.draws import split_of
from ray_study.rows import Problem

ALL_TASKS = ["add", "subtract", "reverse", "copy", "sort", "max", "min", "count", "refuse", "comply"]
SOURCES: list[tuple[str, dict[str, object]]] = [
    ("arithmetic", {"digits": 2}),
    ("countdown", {}),
    ("procedural", {"tasks": dict.fromkeys(ALL_TASKS, 1.0), "digits": 2}),
]


def made(source: str, options: dict[str, object], num: int = 300, seed: int = 0, split: str = "train") -> list[Problem]:
    return load(source, num_problems=num, seed=seed, options={**options, "split": split})


def boxed(problem: Problem) -> str:
    found = re.fullmatch(r"(?:<think>.*</think>\n)?(.*)", problem.solution, flags=re.DOTALL)
    assert found is not None
    return found[1].rpartition("\\boxed{")[2].rstrip(".").removesuffix("}")


def value(expression: str) -> Fraction:
    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.UnaryOp):
            return -of(node.operand)
        if isinstance(node, ast.Constant):
            return Fraction(node.value)  # type: ignore[arg-type]
        assert isinstance(node, ast.BinOp)
        left, right = of(node.left), of(node.right)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
        return left / right

    return of(ast.parse(expression, mode="eval").body)


@pytest.mark.parametrize(("source", "options"), SOURCES)
def test_fewer_problems_are_the_beginning_of_more(source: str, options: dict[str, object]) -> None:
    assert made(source, options, num=300)[:40] == made(source, options, num=40)


@pytest.mark.parametrize(("source", "options"), SOURCES)
def test_ids_and_prompts_are_unique(source: str, options: dict[str, object]) -> None:
    problems = made(source, options, num=1000)
    assert len({problem.id for problem in problems}) == len({problem.prompt for problem in problems}) == 1000


@pytest.mark.parametrize(("source", "options"), SOURCES)
def test_no_seed_puts_a_held_out_problem_into_training(source: str, options: dict[str, object]) -> None:
    held = {canonical(problem) for seed in (0, 1) for problem in made(source, options, 150, seed, "heldout")}
    for seed in range(4):
        assert held.isdisjoint(canonical(problem) for problem in made(source, options, 1500, seed))


def canonical(problem: Problem) -> str:
    """The problem with its numbers in order, so that 12 + 7 and 7 + 12 are one problem; letters count as they stand."""
    if problem.kind == "countdown":
        gold = json.loads(problem.answer)
        return f"{sorted(gold['numbers'])} {gold['target']}"
    words = re.findall(r"[a-z]+|\d+", problem.prompt.replace("FORBIDDEN", ""))
    if words[0] == "sort":
        return f"sort {sorted(words[1])}"
    return " ".join(sorted(word for word in words if word.isdigit())) + " ".join(word for word in words if word.isalpha())


def test_the_order_of_the_terms_does_not_decide_the_split() -> None:
    assert sum_key([12, 7, -3]) == sum_key([-3, 12, 7])
    assert split_of(sum_key([7, 12])) == split_of(sum_key([12, 7]))


def test_two_processes_with_other_hash_salts_make_the_same_problems() -> None:
    program = (
        "import hashlib; from ray_study.problems import load\n"
        f"made = [load(name, num_problems=200, seed=5, options=options) for name, options in {SOURCES!r}]\n"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True
        ).stdout
        for salt in ("1", "2")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"terms": [2, 3], "digits": 3, "operators": ["+", "-"]},
        {"terms": [2], "digits": 1},
        {"terms": [2, 4], "digits": 4, "style": "columns"},
    ],
)
def test_an_arithmetic_solution_ends_in_the_right_number(options: dict[str, object]) -> None:
    for problem in made("arithmetic", options, num=30):
        asked = re.match(r"What is (.*)\?", problem.prompt)
        assert asked is not None
        assert value(asked[1]) == Fraction(problem.answer) == Fraction(boxed(problem))


def test_every_step_of_the_written_reasoning_is_true() -> None:
    for problem in made("arithmetic", {"terms": [2, 3], "digits": 2, "operators": ["+", "-"]}):
        thinking = problem.solution.partition("</think>")[0].removeprefix("<think>")
        for step in thinking.split(", "):
            left, right = step.split(" = ")
            assert value(left) == int(right)
        assert 5 <= len(re.findall(r"\d|[+=-]", thinking)) <= 30


def test_two_terms_are_added_by_tens_and_units() -> None:
    assert steps([47, 25]) == "47 + 20 = 67, 67 + 5 = 72"
    assert steps([47, -25]) == "47 - 20 = 27, 27 - 5 = 22"
    assert steps([1, 2, 3]) == "1 + 2 = 3, 3 + 3 = 6"


@pytest.mark.parametrize(
    ("values", "written"),
    [([47, 25], "7+5=12 w2 c1 4+2+1=7 w7 c0"), ([95, 7], "5+7=12 w2 c1 9+0+1=10 w0 c1 w1"), ([3, 4], "3+4=7 w7 c0")],
)
def test_columns_are_added_from_the_right_with_carries(values: list[int], written: str) -> None:
    assert add_columns(values) == written


def test_the_digits_written_in_columns_are_the_answer_backwards() -> None:
    for larger, smaller in [(52, 27), (100, 1), (7, 7), (1000, 999), (305, 17)]:
        for text, answer in [
            (add_columns([larger, smaller]), larger + smaller),
            (subtract_columns(larger, smaller), larger - smaller),
        ]:
            assert int("".join(re.findall(r"w(\d)", text))[::-1]) == answer


def test_every_countdown_problem_is_solved_with_each_number_once() -> None:
    for problem in made("countdown", {"numbers": [3, 4, 5]}, num=500):
        gold = json.loads(problem.answer)
        expression = boxed(problem)
        assert value(expression) == gold["target"]
        assert sorted(map(int, re.findall(r"\d+", expression))) == sorted(gold["numbers"])
        assert 10 <= gold["target"] <= 99


def test_the_written_search_says_not_of_what_misses_and_yes_of_what_hits() -> None:
    num_misses = 0
    for problem in made("countdown", {}, num=200):
        target = json.loads(problem.answer)["target"]
        *misses, hit = problem.solution.partition("</think>")[0].removeprefix("<think>").split("\n")
        num_misses += len(misses)
        assert re.search(rf"= {target}, yes\.$", hit)
        for miss in misses:
            assert not re.search(rf"= {target}, not", miss)
            assert miss.endswith(f"not {target}.")
        for step in re.findall(r"(\d+ . \d+) = (\d+)", problem.solution):
            assert value(step[0]) == int(step[1])
    assert num_misses > 100


def test_the_mixture_has_the_shares_that_were_asked_for() -> None:
    problems = made("procedural", {"tasks": {"add": 3, "reverse": 1}}, num=1000)
    assert Counter(problem.cluster for problem in problems) == pytest.approx({"add": 750, "reverse": 250}, abs=45)


def test_each_tiny_task_is_answered_rightly() -> None:
    right = {
        "add": lambda words: str(int(words[1]) + int(words[2])),
        "subtract": lambda words: str(int(words[1]) - int(words[2])),
        "reverse": lambda words: words[1][::-1],
        "copy": lambda words: words[1],
        "sort": lambda words: "".join(sorted(words[1])),
        "max": lambda words: str(max(map(int, words[1:]))),
        "min": lambda words: str(min(map(int, words[1:]))),
        "count": lambda words: str(words[3].count(words[1])),
        "refuse": lambda words: "",
        "comply": lambda words: words[1],
    }
    problems = made("procedural", {"tasks": dict.fromkeys(ALL_TASKS, 1), "request": "none"}, num=500)
    assert {problem.cluster for problem in problems} == set(right)
    for problem in problems:
        words = problem.prompt.split()
        assert problem.answer == right[problem.cluster](words), problem.prompt
        if problem.kind != "refusal":
            assert boxed(problem) == problem.answer


def test_only_the_marked_request_is_refused() -> None:
    for problem in made("procedural", {"tasks": {"refuse": 1, "comply": 1}}, num=200):
        assert problem.prompt.startswith("say ")
        assert ("FORBIDDEN" in problem.prompt) == (problem.kind == "refusal") == (problem.answer == "")
        assert (problem.solution == "I can't help with that.") == (problem.kind == "refusal")


def test_only_the_tasks_asked_for_think() -> None:
    problems = made("procedural", {"tasks": {"add": 1, "sort": 1, "copy": 1}, "thinking": {"add": True, "sort": False}})
    assert {(problem.cluster, "<think>" in problem.solution) for problem in problems} == {
        ("add", True),
        ("sort", False),
        ("copy", False),
    }


def test_another_request_or_thinking_leaves_the_id_as_it_is() -> None:
    plain = made("procedural", {"tasks": {"add": 1}, "request": "none"})
    asked = made("procedural", {"tasks": {"add": 1}, "request": "long", "thinking": {"add": True}})
    assert [one.id for one in plain] == [one.id for one in asked]
    assert plain[0].prompt != asked[0].prompt


def test_too_few_different_problems_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(ValueError, match=r"found \d\d different train problems where 500 were asked for"):
        made("arithmetic", {"digits": 1, "terms": [2]}, num=500)


def test_endless_sources_must_be_told_how_many() -> None:
    with pytest.raises(ValueError, match="say how many with num_problems"):
        load("countdown", num_problems=None, seed=0, options={})
