from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from studies import changed, study

from ray_study.config import Study
from ray_study.exam_literals import answers_literal, benchmark_literal, exam_seed
from ray_study.grid import NOT_IDENTIFYING, attempts_literal, dataset_literal, planned, teacher_literal

TWO = {"sweep/learning_rate": {"loguniform": [1e-5, 1e-3]}, "sweep/num_samples": 3}


def ids(changes: Mapping[str, Any] | None = None) -> list[str]:
    return [run.id for run in planned(study(changes))]


def test_the_grid_has_every_combination_once_and_in_order() -> None:
    runs = planned(study({"sweep/seed": [0, 1], "sweep/batch_size": [4, 8]}))
    points = [(run.dataset, run.seed, run.training.batch_size) for run in runs]
    assert points == [(dataset, seed, size) for dataset in ("cot", "nocot") for seed in (0, 1) for size in (4, 8)]
    assert len({run.id for run in runs}) == len({run.name for run in runs}) == 8


def test_a_name_says_what_varies() -> None:
    assert [run.name for run in planned(study({"sweep/batch_size": [4, 8], "sweep/dataset": "cot"}))] == [
        "tiny cot batch_size=4 seed=0",
        "tiny cot batch_size=8 seed=0",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"resources/train": {"workers": 2, "cpus_per_worker": 3, "concurrent_runs": 2, "max_failures": 5}},
        {"resources/evaluate": {"replicas": 3, "max_num_seqs": 7, "by_model": {"tiny": {"max_num_seqs": 3}}}},
        {"training/micro_batch_size": 2},
        {"training/packing": False},
        {"training/micro_batch_tokens": 4096},
        {"training/gradient_checkpointing": True},
        {"storage": "/somewhere/else"},
        {"tracking": "http://host:5000"},
        {"name": "another-name"},
        {"question": "Another?"},
        {"evaluation/shard_size": 7},
        {"evaluation/sampling/temperature": 1.0},
        {"evaluation/benchmarks/more": {"problems": "held_out", "group": "general", "num_samples": 2}},
    ],
)
def test_what_says_only_where_or_how_it_is_measured_never_identifies_a_run(change: dict[str, Any]) -> None:
    assert ids(change) == ids()


@pytest.mark.parametrize(
    "change",
    [
        {"training/learning_rate": 2e-3},
        {"training/batch_size": 4},
        {"training/steps": 16},
        {"training/warmup_share": 0.2},
        {"training/master_weights": "bf16", "training/precision": "bf16"},
        {"training/engine": "deepspeed"},
        {"training/shuffle": False},
        {"models/tiny/scratch/seed": 1},
        {"models/tiny/dtype": "bfloat16"},
        {"problems/sums/seed": 9},
        {"problems/sums/num_problems": 65},
        {"sweep/seed": [1]},
        {"seed": 2},
    ],
)
def test_what_decides_the_weights_identifies_a_run(change: dict[str, Any]) -> None:
    assert not set(ids(change)) & set(ids())


def test_the_storage_of_the_environment_never_enters_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids()
    monkeypatch.setenv("RAY_STUDY_STORAGE", "/somewhere/else")
    assert ids() == before


def test_names_of_sections_are_for_people_and_identify_nothing() -> None:
    renamed = changed()
    renamed["datasets"]["thinking"] = renamed["datasets"].pop("cot")
    renamed["sweep"]["dataset"] = ["thinking", "nocot"]
    renamed["problems"]["additions"] = renamed["problems"].pop("sums")
    for dataset in renamed["datasets"].values():
        dataset["problems"] = "additions"
    assert [run.id for run in planned(type(study()).model_validate(renamed))] == ids()


def test_only_settings_that_exist_are_left_out_of_the_fingerprint() -> None:
    assert set(type(study().training).model_fields) >= NOT_IDENTIFYING


def test_search_spaces_are_drawn_alike_in_every_process_from_the_studys_seed() -> None:
    program = (
        "import json, sys; from ray_study.config import Study; from ray_study.grid import planned; "
        "print(json.dumps([[r.id, r.training.learning_rate] for r in planned(Study.model_validate(json.load(sys.stdin)))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(changed(TWO)), capture_output=True, text=True, check=True, timeout=60
    )
    here = [[run.id, run.training.learning_rate] for run in planned(study(TWO))]
    assert json.loads(done.stdout) == here
    rates = {rate for _, rate in here}
    assert len(rates) == 3
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)
    assert {run.training.learning_rate for run in planned(study({**TWO, "seed": 2}))} != rates


def test_each_draw_is_tried_on_every_data_set() -> None:
    runs = planned(study(TWO))
    by_dataset = {name: [run.training.learning_rate for run in runs if run.dataset == name] for name in ("cot", "nocot")}
    assert by_dataset["cot"] == by_dataset["nocot"]
    assert len(by_dataset["cot"]) == 3


def test_more_samples_keep_the_first_ones() -> None:
    few = ids(TWO)
    assert set(few) < set(ids({**TWO, "sweep/num_samples": 5}))


def test_a_choice_that_is_drawn_twice_is_one_run() -> None:
    runs = planned(study({"sweep/dataset": "cot", "sweep/batch_size": {"choice": [4, 8]}, "sweep/num_samples": 20}))
    assert sorted(run.training.batch_size for run in runs) == [4, 8]


def test_samples_without_a_search_space_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_samples.*no axis is a search space; use `seed`"):
        planned(study({"sweep/num_samples": 2}))


@pytest.mark.parametrize(
    "change",
    [
        {"sweep/micro_batch_size": [2, 4]},
        {"sweep/learning_rate": ["1e-4", 0.0001]},
        {"datasets/nocot": {"problems": "sums", "teacher": "solver"}},
    ],
)
def test_two_runs_that_are_one_and_the_same_are_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"differ in nothing that decides their weights"):
        planned(study(change))


def test_an_axis_value_that_training_refuses_names_axis_and_value() -> None:
    with pytest.raises(ValueError, match=r"`sweep` at learning_rate=-1.0: .*greater than 0") as refused:
        planned(study({"sweep/learning_rate": [0.1, -1.0]}))
    assert "pydantic" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_axis_of_epochs_takes_the_place_of_steps() -> None:
    runs = planned(study({"sweep/dataset": "cot", "sweep/epochs": [1, 2]}))
    assert [(run.training.epochs, run.training.steps) for run in runs] == [(1.0, None), (2.0, None)]


def test_pretraining_comes_first_and_identifies_what_follows() -> None:
    pretrain = {"dataset": "cot", "training": {"steps": 4, "batch_size": 8}}
    runs = planned(study({"models/tiny/pretrain": pretrain}))
    assert [run.stage for run in runs] == ["pretrain", "sft", "sft"]
    other = planned(study({"models/tiny/pretrain": pretrain | {"seed": 1}}))
    assert not {run.id for run in runs} & {run.id for run in other}


def test_an_exam_is_the_same_however_it_is_cut_and_called() -> None:
    plain = benchmark_literal(study(), "sums")
    assert benchmark_literal(study({"evaluation/shard_size": 3, "evaluation/benchmarks/sums/note": "hello"}), "sums") == plain
    assert benchmark_literal(study({"evaluation/sampling/max_tokens": 33}), "sums") != plain
    assert benchmark_literal(study({"evaluation/benchmarks/sums/items": 3}), "sums") != plain


def test_a_teachers_shard_size_identifies_nothing_and_its_sampling_does() -> None:
    def literal(**teacher: Any) -> object:
        return dataset_literal(study({"teachers/solver": {"by": "vllm", "model": "tiny", **teacher}}), "cot")

    assert literal(shard_size=3) == literal()
    assert literal(sampling={"temperature": 0.7}) != literal()


def test_how_many_attempts_there_are_identifies_a_set_of_them_and_not_what_each_one_is() -> None:
    def both(**teacher: Any) -> tuple[object, object]:
        made = study({"teachers/one": {"by": "vllm", "model": "tiny", **teacher}})
        return attempts_literal(made, "sums", "one"), teacher_literal(made, "one")

    few, many = both(num_attempts=1), both(num_attempts=2, until_correct=1, at_most=8)
    assert few[0] != many[0]
    assert few[1] == many[1]
    assert both(prompt_template="Well: {prompt}")[1] != few[1]
    assert both(thinking=False)[1] != few[1]


def test_where_a_server_stands_identifies_nothing_and_its_model_does() -> None:
    def literal(**endpoint: Any) -> object:
        settings = {"url": "http://one.example/v1", "model": "m", **endpoint}
        return attempts_literal(study({"teachers/one": {"by": "endpoint", "endpoint": settings}}), "sums", "one")

    assert literal() == literal(url="http://two.example/v1", key_from="TEACHER_KEY", requests_at_once=2, timeout_seconds=9)
    assert "one.example" not in str(literal())
    assert "TEACHER_KEY" not in str(literal(key_from="TEACHER_KEY"))
    assert literal() != literal(model="another")


POINTS = {
    "models/other": {"scratch": {"hidden_size": 32, "num_layers": 1, "positions": 256}, "dtype": "float32"},
    "sweep/model": ["tiny", "other"],
    "sweep/points": [
        {"model": "tiny", "learning_rate": [1e-3, 2e-3]},
        {"model": ["other"], "dataset": "cot", "batch_size": 4},
    ],
}


def test_points_are_grids_of_their_own_in_the_order_of_the_file() -> None:
    runs = planned(study(POINTS))
    assert [run.name for run in runs] == [
        "tiny cot learning_rate=0.001 seed=0",
        "tiny cot learning_rate=0.002 seed=0",
        "tiny nocot learning_rate=0.001 seed=0",
        "tiny nocot learning_rate=0.002 seed=0",
        "other cot batch_size=4 seed=0",
    ]
    assert [run.training.batch_size for run in runs] == [8, 8, 8, 8, 4]
    product = planned(study({"sweep/learning_rate": [1e-3, 2e-3]}))
    assert [run.id for run in runs[:4]] == [run.id for run in product], "a point makes the runs that a product would"


def test_a_point_takes_the_place_of_an_axis_and_leaves_the_others() -> None:
    runs = planned(
        study({"sweep/dataset": "cot", "sweep/batch_size": [4, 8], "sweep/points": [{"epochs": 1}, {"steps": 8, "batch_size": 2}]})
    )
    assert [(run.training.epochs, run.training.steps, run.training.batch_size) for run in runs] == [
        (1, None, 4),
        (1, None, 8),
        (None, 8, 2),
    ]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([{"model": "big"}], r"`model` names \['big'\], and `sweep.model` is \['tiny'\]; a point takes some of these"),
        ([{"dataset": "cot"}], r"no point takes \['nocot'\] of axis `dataset`; add one, or take them out"),
        ([{"learning_rate": {"uniform": [0, 1]}}], "is a search space, which goes beside `points`"),
        ([{"learning_rate": []}], "is an empty list"),
        ([{"scheduler": "asha"}], "is refused: stopping runs on an evaluation score"),
        ([{}, {}], "differ in nothing that decides their weights"),
    ],
)
def test_a_point_that_cannot_be_is_refused(points: list[dict[str, Any]], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        planned(study({"sweep/points": points}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checkpoints/keep", "last"),
        ("training/stop", {"hours": 2, "divergence_factor": 3}),
        ("resources/train/resume_every", 5),
        ("resources/train/resume_seconds", 5),
    ],
)
def test_what_is_kept_and_when_a_run_is_given_up_does_not_identify_it(key: str, value: object) -> None:
    assert [run.id for run in planned(study({key: value}))] == [run.id for run in planned(study())]


def test_a_penalty_of_zero_identifies_nothing_and_another_does() -> None:
    def literal(**sampling: object) -> dict[str, object]:
        return benchmark_literal(study({"evaluation/sampling": {"max_tokens": 32, **sampling}}), "sums")

    assert literal(presence_penalty=0.0) == literal()
    assert "presence_penalty" not in literal()["sampling"]  # type: ignore[operator]
    assert literal(presence_penalty=0.1) != literal() != literal(frequency_penalty=0.1)
    made = study({"evaluation/sampling": {"max_tokens": 32, "frequency_penalty": 0.1}})
    assert Study.model_validate(made.model_dump(mode="json")) == made


def test_what_a_benchmark_is_called_decides_neither_its_answers_nor_their_seeds() -> None:
    entry = {"problems": "held_out", "group": "in_domain"}
    made = study({"evaluation/benchmarks": {"one": entry, "two": {**entry, "reads": "stripped"}, "fewer": {**entry, "items": 2}}})
    assert answers_literal(made, "one", "c", "tiny") == answers_literal(made, "two", "c", "tiny")
    assert exam_seed(made, "one") == exam_seed(made, "two") == exam_seed(made, "fewer")
    other = study({"seed": 5, "evaluation/benchmarks": {"one": entry}})
    assert exam_seed(other, "one") != exam_seed(made, "one")
