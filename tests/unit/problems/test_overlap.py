from __future__ import annotations

from collections.abc import Sequence

import pytest

from ray_study.problems import decontaminate, load
from ray_study.problems.formats import Request, with_request
from ray_study.problems.overlap import Benchmarks
from ray_study.rows import Problem, Removed

LONG_TEXT = "A farmer sells seven dozen eggs on Monday and twice as many on Tuesday; how many eggs did the farmer sell in all"


def problem(name: str, prompt: str, request: Request = "long") -> Problem:
    return Problem(id=name, source="mine", kind="math", prompt=with_request(prompt, "math", request), answer="1", cluster=name, solution="")


def pairs(removed: Sequence[Removed]) -> list[tuple[str, str, str]]:
    return [(row.problem_id, row.item_id, row.how) for row in removed]


def test_a_training_problem_that_stands_in_a_benchmark_is_removed_with_the_item_and_the_evidence() -> None:
    training = [problem("t1", f"Puzzle: {LONG_TEXT.upper()}, roughly?"), problem("t2", "What is the square of the third odd prime?")]
    kept, (removed,) = decontaminate(training, {"other": [problem("o1", "Name a prime.")], "test": [problem("b1", LONG_TEXT)]})
    assert [one.id for one in kept] == ["t2"]
    assert (removed.problem_id, removed.prompt, removed.benchmark, removed.item_id) == ("t1", training[0].prompt, "test", "b1")
    assert removed.how == "ngram"
    assert removed.evidence == "a farmer sells seven dozen eggs on monday and twice as many on"


def test_the_request_for_a_format_is_not_an_overlap() -> None:
    training = [problem("t1", "Tom has three coins and finds two more of them; how many does he have in dollars?")]
    kept, removed = decontaminate(training, {"test": [problem("b1", "Ann buys a kite for nine; what does it cost in dollars?")]})
    assert kept == training
    assert not removed


@pytest.mark.parametrize(
    ("prompt", "overlaps"),
    [("what is 2+2", True), ("What is 2 + 3?", False), ("What is 2", False), ("What is 2 - 2?", False), ("What is 2 * 2?", False)],
)
def test_short_prompts_overlap_only_where_they_are_equal_signs_included(prompt: str, overlaps: bool) -> None:
    _, removed = decontaminate([problem("t1", prompt, request="short")], {"test": [problem("b1", "What is 2 + 2?")]})
    assert [row.how for row in removed] == (["equal"] if overlaps else [])


def test_a_run_of_exactly_n_words_is_enough_and_one_fewer_is_not() -> None:
    benchmark = {"test": [problem("b1", "one two three four five six", request="none")]}
    enough, too_few = (problem("t1", f"zero two three four {word} nine", request="none") for word in ("five", "eight"))
    assert pairs(decontaminate([enough], benchmark, ngram=4)[1]) == [("t1", "b1", "ngram")]
    assert decontaminate([too_few], benchmark, ngram=4)[1] == []


def test_the_wording_that_a_whole_benchmark_shares_is_not_an_overlap() -> None:
    shared = "Read the following short statement with care and say whether it is true or false in one word:"
    benchmark = [problem(f"b{number}", f"{shared} statement {number}") for number in range(20)]
    training = [problem("t1", f"{shared} another statement"), problem("t2", f"{shared} statement 7")]
    kept, removed = decontaminate(training, {"test": benchmark})
    assert [one.id for one in kept] == ["t1"]
    assert pairs(removed) == [("t2", "b7", "equal")]
    assert pairs(decontaminate(training[:1], {"test": benchmark[:2]})[1]) == [("t1", "b0", "ngram")]


STORY = (
    "In the village of Oak a baker fills {0} trays, each with {1} rolls. Her helper sells {2} rolls before noon, then {3} more. "
    "A dog eats one. How many of the rolls are left on the trays when the shop closes for the day?"
)


def test_a_problem_with_some_words_changed_is_a_near_duplicate_although_no_long_run_is_shared() -> None:
    item = "Find all real x such that the sum of its square and its cube is equal to twelve"
    changed = "Please find all real x such that the sum of its square and its cube is equal to twelve now"
    benchmark = {"test": [problem("b0", "Name any prime number that you like best and say why you do."), problem("b1", item)]}
    kept, (removed,) = decontaminate([problem("t1", changed)], benchmark, ngram=30)
    assert kept == []
    assert (removed.item_id, removed.how) == ("b1", "near_duplicate")
    assert removed.evidence == "0.88 of the runs of 5 words of either are in both"
    assert decontaminate([problem("t1", changed)], benchmark, ngram=30, similarity=0.95)[1] == []
    assert decontaminate([problem("t1", changed)], benchmark, ngram=30, similarity=None)[1] == []


def test_a_template_with_other_numbers_is_another_problem_and_with_the_same_ones_a_near_duplicate() -> None:
    template = "A train leaves the old station of the town at noon without a stop, comes home again, and is late by how much after day {0}"
    benchmark = {"test": [problem("b1", template.format(3))]}
    (same,) = decontaminate([problem("t1", f"So: {template.format(3)}")], benchmark, ngram=30)[1]
    assert same.how == "near_duplicate"
    assert decontaminate([problem("t1", f"So: {template.format(4)}")], benchmark, ngram=30)[1] == []


@pytest.mark.parametrize("num_items", [2, 24])
@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("arithmetic", {"terms": [2], "digits": 2}),
        ("arithmetic", {"terms": [2, 3, 4], "digits": 3}),
        ("countdown", {}),
        ("procedural", {"tasks": {"add": 1, "reverse": 1, "sort": 1, "refuse": 1}, "digits": 3}),
    ],
)
def test_templated_training_problems_are_not_eaten_by_held_out_ones_of_their_kind(
    source: str, options: dict[str, object], num_items: int
) -> None:
    training = load(source, num_problems=300, seed=0, options=options)
    held = load(source, num_problems=num_items, seed=0, options={**options, "split": "heldout"})
    kept, removed = decontaminate([*training, held[1]], {"held": held})
    assert kept == training
    assert pairs(removed) == [(held[1].id, held[1].id, "equal")]


def test_of_several_near_duplicates_the_one_with_the_same_numbers_is_named() -> None:
    index = Benchmarks({"test": [problem(f"b{number}", STORY.format(number, 2, 3, 4)) for number in range(2)]}, ngram=60)
    matches = [index.match(STORY.format(number, 2, 3, 4).replace("village", "town")) for number in (1, 0, 7)]
    assert [match.item_id if match else None for match in matches] == ["b1", "b0", None]
