"""Which items an exam has, and which checkpoints sit it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ray_study.chosen import items_literal, num_asked, subset
from ray_study.config import Benchmark, Sampling
from ray_study.evaluate import Exam, in_rounds, is_owed, keep_lists
from ray_study.rows import Problem
from ray_study.store import Store, outside


def problems(number: int, *, clusters: int = 1) -> list[Problem]:
    return [
        Problem(id=f"p{index}", source="made", kind="exact", prompt=f"{index}?", answer="", cluster=f"c{index % clusters}", solution="")
        for index in range(number)
    ]


def exam(at: object) -> Exam:
    benchmark = Benchmark.model_validate({"problems": "sums", "group": "in_domain", "at": at})
    return Exam(name="sums", benchmark=benchmark, items=tuple(problems(3)), sampling=Sampling(), source=outside("sums", "1"))


def ids(chosen: list[Problem]) -> list[str]:
    return [problem.id for problem in chosen]


def test_a_smaller_exam_is_the_beginning_of_a_larger_one_whatever_order_the_problems_come_in() -> None:
    everything = problems(40, clusters=4)
    larger = ids(subset(everything, 20, seed=3))
    assert ids(subset(list(reversed(everything)), 8, seed=3)) == larger[:8]
    assert len(set(larger)) == 20


def test_an_exam_takes_as_many_items_from_each_cluster() -> None:
    uneven = [*problems(30), *(replace(problem, id=f"rare-{problem.id}", cluster="rare") for problem in problems(5))]
    assert Counter(problem.cluster for problem in subset(uneven, 10, seed=1)) == {"c0": 5, "rare": 5}


def test_another_seed_chooses_other_items() -> None:
    assert ids(subset(problems(40), 10, seed=1)) != ids(subset(problems(40), 10, seed=2))


def test_an_exam_without_a_number_has_all_items_in_their_order() -> None:
    assert ids(subset(problems(5), None, seed=1)) == ["p0", "p1", "p2", "p3", "p4"]


def test_more_items_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="asks for 6 items of a set of 5; ask for fewer"):
        subset(problems(5), 6, seed=1)


def test_what_an_exam_asks_is_listed_in_the_store_and_can_be_asked_again_under_another_seed(tmp_path: Path) -> None:
    everything = problems(40, clusters=4)
    some = replace(named(items=6), items=tuple(subset(everything, 6, seed=3)), source=replace(outside("p", "1"), record={"num_rows": 40}))
    store = Store(str(tmp_path), "small")
    assert keep_lists(store, [some, named()], 3) == [store.path("exams/sums.json")]
    found = json.loads((tmp_path / "small" / "exams" / "sums.json").read_text())
    assert found["ids"] == ids(subset(everything, 6, seed=3))
    assert (found["num_items"], found["num_problems"], found["seed"]) == (6, 40, 3)
    assert sum(found["num_by_cluster"].values()) == 6
    assert max(found["num_by_cluster"].values()) - min(found["num_by_cluster"].values()) <= 1
    path = store.path("exams/sums.json")
    assert ids(subset(list(reversed(everything)), path, seed=4)) == found["ids"]
    assert num_asked(path) == 6
    elsewhere = tmp_path / "copy.json"
    elsewhere.write_text(json.dumps({"ids": found["ids"]}))
    assert items_literal(str(elsewhere)) == items_literal(path)
    elsewhere.write_text(json.dumps({"ids": found["ids"][:-1]}))
    assert items_literal(str(elsewhere)) != items_literal(path)
    assert items_literal(6) == 6, "what was asked before keeps its name"


def test_a_list_by_category_is_read_and_one_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"ids": {"b": ["p3"], "a": ["p1", "p0"]}}))
    assert ids(subset(problems(5), str(path), seed=1)) == ["p3", "p1", "p0"]
    path.write_text(json.dumps({"ids": ["p1", "q"]}))
    with pytest.raises(ValueError, match=r"lists 1 items that are not among the 5 problems, the first 'q'"):
        subset(problems(5), str(path), seed=1)
    for text in ('{"ids": ["p1", "p1"]}', '{"ids": []}', "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="expected `ids`, a list of different items"):
            subset(problems(5), str(path), seed=1)
    path.write_text('{"ids": ["p1", "p2", "p1"]}')
    with pytest.raises(ValueError, match="found 'p1' twice: leave one out"):
        subset(problems(5), str(path), seed=1)
    with pytest.raises(ValueError, match="which is no list of items"):
        subset(problems(5), str(tmp_path / "none.json"), seed=1)


@pytest.mark.parametrize(
    ("at", "owed"),
    [("all", {0, 2, 4, 8}), ("final", {0, 8}), ([4], {0, 4, 8}), ([4, 8], {0, 4, 8})],
    ids=str,
)
def test_step_0_and_the_last_step_always_sit_an_exam_and_others_where_it_asks(at: object, owed: set[int]) -> None:
    assert {step for step in (0, 2, 4, 8) if is_owed(exam(at), step, last=8)} == owed


def named(**settings: object) -> Exam:
    benchmark = Benchmark.model_validate({"problems": "sums", "group": "in_domain", **settings})
    return Exam(name="sums", benchmark=benchmark, items=tuple(problems(3)), sampling=Sampling(), source=outside("sums", "1"))


def test_a_card_says_which_protocol_judged_and_whether_it_judged_the_thinking_too() -> None:
    assert named().card().note == ""
    assert named(benchmark="math500", protocol="standard", note="mine").card().note == "math500 by protocol standard; mine"
    paper = named(benchmark="math500", protocol="paper", reads="whole_text")
    assert paper.card().note == "math500 by protocol paper: judges the thinking too (reads whole_text)"
    assert named(reads="stripped").card().note == "judges the thinking too (reads stripped)"


def test_a_card_has_the_metric_that_the_benchmark_names() -> None:
    assert (named().card().metric, named(metric="mean_level").card().metric) == ("accuracy", "mean_level")


def test_primary_exams_are_a_round_of_their_own_and_there_is_one_round_where_all_or_none_are() -> None:
    first, second = named(primary=True), named()
    assert in_rounds([second, first, second]) == [[first], [second, second]]
    assert in_rounds([second, second]) == [[second, second]]
    assert in_rounds([first]) == [[first]]
