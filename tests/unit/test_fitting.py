"""What a file leaves open is chosen so that a run fits, without a change of what identifies it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import studies

from ray_study.config import Study, Training
from ray_study.fitting import MARGIN, fewest_workers, fits, fitted, workers_of
from ray_study.grid import planned
from ray_study.plan import plan
from ray_study.sweep_file import read

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


NO_WORKERS = {"num_gpus": 8, "gpu_memory_gigabytes": 80, "train": {"gpus_per_worker": 1}}
SIZES = {"small": "Qwen/Qwen3-1.7B-Base", "middle": "Qwen/Qwen3-8B-Base", "big": "Qwen/Qwen3-14B-Base"}
THREE = {"models": {name: {"hub": hub} for name, hub in SIZES.items()}, "sweep/model": list(SIZES), "resources": NO_WORKERS}


def workers(changes: Mapping[str, Any]) -> dict[str, int]:
    """The workers of each model's run."""
    made = study(changes)
    return {run.model: workers_of(made, run) for run in planned(made)}


def test_each_model_has_the_fewest_workers_over_which_it_fits_and_the_plan_says_why() -> None:
    found = workers(THREE)
    assert found["small"] == 1
    assert found["small"] < found["middle"] < found["big"] == 8
    made = study(THREE)
    for run in planned(made):
        counts = [count for count in (1, 2, 4, 8) if count < found[run.model]]
        # With one count less nothing that the ladder has would fit.
        fewer = [study({**THREE, "resources/train/workers": count}) for count in counts]
        assert not any(fits(less, run, fitted(less, run), count, MARGIN) for less, count in zip(fewer, counts, strict=True))
    lines = plan(made).lines
    assert plan(made).faults == ()
    assert sum("8 workers (the fewest over which it fits)" in line for line in lines) == 1
    assert any(line.endswith("; 1 to 8 training workers a run; checkpoints are scored after training") for line in lines)


def test_runs_at_once_and_who_scores_meanwhile_leave_a_run_fewer_accelerators() -> None:
    assert workers({**THREE, "resources/train/concurrent_runs": 2})["big"] == 4
    scoring = {"resources/overlap": True, "resources/evaluate": {"replicas": 4, "gpus_per_replica": 1}}
    assert workers({**THREE, **scoring})["big"] == 4
    # All that it may have is too little, which is a fault, and how many would do is said.
    assert any(fault.endswith("(8 workers would do)") for fault in plan(study({**THREE, **scoring})).faults)


def test_a_model_has_its_own_workers_stage_and_micro_batches_and_none_of_it_identifies_its_runs() -> None:
    own = {"workers": 4, "zero_stage": 3, "micro_batch_tokens": 60000, "gradient_checkpointing": True}
    changed = {**THREE, "resources/train/by_model": {"small": own}}
    assert workers(changed) == {**workers(THREE), "small": 4}
    made = study(changed)
    run = planned(made)[0]
    training = fitted(made, run)
    assert (training.zero_stage, training.gradient_checkpointing, training.tokens_at_once) == (3, True, 60000)
    assert [run.id for run in planned(made)] == [run.id for run in planned(study(THREE))]
    assert fitted(made, planned(made)[1]) == fitted(study(THREE), planned(study(THREE))[1])
    assert any("4 workers (as the file says of this model)" in line and "ZeRO 3, 60000 tokens at once" in line for line in plan(made).lines)


def test_a_stage_of_zero_for_a_model_that_plain_torch_trains_is_refused() -> None:
    changes = {"training/engine": "torch", "resources/train/by_model": {"big": {"zero_stage": 3}}}
    assert any("by_model.big.zero_stage is 3, which needs `engine: deepspeed`" in fault for fault in plan(study(changes)).faults)


def test_settings_of_a_model_that_the_file_has_not_are_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = studies.sweep_file(tmp_path, {"resources/train/by_model": {"tinny": {"workers": 1}}})
    with pytest.raises(ValueError, match=r"resources.train.by_model.tinny.* did you mean 'tiny'"):
        read(path)
