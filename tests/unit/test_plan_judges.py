"""What judges behind an endpoint would cost at most: requests, tokens and dollars, and what of it is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from programs import ROOT
from studies import study

from ray_study import sweep_file
from ray_study.config import Study
from ray_study.descriptions import plan_json
from ray_study.plan import plan
from ray_study.plan_judges import REQUEST_TOKENS, TEMPLATE_TOKENS, JudgePrice
from ray_study.verify.rubrics import RUBRICS

ENDPOINT = {"url": "http://127.0.0.1:9/v1", "model": "m"}
PRICES = {"dollars_per_million_input_tokens": 2.0, "dollars_per_million_output_tokens": 8.0}
EXAM = {"problems": "held_out", "group": "safety", "judge": "policy", "num_samples": 2}
CHECKPOINTS = 1 + 2 * 2
"""One model at step 0, and two runs that are saved at two steps each."""


def judged(exams: Mapping[str, object], changes: Mapping[str, object] | None = None, **judge: Any) -> Study:
    """The small study, whose answers are of 32 tokens at most, with a judge of the policy rubric."""
    settings = {"rubric": "policy", "endpoint": ENDPOINT, "sampling": {"max_tokens": 100}, **judge}
    return study({"judges": {"policy": settings}, "evaluation/benchmarks": dict(exams), **(changes or {})})


def price(made: Study) -> JudgePrice:
    (found,) = plan(made).judges
    return found


def around(part: Any = "answer") -> int:
    return len(RUBRICS["policy"].prompt("", "", part=part).encode()) + TEMPLATE_TOKENS + REQUEST_TOKENS


def test_a_judge_is_asked_about_every_sample_of_every_item_at_every_checkpoint() -> None:
    found = price(judged({"harm": EXAM, "more": {**EXAM, "num_samples": 1, "items": 4, "at": "final"}, "sums": {**EXAM, "judge": []}}))
    attempts = CHECKPOINTS * 16 * 2 + 3 * 4
    assert (found.num_requests, found.output_tokens) == (attempts, attempts * 100)
    assert found.input_tokens == attempts * (around() + 32)
    assert found.dollars is None, "no prices are stated"


def test_thoughts_are_asked_about_apart_and_share_one_cap_with_the_answer() -> None:
    found = price(judged({"harm": {**EXAM, "judge_thought": True}}))
    attempts = CHECKPOINTS * 16 * 2
    assert found.num_requests == 2 * attempts
    assert found.input_tokens == attempts * (around() + around("thought") + 32)
    long = {"evaluation/sampling": {"max_tokens": 50_000}}
    assert price(judged({"harm": EXAM}, long, most_characters=3000)).input_tokens == attempts * (around() + 3000)
    both = price(judged({"harm": {**EXAM, "judge_thought": True}}, long, most_characters=3000))
    assert both.input_tokens == attempts * (around() + around("thought") + 2 * 3000)


def test_labelled_replies_are_asked_once_and_of_a_judge_that_judges_nothing_none_is() -> None:
    found = price(judged({"harm": EXAM}, validate_on=["refusals", "objectives"]))
    assert found.num_requests == CHECKPOINTS * 16 * 2 + 169 + 394
    assert price(judged({"sums": {**EXAM, "judge": []}}, validate_on=["refusals"])).num_requests == 0


def test_dollars_are_there_where_both_prices_are_and_what_is_beyond_the_budget_is_a_line_and_no_fault() -> None:
    made = judged({"harm": EXAM}, budget={"requests": 159, "dollars": 0.5, **PRICES})
    found, planned = price(made), plan(made)
    assert found.dollars == pytest.approx(((found.input_tokens or 0) * 2 + (found.output_tokens or 0) * 8) / 1e6)
    assert found.dollars == pytest.approx(160 * ((around() + 32) * 2 + 800) / 1e6)
    assert planned.faults == ()
    (beyond,) = [line for line in planned.lines if "of its budget" in line]
    assert beyond.startswith("judge policy: 160 requests are more than the 159 of its budget, and ")
    assert "dollars at the worst are more than the 0.5 of its budget; what is beyond it stays owed" in beyond
    row = next(line.split() for line in planned.lines if line.startswith("policy "))
    assert row == ["policy", "160", f"{found.input_tokens:,}", "16,000", f"{found.dollars:.2f}"]
    enough = plan(judged({"harm": EXAM}, budget={"requests": 160, "dollars": 50, **PRICES}))
    assert not [line for line in enough.lines if "of its budget" in line]
    machines = json.loads(plan_json(made, planned))["judges"]["policy"]
    assert (machines["num_requests"], machines["dollars"]) == (160, found.dollars)
    assert len(machines["beyond_budget"]) == 2


def test_what_the_file_does_not_tell_is_not_known_and_no_zero() -> None:
    unread = {"problems/open": {"source": "hex_phi"}}
    made = judged({"harm": EXAM, "open": {**EXAM, "problems": "open"}}, unread, budget={"requests": 1, **PRICES})
    found = price(made)
    assert (found.num_requests, found.dollars, found.beyond_budget) == (None, None, ())
    row = next(line for line in plan(made).lines if line.startswith("policy "))
    assert row.split("  ")[-1].strip() == "not known"
    assert row.count("not known") == 4
    assert json.loads(plan_json(made, plan(made)))["judges"]["policy"]["num_requests"] is None


def test_only_judges_behind_an_endpoint_are_priced() -> None:
    made = sweep_file.read(ROOT / "sweeps" / "paper" / "default.yaml")
    (found,) = plan(made).judges
    # Step 0 and eight steps of one run, HarmBench's 200 requests once each, and two labelled sets.
    assert (found.judge, found.num_requests, found.dollars) == ("policy", 9 * 200 + 169 + 394, None)
    assert not [line for line in plan(study()).lines if line.startswith("judging")]
