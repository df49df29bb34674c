"""What a file leaves open is chosen so that a run fits, without a change of what identifies it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import studies

from ray_study.config import Study, Training
from ray_study.fitting import fewest_workers, fitted
from ray_study.grid import planned
from ray_study.plan import plan

LONG = {
    "models": {"big": {"hub": "Qwen/Qwen3-14B-Base", "max_model_len": 32768}},
    "sweep/model": "big",
    "sweep/dataset": "cot",
    "training": {"steps": 8, "batch_size": 32, "max_length": 20000, "engine": "deepspeed"},
    "resources": {"num_gpus": 8, "gpu_memory_gigabytes": 80, "train": {"workers": 8, "gpus_per_worker": 1}},
}


def study(changes: Mapping[str, Any]) -> Study:
    """The study with long rows, changed; the changes are copied, since a path reaches into them."""
    return studies.study(copy.deepcopy({**LONG, **changes}))


def chosen(changes: Mapping[str, Any]) -> Training:
    made = study(changes)
    return fitted(made, planned(made)[0])


def held(training: Training) -> tuple[int, bool, int]:
    return training.zero_stage, training.gradient_checkpointing, training.micro_batch_size


def test_long_rows_of_a_14b_model_fit_on_eight_accelerators_of_80_gigabytes_and_the_plan_says_how() -> None:
    assert held(chosen({})) == (3, True, 1)
    made = plan(study({}))
    assert made.faults == ()
    assert any("GB a worker (ZeRO 3, 1 rows of 20000 tokens at once, activations computed again)" in line for line in made.lines)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models/big": {"hub": "Qwen/Qwen3-1.7B-Base"}, "training/max_length": 2048}, (1, False, 4)),
        ({"models/big": {"hub": "Qwen/Qwen3-4B-Base"}}, (1, True, 4)),
        ({"models/big": {"hub": "Qwen/Qwen3-8B-Base"}}, (2, True, 2)),
        ({"training/master_weights": "bf16"}, (2, True, 1)),
        ({"resources/gpu_memory_gigabytes": 141}, (2, True, 2)),
        ({"training/batch_size": 8, "models/big": {"hub": "Qwen/Qwen3-1.7B-Base"}, "training/max_length": 2048}, (1, False, 1)),
    ],
)
def test_the_fastest_way_that_fits_is_taken(changes: Mapping[str, Any], expected: tuple[int, bool, int]) -> None:
    assert held(chosen(changes)) == expected


def test_what_the_file_gives_is_kept() -> None:
    small = {"models/big": {"hub": "Qwen/Qwen3-1.7B-Base"}, "training/max_length": 2048}
    given = {"training/zero_stage": 3, "training/gradient_checkpointing": True, "training/micro_batch_size": 2}
    assert held(chosen({**small, **given})) == (3, True, 2)


def test_the_choice_identifies_nothing() -> None:
    by_hand = {"training/zero_stage": 2, "training/micro_batch_size": 2}
    assert len({planned(study(changes))[0].id for changes in ({}, {"resources/gpu_memory_gigabytes": 141}, by_hand)}) == 1
    assert held(chosen({})) != held(chosen({"resources/gpu_memory_gigabytes": 141}))


def test_on_a_cpu_and_for_a_model_that_is_not_known_the_defaults_stay() -> None:
    for changes in ({"resources": {}}, {"models/big": {"hub": "someone/something"}}):
        made = study(changes)
        assert fitted(made, planned(made)[0]) == planned(made)[0].training


def test_where_nothing_fits_the_plan_says_over_how_many_workers_it_would() -> None:
    four = {"resources": {"num_gpus": 4, "gpu_memory_gigabytes": 80, "train": {"workers": 4, "gpus_per_worker": 1}}}
    faults = [fault for fault in plan(study(four)).faults if "needs about" in fault]
    assert len(faults) == 1
    assert faults[0].endswith("(8 workers would do)")
    made = study({**four, "training/engine": "torch"})
    assert fewest_workers(made, planned(made)[0]) is None


def test_a_plan_says_hours_where_the_accelerator_is_named() -> None:
    line = next(line for line in plan(study({"resources/train/accelerator_type": "H100"})).lines if "FLOPs" in line)
    # 8 steps of 32 rows of 20,000 tokens: 5.12e6 tokens of 1.33e11 FLOPs each, at 0.4 * 8 * 989.4e12 a second.
    assert "at most 6.8e+17 FLOPs, at most 0.1 hours on 8 H100 at 40% of their peak" in line
    assert not any("hours" in each for each in plan(study({})).lines)


def test_a_model_that_runs_by_its_own_code_is_refused_unless_the_file_trusts_it() -> None:
    intern = {"models/big": {"hub": "internlm/internlm2_5-20b"}, "resources/gpu_memory_gigabytes": 141}
    assert any("runs by code of its own" in fault for fault in plan(study(intern)).faults)
    assert plan(study({**intern, "models/big/trust_remote_code": True})).faults == ()
