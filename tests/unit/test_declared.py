"""What sweep files declare of their names, and that those that retrace the paper are recognised by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ray_study import sweep_file
from ray_study.analyze.paper_match import match_exam, match_model, match_training
from ray_study.declared import declared
from ray_study.grid import planned, training_literal
from ray_study.rows import BenchmarkCard, Run

SWEEPS = Path(__file__).parents[2] / "sweeps"


def matches(file: str) -> dict[str, tuple[str, ...]]:
    """Each run of a sweep file with why the paper prints no number of it; the facts go through JSON, as they do in a report."""
    study = sweep_file.read(SWEEPS / file)
    facts = json.loads(json.dumps(declared(study)))
    found = {}
    for run in planned(study):
        settings = json.dumps(training_literal(run.training))
        row = Run(
            id=run.id,
            name=run.name,
            stage=run.stage,
            model=run.model,
            dataset=run.dataset,
            seed=run.seed,
            settings=settings,
            status="finished",
            error="",
        )
        model = match_model(facts, row)
        training = match_training(facts, {}, row, model.value)
        found[run.name] = (*model.reasons, *training.reasons, *training.notes)
    return found


@pytest.mark.parametrize("file", ["paper/default.yaml", "paper/budget.yaml"])
def test_runs_that_retrace_a_table_are_those_of_the_paper(file: str) -> None:
    assert set(matches(file).values()) == {()}


def test_runs_whose_numbers_are_in_no_table_say_so() -> None:
    found = matches("paper/data.yaml")
    assert [name for name, why in found.items() if why] == [name for name in found if "deepseek" in name]
    assert {why for why in found.values() if why} == {("data of which the paper prints no number (jasonrqh/DeepSeek-R1-20k)",)}
    assert all("another recipe" in why[0] for why in matches("paper/overfitting.yaml").values())


def test_a_named_exam_is_declared_with_its_protocol_and_its_judges_models() -> None:
    study = sweep_file.read(SWEEPS / "suite-offline.yaml")
    exams = declared(study)["benchmarks"]
    assert (exams["math500-paper"]["benchmark"], exams["math500-paper"]["protocol"], exams["math500-paper"]["judges"]) == (
        "math500",
        "paper",
        [],
    )
    card = BenchmarkCard(benchmark="math500-paper", group="in_domain", kind="math", metric="accuracy", num_items=50, num_samples=1, note="")
    assert match_exam({"benchmarks": exams}, card).reasons == (
        "math500 is sampled otherwise: max_tokens 512, not 32768",
        "other items: 50 of math500, not 500",
    )


def test_no_address_of_an_endpoint_is_declared(tmp_path: Path) -> None:
    text = (SWEEPS / "suite-offline.yaml").read_text()
    judge = "judges:\n  policy: {rubric: policy, endpoint: {url: 'https://judge.example/v1', model: m-1}}\n"
    text = text.replace("\ndatasets:", f"\n{judge}\ndatasets:", 1).replace("    mmlu: {items: 57}", "    mmlu: {items: 57, judge: policy}")
    (tmp_path / "sweep.yaml").write_text(text)
    found = declared(sweep_file.read(tmp_path / "sweep.yaml"))
    assert found["benchmarks"]["mmlu"]["judges"] == [{"model": "m-1", "rubric": "policy"}]
    assert "judge.example" not in json.dumps(found)
