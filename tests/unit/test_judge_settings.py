"""A judge that cannot work is not built, and names that are not there are told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from studies import study, sweep_file

from ray_study.config import Judge
from ray_study.faults import material_faults
from ray_study.judge_settings import Budget
from ray_study.sweep_file import read
from ray_study.verify.rubrics import judge_literal, judging_literal

ENDPOINT = {"url": "https://judge.example/v1", "model": "m", "key_from": "JUDGE_KEY"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rubric": "policy"}, "either a `model`"),
        ({"rubric": "policy", "model": "a", "endpoint": ENDPOINT}, "either a `model`"),
        ({"rubric": "reward", "endpoint": ENDPOINT}, "chat completions do not give"),
        ({"rubric": "policy", "model": "a", "budget": {"requests": 3}}, "goes with `endpoint`"),
        ({"rubric": "policy", "endpoint": ENDPOINT, "budget": {}}, "`requests`, `dollars`, or both"),
        ({"rubric": "policy", "endpoint": ENDPOINT, "budget": {"dollars": 5}}, "needs dollars_per_million_input_tokens"),
        ({"rubric": "policy", "endpoint": ENDPOINT, "sampling": {"temperature": 0.6}}, "less than or equal to 0"),
        ({"rubric": "truthful", "endpoint": ENDPOINT, "validate_on": ["refusals"]}, "has no labels for the rubric truthful"),
        ({"rubric": "kindness", "endpoint": ENDPOINT}, "Input should be"),
    ],
)
def test_a_judge_that_cannot_work_is_not_built(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Judge.model_validate(settings)


def test_prices_are_for_a_million_tokens() -> None:
    budget = Budget(dollars=1, dollars_per_million_input_tokens=2, dollars_per_million_output_tokens=8)
    assert budget.dollars_of(500_000, 250_000) == pytest.approx(3.0)


def judged(**judge: Any) -> Any:
    return study({"judges": {"policy": {"endpoint": ENDPOINT, "rubric": "policy", **judge}}, "evaluation/benchmarks/sums/judge": "policy"})


def test_where_a_server_stands_and_what_it_may_cost_says_nothing_about_a_reply() -> None:
    elsewhere = {**ENDPOINT, "url": "https://other.example/v1", "key_from": "OTHER", "requests_at_once": 3}
    here, there = judged(), judged(endpoint=elsewhere, budget={"requests": 9})
    assert judge_literal(here, "policy") == judge_literal(there, "policy")
    assert judge_literal(here, "policy") != judge_literal(judged(endpoint={**ENDPOINT, "model": "n"}), "policy")
    assert judge_literal(here, "policy") == judge_literal(judged(validate_on=["refusals"]), "policy")
    assert judging_literal(here, "sums") != judging_literal(judged(validate_on=["refusals"]), "sums")
    assert judging_literal(study(), "sums") == {}


def test_a_judge_that_is_not_there_is_told_with_those_that_are(tmp_path: Any) -> None:
    judges = {"policy": {"endpoint": ENDPOINT, "rubric": "policy"}}
    path = sweep_file(tmp_path, {"judges": judges, "evaluation/benchmarks/sums/judge": "polcy"})
    expected = r"`evaluation\.benchmarks\.sums\.judge` names 'polcy', which is not in `judges`; did you mean 'policy'"
    with pytest.raises(ValueError, match=expected):
        read(path)


def test_problems_that_need_a_judge_and_two_judges_of_one_rubric_are_faults_of_the_plan() -> None:
    open_ended = {"problems/open": {"source": "truthful_qa"}, "evaluation/benchmarks/open": {"problems": "open", "group": "general"}}
    assert any("the problems of open need a judge model" in fault for fault in material_faults(study(open_ended)))
    one = {"endpoint": ENDPOINT, "rubric": "policy"}
    twice = study({"judges": {"one": one, "two": one}, "evaluation/benchmarks/sums/judge": ["one", "two"]})
    assert any("found several judges of the rubric policy" in fault for fault in material_faults(twice))
    assert list(material_faults(judged())) == []


def test_thoughts_are_judged_only_by_a_judge() -> None:
    with pytest.raises(ValidationError, match="`judge_thought` goes with `judge`"):
        study({"evaluation/benchmarks/sums/judge_thought": True})
