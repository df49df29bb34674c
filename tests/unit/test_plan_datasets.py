from __future__ import annotations

from typing import Any

import pytest
from studies import study

from ray_study.grid import counting_model, dataset_literal, planned
from ray_study.plan import plan

ASKED = {"teachers/asked": {"by": "vllm", "model": "tiny", "num_attempts": 4}, "datasets/cot": {"problems": "sums", "teacher": "asked"}}


def faults(changes: dict[str, Any]) -> tuple[str, ...]:
    return plan(study(changes)).faults


@pytest.mark.parametrize(
    "select", [{"min_tokens": 5}, {"max_tokens": 50}, {"min_tokens": 5, "max_tokens": 50}], ids=lambda select: "+".join(select)
)
def test_limits_of_tokens_need_somebody_who_counts_them(select: dict[str, int]) -> None:
    (fault,) = faults({"datasets/cot/select": select})
    assert "need a tokenizer, and solver has none" in fault
    assert "as in `tokens_by: tiny`" in fault
    assert faults({"datasets/cot/select": select, "datasets/cot/tokens_by": "tiny"}) == ()
    assert faults({**ASKED, "datasets/cot/select": select}) == (), "the teacher's model has a tokenizer"


def test_cutting_thinking_needs_a_tokenizer_too() -> None:
    assert any("truncate_thinking need" in fault for fault in faults({"datasets/cot/truncate_thinking": 4}))
    assert faults({"datasets/cot/truncate_thinking": 4, "datasets/cot/tokens_by": "tiny"}) == ()


def test_a_size_that_the_file_fixes_is_a_multiple_of_the_batch_of_every_run_that_trains_on_it() -> None:
    (fault,) = faults({"datasets/cot/select": {"num_examples": 60}})
    assert "60 examples, no multiple of the batch of 8" in fault
    assert "the nearest sizes are 56 and 64" in fault
    assert faults({"datasets/cot/select": {"num_examples": 56}}) == ()
    assert len(faults({"datasets/cot/select": {"num_examples": 56}, "sweep/batch_size": [8, 16]})) == 1
    pretrain = {"dataset": "cot", "training": {"steps": 4, "batch_size": 12, "max_length": 128}}
    (fault,) = faults({"datasets/cot/select": {"num_examples": 56}, "models/tiny/pretrain": pretrain})
    assert fault.startswith("run 'tiny pretrain': data set 'cot' has 56 examples")


def test_a_size_that_nobody_fixed_or_trains_on_may_be_any() -> None:
    assert faults({"problems/sums/num_problems": 61}) == ()
    assert faults({"datasets/aside": {"problems": "sums", "teacher": "solver", "select": {"num_examples": 7}}}) == ()


def test_more_examples_than_attempts_can_give_are_refused() -> None:
    asked = {**ASKED, "datasets/cot/select": {"num_examples": 256, "per_problem": 4}}
    assert faults(asked) == ()
    (fault,) = faults({**ASKED, "datasets/cot/select": {"num_examples": 256, "per_problem": 3}})
    assert "64 problems give at most 192 examples" in fault


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"problems": "sums", "teacher": "solver", "select": {"arm": "wrong"}}, "the solver makes no wrong attempts"),
        ({"read": "hub", "name": "a/b", "select": {"arm": "unverified"}}, "rows that are read have no verdicts"),
        ({"read": "hub", "name": "a/b", "select": {"per_problem": 2}}, "rows that are read have no verdicts"),
        ({"read": "hub", "name": "a/b", "select": {"policy": "shortest"}}, "take `first` (their own order) or `random`"),
        ({"read": "hub", "name": "a/b", "select": {"max_tokens": 9}}, "need a tokenizer, and hub has none"),
    ],
)
def test_a_choice_that_a_data_set_cannot_make_is_refused(dataset: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults({"datasets/cot": dataset}))


def test_a_plan_says_arm_size_limits_and_form() -> None:
    select = {"arm": "unverified", "policy": "longest", "num_examples": 64, "min_tokens": 2, "max_tokens": 90}
    more = {"datasets/cot/select": select, "datasets/cot/truncate_thinking": 50, "datasets/cot/decontaminate": {"remove": False}}
    lines = "\n".join(plan(study({**ASKED, **more})).lines)
    assert "data set cot: 64 problems x 4 attempts by asked, select longest of unverified, truncate_thinking 50, 64 examples, " in lines
    assert "2 to 90 tokens, overlaps with benchmarks are kept" in lines


def test_the_name_of_the_model_that_counts_identifies_nothing_and_the_model_does() -> None:
    def literal(**changes: Any) -> object:
        return dataset_literal(
            study({"models/other": {"scratch": {"hidden_size": 64, "num_layers": 2, "positions": 256}}, **changes}), "cot"
        )

    counted = {"datasets/cot/tokens_by": "tiny"}
    assert literal(**counted) != literal()
    assert literal(**{"datasets/cot/tokens_by": "other", "models/other/dtype": "float32"}) == literal(**counted)
    assert literal(**{"datasets/cot/tokens_by": "other", "models/other/dtype": "bfloat16"}) != literal(**counted)


def test_the_seed_of_a_selection_is_the_studys_where_it_is_not_said() -> None:
    assert dataset_literal(study({"datasets/cot/select": {"seed": 1}}), "cot") == dataset_literal(study(), "cot")
    other = [run.id for run in planned(study({"datasets/cot/select": {"seed": 2}})) if run.dataset == "cot"]
    assert other != [run.id for run in planned(study()) if run.dataset == "cot"]


def test_a_teachers_own_model_counts_unless_another_is_named() -> None:
    assert counting_model(study(ASKED), "cot") == "tiny"
    assert counting_model(study(), "cot") is None
    big = {"models/big": {"hub": "a/b"}, "datasets/cot/tokens_by": "big"}
    assert counting_model(study({**ASKED, **big}), "cot") == "big"
