"""Which models the evaluators serve, what each of them takes, and what a plan says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import studies
from pydantic import ValidationError
from studies import study

from ray_study.config import Study
from ray_study.evaluators import num_identities
from ray_study.plan import plan
from ray_study.resources import Resources, ServeResources
from ray_study.sweep_file import read

MODELS: dict[str, Any] = {
    "models/judge": {"hub": "Qwen/Qwen3-32B"},
    "models/reward": {"hub": "Skywork/Skywork-Reward-V2-Qwen3-8B"},
}
JUDGES: dict[str, Any] = {
    **MODELS,
    "judges": {"levels": {"rubric": "policy", "model": "judge"}, "helpful": {"rubric": "reward", "model": "reward"}},
    "evaluation/benchmarks": {
        "safe": {"problems": "held_out", "group": "safety", "judge": ["levels"]},
        "liked": {"problems": "held_out", "group": "general", "judge": ["helpful"]},
    },
}


def test_judges_and_reward_models_that_an_exam_asks_stand_beside_the_students() -> None:
    assert num_identities(study()) == 1
    assert num_identities(study(JUDGES)) == 3
    assert num_identities(study({**JUDGES, "sweep/model": ["tiny", "judge"]})) == 3, "a student that also judges is one model"
    unasked = {**JUDGES, "evaluation/benchmarks": {"sums": {"problems": "held_out", "group": "in_domain"}}}
    assert num_identities(study(unasked)) == 1


def test_one_model_without_a_study_has_all_replicas_as_its_judges_have_after_it() -> None:
    judged = study(JUDGES)

    def scored(*names: str) -> int:
        models = {**{name: judged.models[name] for name in ("judge", "reward")}, **{name: judged.models["tiny"] for name in names}}
        kept = {"models": models, "judges": judged.judges, "evaluation": judged.evaluation}
        return num_identities(Study.model_construct(_fields_set={"models", "judges", "evaluation"}, **kept))

    assert scored("one") == 1
    assert scored("one-step20", "one-step640") == 3


SERVED: dict[str, Any] = {
    **JUDGES,
    "resources": {
        "num_gpus": 8,
        "gpu_memory_gigabytes": 80,
        "evaluate": {"replicas": 8, "gpus_per_replica": 1, "by_model": {"judge": {"gpus_per_replica": 2, "max_num_seqs": 16}}},
    },
}
ONE_EACH = {**SERVED["resources"], "evaluate": {"replicas": 8, "gpus_per_replica": 1}}


def test_a_judge_that_no_single_accelerator_holds_is_served_by_several_and_the_students_by_one() -> None:
    faults = plan(study({**SERVED, "resources": ONE_EACH})).faults
    assert any("resources.evaluate serves 'judge': about" in fault and "`by_model` does for this model alone" in fault for fault in faults)
    made = study(SERVED)
    assert [fault for fault in plan(made).faults if "resources.evaluate serves" in fault] == []
    assert "  evaluate: 0 to 8 replicas of 1 accelerator; judge: 0 to 4 replicas of 2 accelerators" in plan(made).lines
    own = made.resources.evaluate.of("judge")
    assert (own.replicas, own.gpus_per_replica, own.max_num_seqs) == (4, 2, 16)
    assert made.resources.evaluate.of("tiny").max_num_seqs == made.resources.evaluate.max_num_seqs


def test_a_plan_says_nothing_of_engines_that_are_always_there() -> None:
    assert not [line for line in plan(study()).lines if line.startswith("  evaluate:")]


def test_what_is_said_of_a_model_must_be_of_one_that_the_file_has(tmp_path: Path) -> None:
    for stage in ("generate", "evaluate"):
        path = studies.sweep_file(tmp_path, {f"resources/{stage}/by_model": {"tinny": {"max_num_seqs": 1}}})
        with pytest.raises(ValueError, match=rf"`resources.{stage}.by_model.tinny` names 'tinny'.* did you mean 'tiny'"):
            read(path)


@pytest.mark.parametrize(("each", "there"), [(0, 0), (1, 2)])
def test_a_model_that_asks_for_more_accelerators_than_the_section_has_is_refused(each: int, there: int) -> None:
    with pytest.raises(ValidationError, match=rf"by_model.large.gpus_per_replica is 4, but replicas x gpus_per_replica are {there}"):
        ServeResources.model_validate({"replicas": 2, "gpus_per_replica": each, "by_model": {"large": {"gpus_per_replica": 4}}})


def test_scoring_counts_as_many_accelerators_whatever_single_models_take() -> None:
    resources = Resources.model_validate(SERVED["resources"])
    plain = Resources.model_validate(ONE_EACH)
    assert (resources.most_workers, resources.overlaps) == (plain.most_workers, plain.overlaps)
