"""Our scores beside the paper's numbers: only what is declared to be the same thing is compared, and the rest says why not."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from ray_study.analyze.against import AgainstPaper, against_paper, sentences
from ray_study.analyze.findings import changes
from ray_study.analyze.page.content import gather
from ray_study.analyze.page.paper import paper
from ray_study.analyze.paper_claims import JUDGES, JudgedClaim, claims, judge_claims, role
from ray_study.analyze.published import cells
from ray_study.analyze.study_tables import StudyTables
from ray_study.benchmarks import BENCHMARKS
from ray_study.rows import BenchmarkCard, Checkpoint, Run, Score
from ray_study.training import PAPER_FAITHFUL

COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "min_p": 0.0, "max_tokens": 32768}
DECLARED: dict[str, Any] = {
    "models": {"small": {"hub": "Qwen/Qwen3-1.7B-Base", "max_model_len": 40960, "pretrained_here": False}},
    "datasets": {"chains": {"read": "hub", "name": COT, "select": {"num_examples": 20480}, "transform": "none", "truncate_thinking": None}},
    "benchmarks": {"maths": {"benchmark": "math500", "protocol": "paper", "sampling": SAMPLING}},
}
SETTINGS = dict(PAPER_FAITHFUL) | {"epochs": 8.0, "steps": None}
PRINTED = {0: 0.589, 10: 0.557, 40: 0.429, 640: 0.562}


def replica(
    values: dict[int, float], declared: dict[str, Any] = DECLARED, settings: dict[str, Any] = SETTINGS, num_items: int = 500
) -> StudyTables:
    """A study of one run that was called by none of the paper's names, with these scores on MATH-500."""
    run = Run(
        id="r", name="one", stage="sft", model="small", dataset="chains", seed=0, settings=json.dumps(settings), status="finished", error=""
    )
    scores = [
        Score(
            run="r",
            step=step,
            benchmark="maths",
            group="in_domain",
            metric="accuracy",
            value=value,
            standard_error=None,
            low=None,
            high=None,
            num_items=num_items,
            num_unjudged=0,
        )
        for step, value in values.items()
    ]
    card = BenchmarkCard(benchmark="maths", group="in_domain", kind="math", metric="accuracy", num_items=num_items, num_samples=3, note="")
    points = [Checkpoint(run="r", step=step, path="", num_tokens=0, fingerprint=f"f{step}", canary="{}") for step in values]
    return StudyTables(runs=[run], checkpoints=points, scores=scores, benchmarks=[card], facts={"declared": declared})


def changed(*path: str, value: Any) -> dict[str, Any]:
    """What is declared, with one fact changed."""
    declared = copy.deepcopy(DECLARED)
    place = declared
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return declared


def why(found: AgainstPaper) -> str:
    return "; ".join(reason for reason, _ in found.reasons)


def test_a_replica_with_the_papers_own_numbers_agrees_at_every_step() -> None:
    found = against_paper(replica(PRINTED))
    assert [(row.step, row.verdict, row.difference) for row in found.rows] == [(step, "agrees", 0.0) for step in PRINTED]
    assert {(row.model, row.num_answers, row.published_num_answers) for row in found.rows} == {("Qwen/Qwen3-1.7B-Base", 1500, 1500)}
    assert [row.table for row in found.rows] == ["Table 5 (v1), Table 6", "Table 6", "Table 6", "Table 6"]
    assert sentences(found) == [
        "4 of 4 scores have a printed number of the same checkpoint and exam: agrees 4, differs 0, not comparable 0."
    ]


def test_a_score_ten_points_lower_differs_and_the_others_still_agree() -> None:
    found = against_paper(replica(PRINTED | {40: 0.329}))
    assert [row.verdict for row in found.rows] == ["agrees", "agrees", "differs", "agrees"]
    (row,) = [row for row in found.rows if row.step == 40]
    assert (row.high or 0.0) < 0 < 0.0001 - (row.low or 0.0)
    assert (row.p_adjusted or 0.0) == pytest.approx(4 * (row.p_value or 0.0))


def test_a_replica_that_is_off_by_one_standard_error_everywhere_agrees() -> None:
    values = [cell for cell in cells() if (cell.benchmark, cell.model, cell.dataset) == ("math500", "Qwen/Qwen3-1.7B-Base", COT)]
    noisy = {cell.step: round(1500 * cell.share + math.sqrt(1500) * 0.4 * (-1) ** number) / 1500 for number, cell in enumerate(values)}
    assert {row.verdict for row in against_paper(replica(noisy)).rows} == {"agrees"}


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (
            changed("models", "small", "hub", value="HuggingFaceTB/SmolLM2-135M"),
            "a model of which the paper prints no number (HuggingFaceTB/SmolLM2-135M)",
        ),
        (changed("models", "small", "pretrained_here", value=True), "was pretrained further"),
        (changed("models", "small", "max_model_len", value=4096), "another cap: only 4,096 positions are kept"),
        (changed("benchmarks", "maths", "protocol", value="standard"), "asked by the protocol standard"),
        (changed("benchmarks", "maths", "benchmark", value=None), "no named benchmark"),
        (changed("benchmarks", "maths", "benchmark", value="gsm8k"), "a benchmark that the paper does not have"),
        (changed("benchmarks", "maths", "benchmark", value="ifeval"), "which of IFEval's four accuracies"),
        (changed("benchmarks", "maths", "sampling", value=SAMPLING | {"max_tokens": 4096}), "max_tokens 4096, not 32768"),
        ({}, "what its names stand for is not in its tables"),
    ],
)
def test_another_model_or_exam_is_compared_nowhere_and_says_why(declared: dict[str, Any], reason: str) -> None:
    found = against_paper(replica(PRINTED, declared))
    assert found.rows == ()
    assert (found.num_scores, dict(found.reasons)[next(each for each, _ in found.reasons if reason in each)]) == (4, 4)
    assert sentences(found)[0].startswith("None of 4 scores can be set beside arXiv 2604.06628: ")


@pytest.mark.parametrize(
    ("declared", "settings", "reason"),
    [
        (changed("datasets", "chains", "name", value="someone/else"), SETTINGS, "data of which the paper prints no number (someone/else)"),
        (changed("datasets", "chains", "transform", value="drop_thinking"), SETTINGS, "was transformed"),
        (changed("datasets", "chains", "name", value="jasonrqh/NuminaMath-20k"), SETTINGS, "the paper prints no numbers of"),
        (DECLARED, SETTINGS | {"learning_rate": 1e-4}, "another recipe: learning_rate 0.0001, not 5e-05"),
        (DECLARED, SETTINGS | {"epochs": None, "steps": 80}, "another recipe: epochs 1.0, not 8.0"),
        (DECLARED, SETTINGS | {"max_length": 4096}, "max_length 4096, not 20000"),
    ],
)
def test_other_training_leaves_only_the_base_model_to_compare(declared: dict[str, Any], settings: dict[str, Any], reason: str) -> None:
    found = against_paper(replica(PRINTED, declared, settings))
    assert [row.step for row in found.rows] == [0]
    assert reason in why(found)


def test_steps_say_as_much_as_epochs_and_switches_of_the_trainer_are_said_beside() -> None:
    found = against_paper(replica(PRINTED, settings=SETTINGS | {"epochs": None, "steps": 640, "shuffle": True}))
    assert [row.note for row in found.rows] == ["", *["trained otherwise than the authors' code in shuffle"] * 3]


def test_a_step_that_the_paper_does_not_print_is_said() -> None:
    found = against_paper(replica(PRINTED | {30: 0.5}))
    assert (len(found.rows), found.reasons) == (4, (("the paper prints no number at step 30", 1),))
    assert sentences(found)[1] == "1 of 5 scores cannot be set beside arXiv 2604.06628: the paper prints no number at step 30 (1)."


def test_a_part_of_the_items_is_another_exam() -> None:
    assert "other items: 50 of math500, not 500" in why(against_paper(replica(PRINTED, num_items=50)))


def test_a_printed_number_in_doubt_is_shown_and_not_compared() -> None:
    declared = changed("models", "small", "hub", value="Qwen/Qwen3-14B-Base")
    declared["benchmarks"]["maths"]["benchmark"] = "gpqa_diamond"
    (row,) = against_paper(replica({0: 0.43}, declared, num_items=198)).rows
    assert (row.verdict, row.difference, row.published) == ("not comparable", None, 0.418)
    assert "44.1 in Table 2 and as 41.8" in row.why


def test_every_claim_has_a_judge_and_is_about_a_benchmark_of_the_package() -> None:
    assert {claim.kind for claim in claims()} == {*JUDGES, "higher"}
    assert {claim.benchmark for claim in claims()} <= set(BENCHMARKS)
    assert all(("step" if claim.step else "") == ("step" if claim.kind == "bottom_at" else "") for claim in claims())


def test_claims_on_the_bottom_and_on_which_data_ends_higher_are_what_the_tables_say() -> None:
    printed = {(cell.model, cell.dataset, cell.benchmark, cell.step): cell.value for cell in cells() if cell.batch_size in (None, 256)}
    for claim in claims():
        for model in claim.models.split("; "):
            if claim.kind == "bottom_at":
                steps = {key[3]: value for key, value in printed.items() if key[:3] == (model, claim.dataset, claim.benchmark)}
                assert min(steps, key=lambda step: steps[step]) == claim.step
                assert steps[claim.step] < printed[model, "", claim.benchmark, 0]
            if claim.kind == "higher" and claim.benchmark != "hex_phi":
                ends = [printed[model, data, claim.benchmark, 640] for data in (claim.dataset, claim.other_dataset)]
                assert ends[0] > ends[1], claim
            if claim.kind in ("above_base", "below_base") and claim.benchmark != "hex_phi":
                rise = printed[model, claim.dataset, claim.benchmark, 640] - printed[model, "", claim.benchmark, 0]
                assert (rise > 0) == (claim.kind == "above_base"), claim


def made(study: StudyTables) -> StudyTables:
    """The study as one of a small model on a pair of data sets that only thinking tells apart."""
    arms = {"problems": "sums", "select": {"policy": "first"}}
    declared = {
        "models": {"qwen3-1.7b": {"hub": "Qwen/Qwen3-1.7B-Base"}},
        "datasets": {"math-cot": arms | {"transform": "none"}, "math-nocot": arms | {"transform": "drop_thinking"}},
        "benchmarks": {"math-500": {"benchmark": "math500", "protocol": "standard"}},
    }
    return replace(study, facts=dict(study.facts) | {"declared": declared})


@pytest.fixture(name="judged")
def judged_fixture(make_study: Callable[..., StudyTables]) -> list[JudgedClaim]:
    study = made(make_study(benchmarks=("math-500",), num_items=200))
    # At step 40 of long chains half of the items are answered wrong, whatever they were.
    cells = [
        replace(cell, attempts=tuple(replace(each, verdict="wrong") if each.problem_id[-1] in "13579" else each for each in cell.attempts))
        if (cell.step, "math-cot") == (40, cell.run.split("/")[1])
        else cell
        for cell in study.attempts
    ]
    study = replace(study, attempts=cells)
    return [row for row in judge_claims(study, changes(study)) if row.benchmark]


def test_claims_are_judged_on_other_data_and_that_is_said(judged: list[JudgedClaim]) -> None:
    verdicts = {(row.says, row.verdict) for row in judged}
    assert ("MATH-500 is higher after Math-CoT than after Math-NoCoT.", "differs") in verdicts
    assert ("With Math-CoT, MATH-500 falls below the base model first and then recovers.", "agrees") in verdicts
    assert ("With Math-CoT, MATH-500 of Qwen3-1.7B is lowest at step 40, below the base model.", "agrees") in verdicts
    assert ("With Math-CoT, MATH-500 of Qwen3-4B is lowest at step 20, below the base model.", "differs") in verdicts
    assert ("With Math-CoT, MATH-500 of Qwen3-1.7B ends below the base model.", "differs") in verdicts
    assert ("With Math-CoT, responses grow long early and then shorten.", "agrees") in verdicts
    assert {row.scope for row in judged} == {"same claim, other data", "same claim, other model and data"}
    assert {row.label for row in judged} == {"math-cot", "math-cot and math-nocot"}


def test_no_clear_fall_contradicts_a_dip_only_where_it_would_have_been_seen(make_study: Callable[..., StudyTables]) -> None:
    study = made(make_study(benchmarks=("math-500",), num_items=24, steps=(0, 10, 40)))
    dips = [row for row in judge_claims(study, changes(study)) if row.benchmark and "lowest" in row.says]
    assert [row.verdict for row in dips] == ["not comparable"] * 2
    assert all("could have been missed" in row.why for row in dips)


def test_a_made_pair_stands_for_the_papers_and_other_data_for_none() -> None:
    arms = {"problems": "sums", "select": {"policy": "first"}}
    data = {"a": arms | {"transform": "none"}, "b": arms | {"transform": "drop_thinking"}, "c": {"read": "hub", "name": "x/y"}}
    assert [role({"datasets": data}, name) for name in ("a", "b", "c", "d")] == [COT, NOCOT, "x/y", ""]
    assert role({"datasets": {"a": data["a"]}}, "a") == ""


def test_a_claim_that_nothing_of_ours_is_about_is_not_comparable(make_study: Callable[..., StudyTables]) -> None:
    study = make_study(benchmarks=("math-500",), num_items=10, steps=(0, 10))
    rows = judge_claims(study, changes(study))
    assert len(rows) == len(claims())
    assert {(row.verdict, row.benchmark) for row in rows} == {("not comparable", "")}


def test_the_section_is_escaped_and_has_its_tables() -> None:
    study = replica(PRINTED | {40: 0.2})
    content = paper(gather(replace(study, runs=[replace(study.runs[0], name="<i>", dataset="chains")])))
    environment = Environment(loader=PackageLoader("ray_study.analyze", "page"), autoescape=True, undefined=StrictUndefined)
    text = environment.get_template("paper.html").render(s=content.values)
    assert "differs" in text
    assert "<i>" not in text
    assert content.tables["against_paper"]["verdict"].to_list() == ["agrees", "agrees", "differs", "agrees"]
    assert set(content.tables) == {"against_paper", "paper_claims"}
