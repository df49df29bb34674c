from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from studies import study

from ray_study.config import Checkpoints, Dataset, Model, Resources, SearchSpace, Study, Sweep, Teacher, Training
from ray_study.settings import Settings, looks_secret

FAKE_TOKEN = "hf_" + "Ab3dEf6hIj" * 3


def sections() -> list[type[Settings]]:
    found: list[type[Settings]] = []
    todo = [Settings]
    while todo:
        kind = todo.pop()
        found += kind.__subclasses__()
        todo += kind.__subclasses__()
    return found


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_section_refuses_unknown_keys_and_is_frozen(section: type[Settings]) -> None:
    # Any key of `training` may be an axis of the sweep: those are looked at where the file is read.
    assert section.model_config["extra"] == ("allow" if section is Sweep else "forbid")
    assert section.model_config["frozen"] is True


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training/batch_size", "8", "found the text '8'; expected a number, without quotes"),
        ("training/steps", True, "found true; expected a number"),
        ("seed", False, "found false; expected a number"),
        ("sweep/seed", ["1"], "found the text '1'; expected a number, without quotes"),
        ("checkpoints/steps", ["2", "8"], "found the text '2'; expected a number, without quotes"),
        ("training/shuffle", "yes", "found the text 'yes'; expected true or false, without quotes"),
        ("question", True, "found true; expected a text"),
    ],
)
def test_a_value_of_another_type_is_not_made_to_fit(key: str, value: Any, expected: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(expected)):
        study({key: value})


def test_a_study_cannot_be_changed_in_place() -> None:
    made = study()
    with pytest.raises(ValidationError):
        made.seed = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        made.training.steps = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "found neither"),
        ({"steps": 2, "epochs": 1}, "found both"),
        ({"steps": 2, "zero_stage": 2}, "engine: deepspeed"),
        ({"steps": 2, "precision": "fp32", "master_weights": "bf16"}, "precision: bf16"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"steps": 2, "learning_rate": 0}, "greater than 0"),
        ({"steps": 2, "learning_rate": float("inf")}, "finite"),
        ({"steps": 2, "learning_rate": float("nan")}, "finite"),
    ],
)
def test_training_that_cannot_work_is_not_built(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Training.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"by": "vllm"}, "without `model`"),
        ({"by": "solver", "num_attempts": 2}, "one solution a problem"),
        ({"by": "vllm", "model": "tiny", "num_attempts": 4, "sampling": {"temperature": 0}}, "repeats one answer"),
        ({"by": "endpoint"}, "without `endpoint`"),
        ({"by": "endpoint", "endpoint": {"url": "https://a.example/v1?api_key=x", "model": "m"}}, "carries a credential"),
        ({"by": "endpoint", "endpoint": {"url": "https://me:x@a.example/v1", "model": "m"}}, "carries a credential"),
        ({"by": "vllm", "model": "tiny", "until_correct": 1}, "go together"),
        ({"by": "vllm", "model": "tiny", "num_attempts": 4, "until_correct": 1, "at_most": 2}, "raise it"),
        ({"by": "vllm", "model": "tiny", "prompt_template": "no place"}, "must hold"),
    ],
)
def test_a_teacher_that_cannot_work_is_not_built(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Teacher.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "either `problems` and `teacher`, or `read`"),
        ({"problems": "sums"}, "either `problems` and `teacher`, or `read`"),
        ({"read": "jsonl"}, "needs a `name`"),
        ({"read": "jsonl", "name": "x", "teacher": "solver"}, "either read or made"),
        ({"read": "jsonl", "name": "x", "columns": {"prompt": "q"}}, "must name `prompt` and `response`"),
    ],
)
def test_a_data_set_is_either_read_or_made(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Dataset.model_validate(settings)


def test_a_model_comes_from_exactly_one_place() -> None:
    for wrong in ({}, {"hub": "a/b", "path": "c"}):
        with pytest.raises(ValidationError, match="exactly one of hub, path, asset and scratch"):
            Model.model_validate(wrong)
    assert Model(hub="a/b").trust_remote_code is False


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ({}, "exactly one"),
        ({"uniform": [0, 1], "choice": [1]}, "exactly one"),
        ({"uniform": [1, 1]}, "low < high"),
        ({"loguniform": [0, 1]}, "above 0"),
        ({"choice": []}, "at least 1"),
    ],
)
def test_a_search_space_that_cannot_be_drawn_is_not_built(space: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SearchSpace.model_validate(space)


@pytest.mark.parametrize("key", ["scheduler", "stopper", "early_stopping"])
def test_a_stopping_rule_on_scores_is_refused_with_the_reason(key: str) -> None:
    with pytest.raises(ValidationError, match="kills them at the dip"):
        study({f"sweep/{key}": "asha"})


def test_a_sampled_answer_at_temperature_zero_is_not_asked_twice() -> None:
    with pytest.raises(ValidationError, match="repeats one answer"):
        study({"evaluation/sampling": {"temperature": 0.0}, "evaluation/benchmarks/sums/num_samples": 3})


def test_saved_steps_end_with_the_last_one_and_never_hold_the_first() -> None:
    assert Checkpoints(steps=(2, 5)).at(8) == (2, 5, 8)
    assert Checkpoints(every=3).at(8) == (3, 6, 8)
    assert Checkpoints(every=10).at(8) == (8,)
    for number in range(1, 12):
        steps = Checkpoints(log_spaced=number).at(640)
        assert steps[-1] == 640
        assert steps[0] >= 1
        assert list(steps) == sorted(set(steps))
        assert len(steps) <= number
    assert Checkpoints(log_spaced=50).at(4) == (1, 2, 3, 4)


def test_a_saved_step_beyond_the_run_is_named() -> None:
    with pytest.raises(ValueError, match=r"names \[10\], but a run has only 8 steps"):
        Checkpoints(steps=(2, 10)).at(8)


def test_a_stage_never_asks_for_more_accelerators_than_there_are() -> None:
    with pytest.raises(ValidationError, match=r"train asks for 4 accelerators, but resources\.num_gpus is 2"):
        Resources.model_validate({"num_gpus": 2, "train": {"workers": 4, "gpus_per_worker": 1}})


def test_overlap_needs_accelerators_for_both_and_is_off_where_they_do_not_fit() -> None:
    both = {"train": {"workers": 2, "gpus_per_worker": 1}, "evaluate": {"replicas": 2, "gpus_per_replica": 1}}
    assert Resources.model_validate({"num_gpus": 4, **both}).overlaps
    assert not Resources.model_validate({"num_gpus": 3, **both}).overlaps
    with pytest.raises(ValidationError, match="overlap: true"):
        Resources.model_validate({"num_gpus": 3, "overlap": True, **both})


@pytest.mark.parametrize(
    "text",
    [
        FAKE_TOKEN,
        f"Bearer {FAKE_TOKEN}",
        "sk-" + "a1b2c3d4e5" * 3,
        "AKIA" + "ABCDEFGH12345678",
        "ghp_" + "a1b2c3d4e5" * 4,
        "https://someone:pa55@mlflow.example/x",
        "postgresql://mlflow.example/x?user=someone&password=pa55",
    ],
)
def test_what_looks_like_a_credential_is_refused_wherever_it_stands_and_is_not_repeated(text: str) -> None:
    for change in ({"tracking": text}, {"problems/sums/options": {"deep": [{"er": text}]}}, {"problems/sums/options": {text: 1}}):
        with pytest.raises(ValidationError, match="looks like a credential") as refused:
            study(change)
        assert text not in str(refused.value)


@pytest.mark.parametrize("text", ["https://host:5000", "sqlite:///a/b.db", "hf_short", "Is it 3:4 or user@host?", "s3://bucket/a:b"])
def test_plain_text_is_no_credential(text: str) -> None:
    assert not looks_secret(text)


def test_names_are_short_and_plain() -> None:
    for wrong in ("a b", "../up", "", "-x", "a/b", "x" * 65):
        with pytest.raises(ValidationError):
            study({"name": wrong})


def test_a_scalar_axis_is_a_list_of_one() -> None:
    sweep = Study.model_validate(study().model_dump() | {"sweep": {"model": "tiny", "dataset": "cot", "seed": 5}}).sweep
    assert (sweep.model, sweep.dataset, sweep.seed) == (("tiny",), ("cot",), (5,))


@pytest.mark.parametrize("axis", [{"sweep/dataset": ["cot", "cot"]}, {"sweep/seed": []}, {"sweep/learning_rate": []}])
def test_an_axis_that_is_empty_or_says_a_value_twice_is_refused(axis: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="axis"):
        study(axis)
