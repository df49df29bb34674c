"""A recipe sets defaults, a key beside it wins, and what identifies a run is what came out and not the name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from studies import study

from ray_study.config import Training
from ray_study.grid import planned, resolve, training_literal
from ray_study.plan import plan
from ray_study.training import PAPER_FAITHFUL, recipe_differences, recipe_settings, set_beside

PAPER = {"training/recipe": "paper_faithful", "training/batch_size": 32, "training/precision": ...}


def training(**settings: Any) -> Training:
    return Training.model_validate({"steps": 8, **settings})


def test_the_paper_faithful_recipe_is_what_the_studys_trainer_does() -> None:
    settings = training(recipe="paper_faithful")
    assert (settings.precision, settings.master_weights) == ("bf16", "bf16")
    assert (settings.loss_aggregation, settings.layout_workers, settings.layout_rows) == ("micro_batch_token_mean", 8, 4)
    assert (settings.shuffle, settings.over_long, settings.max_length, settings.end_token) == (False, "truncate", 20000, "tokenizer")
    assert (settings.schedule, settings.warmup_share, settings.schedule_from, settings.learning_rate) == ("cosine", 0.1, 0, 5e-5)
    assert (settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay) == (0.9, 0.999, 1e-8, 0.01)
    assert (settings.max_grad_norm, settings.non_finite, settings.batch_size) == (1.0, "skip", 256)


def test_every_value_of_a_recipe_is_valid_and_the_standard_one_is_the_default() -> None:
    assert training(**PAPER_FAITHFUL).model_dump(exclude={"recipe"}) == training(recipe="paper_faithful").model_dump(exclude={"recipe"})
    assert training(recipe="standard") == training()
    assert {key: getattr(training(), key) for key in PAPER_FAITHFUL} == recipe_settings("standard")


def test_a_key_that_is_given_beside_a_recipe_wins_whatever_its_value() -> None:
    settings = training(recipe="paper_faithful", shuffle=True, master_weights="fp32")
    assert settings.shuffle
    assert settings.master_weights == "fp32"
    assert settings.over_long == "truncate"
    assert set_beside(settings) == [("shuffle", True, False), ("master_weights", "fp32", "bf16")]


def test_the_same_settings_by_name_and_by_hand_are_one_run() -> None:
    by_name = planned(study(PAPER))
    given = {"batch_size": 32, "max_length": 128, "learning_rate": 1e-3}
    by_hand = planned(study({f"training/{key}": value for key, value in {**PAPER_FAITHFUL, **given}.items()}))
    assert [run.id for run in by_name] == [run.id for run in by_hand]
    assert "recipe" not in training_literal(training(recipe="paper_faithful"))


@pytest.mark.parametrize("key", sorted(key for key in PAPER_FAITHFUL if recipe_settings("standard")[key] != PAPER_FAITHFUL[key]))
def test_each_switch_can_be_set_alone_and_makes_another_run(key: str) -> None:
    alone = training_literal(training(batch_size=32, **{key: PAPER_FAITHFUL[key]}))
    plain = training_literal(training(batch_size=32))
    assert alone != plain
    assert {name for name in plain if alone[name] != plain[name]} == {key}


def test_a_layout_identifies_a_run_only_where_the_loss_is_aggregated_for_one() -> None:
    assert training_literal(training(layout_rows=2)) == training_literal(training())
    two, four = (training(loss_aggregation="micro_batch_token_mean", layout_rows=rows) for rows in (2, 4))
    assert training_literal(two) != training_literal(four)


def test_a_switch_and_a_recipe_may_be_axes() -> None:
    switches = planned(study({**PAPER, "sweep/master_weights": ["bf16", "fp32"], "sweep/dataset": "cot"}))
    assert [run.training.master_weights for run in switches] == ["bf16", "fp32"]
    assert all(not run.training.shuffle for run in switches)
    recipes = planned(study({**PAPER, "training/epsilon": 1e-6, "sweep/recipe": ["standard", "paper_faithful"]}))
    assert [run.training.shuffle for run in recipes if run.dataset == "cot"] == [True, False]
    assert {run.training.epsilon for run in recipes} == {1e-6}, "a key of the file wins over a recipe that is an axis"


def test_a_point_replaces_what_the_file_gives_and_the_recipe_fills_in_the_rest() -> None:
    made = resolve(training(shuffle=True), {"recipe": "paper_faithful"})
    assert made.shuffle
    assert made.over_long == "truncate"


def test_settings_survive_their_way_to_a_worker() -> None:
    settings = training(recipe="paper_faithful", shuffle=True)
    again = Training.model_validate(settings.model_dump(mode="json"))
    assert again.model_dump() == settings.model_dump()


def test_a_batch_that_the_stated_layout_cannot_hold_is_refused_with_the_mend() -> None:
    with pytest.raises(ValidationError, match=r"batch_size 8 is no multiple of the 32 rows.*layout_workers 8 x layout_rows 4"):
        training(recipe="paper_faithful", batch_size=8)
    assert training(batch_size=8).batch_size == 8
    assert training(recipe="paper_faithful", batch_size=8, layout_workers=2).layout_workers == 2


def test_a_plan_says_how_a_recipe_differs_from_the_other_and_what_was_set_beside_it() -> None:
    lines = plan(study({**PAPER, "training/shuffle": True})).lines
    said = [line for line in lines if line.startswith("recipe ")]
    assert len(said) == 1, "once for all runs that share it"
    assert said[0].startswith("recipe paper_faithful; standard has: ")
    for part in ("master_weights fp32 (here bf16)", "loss_aggregation token_mean (here micro_batch_token_mean, 8 workers x 4 rows)"):
        assert part in said[0]
    assert "over_long drop (here truncate)" in said[0]
    assert "shuffle" not in said[0].partition("; set beside it: ")[0]
    assert "shuffle true (its own: false)" in said[0].partition("; set beside it: ")[2]


def test_only_switches_that_the_recipes_have_otherwise_are_differences() -> None:
    assert [key for key, _, _ in recipe_differences(training(learning_rate=1e-3))] == [
        *("schedule_from", "non_finite", "over_long", "shuffle", "master_weights", "loss_aggregation"),
    ]
