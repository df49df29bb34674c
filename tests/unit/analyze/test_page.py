"""The sections beyond scores: data types, size, safety, procedures, variance, samples, cost; and why one has nothing to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from ray_study.analyze import plots
from ray_study.analyze.comparisons import holm, paired_difference
from ray_study.analyze.page.content import Content, Material, gather
from ray_study.analyze.page.origin import costs
from ray_study.analyze.page.sections import SECTIONS
from ray_study.analyze.report import build_context, make_contents, render, summary
from ray_study.analyze.sides import over_refusal_value, safety_value
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables
from ray_study.analyze.variance import noise_floor
from ray_study.rows import GradedAttempt

MakeStudy = Callable[..., StudyTables]
MakeAttempt = Callable[..., GradedAttempt]


@cache
def made(make_study: MakeStudy) -> StudyTables:
    """A study that the tests here share, since it takes a second to make."""
    found = make_study(models=("small", "large"), benchmarks=("math-500", "mmlu-pro", "advbench"), steps=(0, 20, 640), num_items=24)
    return replace(found, facts={**found.facts, "parameters": {"small": 1_700_000_000, "large": 14_000_000_000}})


@cache
def gathered(make_study: MakeStudy) -> Material:
    return gather(made(make_study))


@pytest.fixture
def study(make_study: MakeStudy) -> StudyTables:
    return made(make_study)


@pytest.fixture
def material(make_study: MakeStudy) -> Material:
    return gathered(make_study)


def content(name: str, material: Material) -> Content:
    return next(section.make for section in SECTIONS if section.name == name)(material)


def test_data_sets_are_compared_by_item_at_the_same_model_and_step(material: Material) -> None:
    rows = content("datasets", material).tables["datasets"].to_dicts()
    assert {(row["model"], row["step"]) for row in rows} == {("small", 20), ("small", 640), ("large", 20), ("large", 640)}
    row = next(row for row in rows if (row["model"], row["benchmark"], row["step"]) == ("large", "math-500", 640))
    sides = []
    for dataset in (row["dataset"], row["other_dataset"]):
        (run,) = (run for run in material.study.runs if (run.model, run.dataset) == ("large", dataset))
        by_item: dict[str, list[float]] = {}
        for attempt in material.by_step[run.id, "math-500"][640]:
            by_item.setdefault(attempt.problem_id, []).append(float(attempt.verdict == "correct"))
        sides.append({item: sum(values) / len(values) for item, values in by_item.items()})
    expected = paired_difference(*sides)
    assert row["difference"] == pytest.approx(expected.estimate.value)
    assert row["p_value"] == pytest.approx(expected.p_value)
    last = [row for row in rows if row["is_last"]]
    assert [row["p_value_adjusted"] for row in last] == pytest.approx(holm([row["p_value"] for row in last]))
    assert all(row["p_value_adjusted"] is None and row["false_discovery_rate"] is not None for row in rows if not row["is_last"])


def test_size_stands_beside_score_fall_and_recovery_and_two_sizes_make_no_law(material: Material) -> None:
    found = content("size", material)
    rows = found.tables["size"].to_dicts()
    assert {row["size"] for row in rows} == {1.7e9, 14e9}
    assert {"score", "fall", "share_recovered", "score_low"} <= set(rows[0])
    assert "laws" not in found.tables


def test_the_path_begins_at_nothing_and_turns_safety_round(material: Material) -> None:
    rows = content("safety", material).tables["asymmetry"].to_dicts()
    assert all(row["reasoning_gain"] == row["safety_loss"] == 0 for row in rows if row["step"] == 0)
    change = next(change for change in material.changes if change.benchmark == "advbench")
    assert change.difference is not None
    (row,) = (row for row in rows if row["step"] == 640 and row["arm"] == material.labels[change.run])
    assert row["safety_loss"] == pytest.approx(-(change.difference.estimate.value or 0.0))


def test_a_harmless_request_counts_as_over_refusal_and_never_as_safety(make_attempt: MakeAttempt) -> None:
    refused = make_attempt(kind="refusal", verdict="wrong", details=json.dumps({"refused": True}))
    assert (safety_value(refused), over_refusal_value(refused)) == (None, 1.0)
    answered = make_attempt(kind="refusal", verdict="correct", details=json.dumps({"refused": False}))
    assert (safety_value(answered), over_refusal_value(answered)) == (None, 0.0)
    harmful = make_attempt(kind="refusal", verdict="correct")
    assert (safety_value(harmful), over_refusal_value(harmful)) == (1.0, None)
    level_5 = make_attempt(kind="judged", verdict="wrong", details=json.dumps({"rubrics": ["policy"], "level": 5}))
    assert (safety_value(level_5), over_refusal_value(level_5)) == (0.0, None)


def test_procedures_come_with_the_phrases_that_were_found(study: StudyTables) -> None:
    said = [replace(cell, attempts=tuple(replace(each, text="Wait, let me check.") for each in cell.attempts)) for cell in study.attempts]
    rows = content("procedures", gather(replace(study, attempts=said))).tables["procedures"].to_dicts()
    assert {row["share"] for row in rows if row["procedure"] == "verification"} == {1.0}
    assert {row["share"] for row in rows if row["procedure"] == "subgoals"} == {0.0}
    assert all(row["phrases"].startswith("let me check (") for row in rows if row["procedure"] == "verification")


def test_one_seed_says_nothing_of_seeds_and_a_checkpoint_scored_twice_gives_the_noise_floor(study: StudyTables) -> None:
    rows = content("variance", gather(study)).tables["variance"].to_dicts()
    assert all(row["sd_seeds"] is None and row["standard_error_seeds_twice"] is None for row in rows)
    assert all(row["standard_error_items_twice"] < row["standard_error_now"] for row in rows)
    first = study.attempts[0]
    twin = next(each for each in study.checkpoints if each.step == first.step and each.run != first.run)
    again = ScoredAttempts(
        run=twin.run,
        step=twin.step,
        benchmark=first.benchmark,
        attempts=(
            replace(first.attempts[0], verdict="wrong" if first.attempts[0].verdict == "correct" else "correct"),
            *first.attempts[1:],
        ),
    )
    twice = content("variance", gather(replace(study, attempts=[*study.attempts, again])))
    (row,) = twice.tables["noise_floor"].to_dicts()
    assert row["share_flipped"] == noise_floor(first.attempts, again.attempts).share_flipped == 1 / len(first.attempts)


def test_several_samples_an_item_have_pass_at_k_and_the_others_have_none(material: Material) -> None:
    rows = content("final", material).tables["at_k"].to_dicts()
    assert {row["benchmark"] for row in rows} == {"math-500"}
    assert all(row["pass_hat_k"] <= row["maj_at_k"] <= row["pass_at_k"] for row in rows)


def test_what_was_spent_stands_beside_what_was_planned(study: StudyTables) -> None:
    facts = {**study.facts, "planned": {"num_attempts": 5000.0}}
    rows = {row["what"]: row for row in costs(gather(replace(study, facts=facts)))}
    assert rows["answers"] == {"what": "answers", "planned": 5000.0, "spent": sum(len(cell.attempts) for cell in study.attempts)}
    assert rows["training hours"]["planned"] is None
    assert rows["training hours"]["spent"] == pytest.approx(125.2 / 3600)


@pytest.mark.parametrize(
    ("changes", "section", "why"),
    [
        ({"datasets": ("math-cot",)}, "datasets", "The study has one data set (math-cot)"),
        ({"datasets": ("math-cot",)}, "size", "The study has one model (qwen3-1.7b)"),
        ({"benchmarks": ("math-500",)}, "safety", "The study has no safety benchmark."),
        ({"benchmarks": ("advbench",)}, "safety", "The study has no reasoning benchmark."),
        ({"with_attempts": False}, "procedures", "There are no texts"),
        ({"steps": (0,)}, "variance", "No arm has attempts at two steps"),
    ],
)
def test_a_section_with_nothing_to_say_says_why_in_one_line(
    changes: dict[str, object], section: str, why: str, make_study: MakeStudy
) -> None:
    made = make_study(**({"benchmarks": ("math-500", "advbench"), "steps": (0, 10), "num_items": 8} | changes))
    found = make_contents(made)[section]
    assert found.nothing.startswith(why)
    assert not found.tables
    page = render(build_context(made))
    body = page.split(f'<section id="{section}">')[1].split("</section>")[0]
    assert "<table" not in body
    assert why in body


def test_the_summary_for_machines_is_json_without_numbers_that_are_none(study: StudyTables) -> None:
    found = summary(study, make_contents(study))
    text = json.dumps(found, allow_nan=False)
    assert set(json.loads(text)["sections"]) == {section.name for section in SECTIONS}
    assert found["sections"]["safety"]["tables"]["asymmetry"]


@pytest.mark.parametrize("name", ["makeup", "medians", "datasets", "size_parameters", "asymmetry", "procedures"])
def test_every_new_figure_is_drawn(name: str, material: Material) -> None:
    draw = next(found.figures[name] for section in SECTIONS if name in (found := section.make(material)).figures)
    figure = draw()
    assert plots.figure_bytes(figure, "svg").startswith(b"<?xml")
    assert figure.axes
    assert all(axes.lines for axes in figure.axes)
