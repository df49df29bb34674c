"""Two studies, or two subsets of runs, side by side: what belongs together, what is on one exam, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from ray_study.analyze.compare_page import write_comparison
from ray_study.analyze.compared import Compared, Comparison, Side, compare_studies, summary
from ray_study.analyze.pairing import choose, pair_runs
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables
from ray_study.rows import GradedAttempt, Run

STEPS = (0, 10, 40)
MakeStudy = Callable[..., StudyTables]


def sides(study: StudyTables) -> tuple[Side, Side]:
    return Side(name="A", study=study, wanted=("dataset=math-cot",)), Side(name="B", study=study, wanted=("dataset=math-nocot",))


def with_attempts(study: StudyTables, change: Callable[[GradedAttempt], GradedAttempt]) -> StudyTables:
    cells = [
        ScoredAttempts(run=cell.run, step=cell.step, benchmark=cell.benchmark, attempts=tuple(map(change, cell.attempts)))
        for cell in study.attempts
    ]
    return replace(study, attempts=cells)


def against(study: StudyTables, other: StudyTables, *, mixed: bool = False) -> Comparison:
    return compare_studies(Side(name="A", study=study), Side(name="B", study=other), mixed=mixed)


@pytest.fixture(name="small")
def small_fixture(make_study: MakeStudy) -> StudyTables:
    return make_study(steps=STEPS, benchmarks=("math-500", "mmlu-pro"), num_items=40, datasets=("math-cot",))


def test_two_subsets_of_one_study_are_compared_on_every_exam_and_step_that_they_do_not_share(make_study: MakeStudy) -> None:
    found = compare_studies(*sides(make_study(steps=STEPS, benchmarks=("math-500", "mmlu-pro"), num_items=30)))
    assert [(row.benchmark, row.step) for row in found.rows] == [("math-500", 10), ("math-500", 40), ("mmlu-pro", 10), ("mmlu-pro", 40)]
    assert [(pair.label_a, pair.label_b) for pair in found.pairs] == [("math-cot", "math-nocot")]
    for row in found.rows:
        assert row.difference == pytest.approx((row.value_b or 0.0) - (row.value_a or 0.0))
        assert (row.low or 0.0) <= (row.difference or 0.0) <= (row.high or 0.0)


def test_the_other_way_round_every_difference_has_the_other_sign(make_study: MakeStudy) -> None:
    a, b = sides(make_study(steps=STEPS, benchmarks=("math-500",), num_items=30))
    there, back = compare_studies(a, b), compare_studies(b, a)
    assert [row.difference for row in there.rows] == [-(row.difference or 0.0) for row in back.rows]
    assert [row.p_adjusted for row in there.rows] == pytest.approx([row.p_adjusted for row in back.rows])


def test_a_side_whose_answers_were_made_wrong_differs_and_is_the_lower_one(small: StudyTables) -> None:
    worse = with_attempts(small, lambda each: replace(each, verdict="wrong") if int(each.problem_id[1:]) % 2 else each)
    found = against(small, worse)
    assert {row.verdict for row in found.rows if row.benchmark == "math-500"} == {"differs"}
    assert all((row.difference or 0.0) < 0 for row in found.rows)
    assert any("math-500 at step 0: A is higher" in sentence for sentence in summary(found))


def test_few_items_without_a_clear_difference_are_no_agreement(small: StudyTables) -> None:
    one = with_attempts(small, lambda each: replace(each, verdict="wrong") if each.problem_id == "p0001" else each)
    found = against(small, with_attempts(one, lambda each: replace(each, verdict="correct") if each.problem_id == "p0002" else each))
    few = [row for row in found.rows if row.verdict == "not comparable"]
    assert all((row.detectable or 0.0) > 0.1 and "could have been missed" in row.why for row in few)
    assert all((row.detectable or 1.0) <= 0.1 for row in found.rows if row.verdict == "agrees")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cap": 2048}, "other cap: 4,096 tokens in A, 2,048 in B"),
        ({"conditions": '{"accelerator": "h100"}'}, "other conditions"),
        ({"prompt_hash": "f" * 16}, "other prompts"),
    ],
)
def test_another_exam_is_not_comparable_and_says_why(small: StudyTables, change: dict[str, object], why: str) -> None:
    small = replace(small, facts={"declared": {"models": {"qwen3-1.7b": {"hub": "Qwen/Qwen3-1.7B-Base"}}}})
    found = against(small, with_attempts(small, lambda each: replace(each, **change)))  # type: ignore[arg-type]
    assert {row.verdict for row in found.rows} == {"not comparable"}
    assert all(why in row.why and row.difference is None and row.p_value is None for row in found.rows)


def test_other_conditions_are_compared_and_marked_where_that_is_asked_for(small: StudyTables) -> None:
    other = with_attempts(small, lambda each: replace(each, conditions="{}", verdict="wrong"))
    found = against(small, other, mixed=True)
    assert all(row.difference is not None and row.note == "other measuring conditions" for row in found.rows)


def test_other_items_are_refused_and_a_part_of_them_is_compared_and_said(small: StudyTables) -> None:
    renamed = with_attempts(small, lambda each: replace(each, problem_id=f"q{each.problem_id}"))
    assert all("other items: none of the 40" in row.why for row in against(small, renamed).rows)
    cells = [replace(cell, attempts=tuple(each for each in cell.attempts if each.problem_id < "p0030")) for cell in small.attempts]
    found = against(small, with_attempts(replace(small, attempts=cells), lambda each: replace(each, verdict="wrong")))
    assert {(row.num_items, row.note) for row in found.rows} == {(30, "on the 30 items in both, of 40 in A and 30 in B")}


def test_another_declared_sampling_is_not_comparable(small: StudyTables) -> None:
    def declaring(temperature: float) -> StudyTables:
        exams = {"math-500": {"sampling": {"temperature": temperature, "top_p": 1.0}}, "mmlu-pro": {"sampling": {"temperature": 0.0}}}
        return replace(small, facts={"declared": {"benchmarks": exams}})

    found = against(declaring(0.6), with_attempts(declaring(1.0), lambda each: replace(each, verdict="wrong")))
    assert {row.why for row in found.rows if row.benchmark == "math-500"} == {"other sampling: temperature 0.6 in A, 1.0 in B"}
    assert {row.verdict for row in found.rows if row.benchmark == "mmlu-pro"} == {"differs"}


def test_what_only_one_side_has_is_said(make_study: MakeStudy) -> None:
    one = make_study(steps=(0, 10), benchmarks=("math-500", "mmlu-pro"), num_items=10, datasets=("math-cot",))
    other = make_study(steps=(0, 10, 20), benchmarks=("math-500",), num_items=10, datasets=("math-cot",))
    left = against(one, with_attempts(other, lambda each: replace(each, verdict="wrong"))).left_out
    assert left == ("Only A has mmlu-pro.", "Only B has checkpoints at the steps 20.")


def test_runs_are_paired_by_what_both_sides_have_and_the_rest_is_what_is_compared(make_run: Callable[..., Run]) -> None:
    a = [make_run("math-cot", seed=seed) for seed in (0, 1)]
    b = [make_run("math-nocot", seed=seed) for seed in (1, 0, 2)]
    pairs, alone = pair_runs(a, b)
    assert [(pair.a.seed, pair.b.seed, pair.label) for pair in pairs] == [(0, 0, "seed 0"), (1, 1, "seed 1")]
    assert alone == ["qwen3-1.7b on math-nocot, seed 2 of B"]


def test_runs_that_differ_in_a_setting_are_named_by_it(make_run: Callable[..., Run]) -> None:
    pairs, _ = pair_runs([make_run(settings='{"lr": 1e-05}', id="a")], [make_run(settings='{"lr": 5e-05}', id="b")])
    assert [(pair.label_a, pair.label_b) for pair in pairs] == [("lr 1e-05", "lr 5e-05")]


def test_runs_are_chosen_by_their_columns_and_a_wrong_one_is_named(make_run: Callable[..., Run]) -> None:
    runs = [make_run("math-cot"), make_run("math-nocot"), make_run("numina", status="failed", error="x")]
    assert [run.dataset for run in choose(runs, ["lr=0.00005", "dataset=math-cot"], "A")] == ["math-cot"]
    assert len(choose(runs, ["dataset=math-cot", "dataset=math-nocot"], "A")) == 2
    with pytest.raises(ValueError, match="A: its runs have no 'datset'; did you mean 'dataset'"):
        choose(runs, ["datset=math-cot"], "A")
    with pytest.raises(ValueError, match="B: no run that did not fail has dataset=numina; found math-cot, math-nocot"):
        choose(runs, ["dataset=numina"], "B")
    with pytest.raises(ValueError, match="expected KEY=VALUE"):
        choose(runs, ["math-cot"], "A")


def test_a_run_is_not_compared_to_itself(small: StudyTables) -> None:
    with pytest.raises(ValueError, match="compared to itself"):
        against(small, small)


def test_tables_json_figures_and_page_are_written_and_names_are_escaped(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(steps=STEPS, benchmarks=("math-500",), num_items=12)
    study = replace(study, facts={"name": "<b>x</b>"})
    a, b = sides(study)
    found = compare_studies(a, b)
    page = write_comparison(tmp_path, a, b, found)
    text = page.read_text()
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<b>x</b>" not in text
    assert "data:image/svg+xml" in text
    table = pl.read_parquet(tmp_path / "compare.parquet")
    assert [Compared(**row) for row in table.iter_rows(named=True)] == list(found.rows)
    assert len(json.loads((tmp_path / "compare.json").read_text())["rows"]) == len(found.rows)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"pair-1.svg", "pair-1.png"}
