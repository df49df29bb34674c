"""A named benchmark in a sweep file is the same as what it stands for, written out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from studies import study

from ray_study.benchmarks import BENCHMARKS, SUITES, written_out
from ray_study.config import Study
from ray_study.exam_literals import answers_literal, benchmark_literal
from ray_study.grid import planned

PAPER = {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "max_tokens": 32768}


def named(benchmarks: dict[str, Any], **evaluation: Any) -> Study:
    return study({"evaluation": {"sampling": {"max_tokens": 32}, "benchmarks": benchmarks, **evaluation}})


def test_a_named_benchmark_has_the_identity_of_the_one_that_is_written_out() -> None:
    short = named({"gpqa": {"benchmark": "gpqa_diamond", "protocol": "paper", "items": 100, "at": "final"}})
    long = study(
        {
            "problems/diamond": {"source": "gpqa_diamond", "options": {"layout": "running"}},
            "evaluation/benchmarks": {
                "gpqa": {
                    **{"problems": "diamond", "group": "out_of_domain", "num_samples": 3, "items": 100, "at": "final"},
                    **{"sampling": PAPER, "reads": "stripped"},
                }
            },
        }
    )
    assert benchmark_literal(short, "gpqa") == benchmark_literal(long, "gpqa")
    assert answers_literal(short, "gpqa", "checkpoint", "tiny") == answers_literal(long, "gpqa", "checkpoint", "tiny")
    assert [run.id for run in planned(short)] == [run.id for run in planned(long)]
    ours, theirs = short.evaluation.benchmarks["gpqa"], long.evaluation.benchmarks["gpqa"]
    assert (ours.at, ours.reads, ours.group, ours.primary) == (theirs.at, theirs.reads, theirs.group, theirs.primary)
    assert (ours.benchmark, ours.protocol) == ("gpqa_diamond", "paper"), "it says what it is"


def test_what_the_file_says_beside_the_name_wins_and_of_sampling_key_by_key() -> None:
    beside = {"num_samples": 1, "group": "general", "note": "mine", "sampling": {"max_tokens": 64}, "items": 7, "primary": True}
    made = named({"math500": {"protocol": "paper", **beside}}).evaluation.benchmarks["math500"]
    assert (made.num_samples, made.group, made.note, made.items, made.primary) == (1, "general", "mine", 7, True)
    assert made.sampling is not None
    assert made.sampling.model_dump() == {**PAPER, "min_p": 0.0, "max_tokens": 64}
    assert made.reads == "whole_text", "what is not said stays"


def test_the_studys_protocol_is_the_usual_one_and_a_benchmark_without_it_keeps_its_own_rules() -> None:
    made = named({"math500": {}, "mmlu": {}, "gpqa_diamond": {"protocol": "standard"}}, protocol="paper").evaluation.benchmarks
    assert {name: each.protocol for name, each in made.items()} == {"math500": "paper", "mmlu": "standard", "gpqa_diamond": "standard"}
    assert named({"math500": None}).evaluation.benchmarks["math500"].protocol == "standard"
    assert made["gpqa_diamond"].sampling is None, "a benchmark's own rules leave the sampling to the study"


def test_both_protocols_of_one_benchmark_stand_side_by_side() -> None:
    made = named({"ours": {"benchmark": "math500"}, "theirs": {"benchmark": "math500", "protocol": "paper"}})
    assert {each.problems for each in made.evaluation.benchmarks.values()} == {"math500.standard", "math500.paper"}
    assert made.problems["math500.paper"].options == {"request": "spaced"}


def test_a_benchmark_of_the_training_domain_is_primary_and_others_are_not() -> None:
    made = named({"math500": {}, "mmlu": {}, "halueval_qa": {"group": "in_domain"}}).evaluation.benchmarks
    assert {name: each.primary for name, each in made.items()} == {"math500": True, "mmlu": False, "halueval_qa": True}


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_brings_its_benchmarks_and_an_entry_changes_or_adds_one(suite: str) -> None:
    made = named({"math500": {"items": 5}, "own": {"problems": "held_out", "group": "general"}}, suite=suite).evaluation.benchmarks
    assert list(made) == [*SUITES[suite], "own"]
    assert made["math500"].items == 5
    assert made["halueval_qa"].items == 1000, "a part of HaluEval is asked for 1,000 of its 10,000"
    assert named({}, suite=suite).evaluation.benchmarks.keys() == set(SUITES[suite])


def test_a_file_can_say_where_a_set_is_read_from_and_two_such_places_are_two_sets() -> None:
    made = named({"a": {"benchmark": "gpqa_diamond", "options": {"path": "a.jsonl"}}, "b": {"benchmark": "gpqa_diamond"}})
    sets = [made.problems[made.evaluation.benchmarks[name].problems] for name in "ab"]
    assert [each.options for each in sets] == [{"layout": "lines", "path": "a.jsonl"}, {"layout": "lines"}]


def test_a_study_that_is_written_out_can_be_read_again() -> None:
    made = named({"gpqa": {"benchmark": "gpqa_diamond", "options": {"path": "a.jsonl"}}, "math500": {"protocol": "paper"}})
    assert Study.model_validate(made.model_dump()) == made
    assert Study.model_validate(made.model_dump(mode="json")) == made


def test_a_file_without_named_benchmarks_is_left_as_it_is() -> None:
    raw = {"evaluation": {"benchmarks": {"math500": {"problems": "held_out", "group": "general"}}}}
    assert written_out(raw) == {"problems": {}, **raw}
    assert written_out("nonsense") == "nonsense"
    assert written_out({"evaluation": {"benchmarks": ["math500"]}}) == {"evaluation": {"benchmarks": ["math500"]}}


@pytest.mark.parametrize(
    ("benchmarks", "expected"),
    [
        ({"x": {"benchmark": "mmlu_por"}}, "found 'mmlu_por'; did you mean 'mmlu_pro'?"),
        ({"x": {"benchmark": "mmlu", "problems": "held_out"}}, "has both `benchmark` and `problems`; take one out"),
        ({"x": {"benchmark": "math500", "protocol": "papper"}}, "found 'papper', which math500 does not have; did you mean 'paper'?"),
        ({"x": {"problems": "held_out", "group": "general", "protocol": "paper"}}, "`protocol` and `options` go with a named `benchmark`"),
        ({}, "`benchmarks` is empty; name at least one, or a `suite`"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(benchmarks: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(expected)):
        named(benchmarks)


def test_a_set_of_the_files_own_does_not_take_a_named_ones_place() -> None:
    with pytest.raises(ValidationError, match="has the name that the problems of benchmark 'math500' get; call yours otherwise"):
        study({"problems/math500.standard": {"source": "gsm8k_test"}, "evaluation/benchmarks": {"math500": {}}})


def test_every_benchmark_can_be_written_out_by_each_of_its_protocols() -> None:
    for name, definition in BENCHMARKS.items():
        for protocol in definition.protocols:
            made = named({name: {"protocol": protocol}}).evaluation.benchmarks[name]
            said = definition.protocols[protocol]
            assert (made.metric, made.group, made.reads) == (said.settings.get("metric", definition.metric), definition.group, said.reads)
            assert list(made.judge) == said.settings.get("judge", [])
