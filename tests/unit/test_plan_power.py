"""The smallest dip of a design: what `plan` says of each benchmark, and what it assumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from studies import study

from ray_study.analyze.dips import smallest_detectable
from ray_study.analyze.power import Exam, assumed_spread, detectable_difference, detectable_dip
from ray_study.analyze.simulation import Abilities, simulated_exam
from ray_study.descriptions import plan_json
from ray_study.plan import plan
from ray_study.plan_power import ALIKE, KEPT, SHARE, SmallestDip, dip_lines, smallest_dips

SAVED = [(2, 4, 8), (2, 4, 8)]


def found(changes: Mapping[str, Any] | None = None) -> dict[str, SmallestDip]:
    return {each.benchmark: each for each in smallest_dips(study(changes), SAVED)}


def another(**settings: Any) -> dict[str, Any]:
    return {"evaluation/benchmarks/more": {"problems": "held_out", "group": "general", **settings}}


def test_a_plan_says_the_smallest_dip_of_each_benchmark_in_points_with_what_it_assumes() -> None:
    lines = plan(study({"checkpoints/steps": [2, 4, 8], **another(items=12, num_samples=4)})).lines
    head = next(number for number, line in enumerate(lines) if line.startswith("smallest seen in one run, points"))
    spread = assumed_spread(SHARE, alike=ALIKE, kept=KEPT)
    dip = detectable_dip(spread, Exam(num_items=12, num_samples=4))
    change = detectable_difference(spread, Exam(num_items=12, num_samples=4))
    assert lines[head + 2].split() == ["more", "12", "4", f"{100 * dip:.1f}", f"{100 * change:.1f}"]
    assert any("a share right of 0.5; correlations of 0.5 between" in line and "0.8 of an item's ability" in line for line in lines)
    assert any("power 0.8 at 5 %" in line for line in lines)


def test_the_smallest_dip_is_the_one_that_trajectories_of_such_a_design_would_have_shown() -> None:
    """The plan's number beside that of made-up answers with the assumed spread, as a report would say it."""
    (planned,) = smallest_dips(study({"problems/held_out/num_problems": 400, "evaluation/benchmarks/sums/num_samples": 3}), SAVED)
    spread = assumed_spread(SHARE, alike=ALIKE, kept=KEPT)
    rng = np.random.default_rng(4)
    abilities = Abilities(accuracy=SHARE, items=spread.items, changes=spread.changes)
    shown = [smallest_detectable(simulated_exam(rng, abilities, shift=np.zeros(2), steps=(0, 10), sizes=(1, 400, 3))) for _ in range(30)]
    # What leaves 0 to 1 stays at the end, so abilities change a little less than assumed.
    assert planned.dip == pytest.approx(np.mean(shown), rel=0.12)


def test_more_items_and_more_samples_show_smaller_dips() -> None:
    few, many = found(another(items=8))["more"], found(another(items=8, num_samples=8))["more"]
    whole = found()["sums"]
    assert few.dip is not None
    assert many.dip is not None
    assert whole.dip is not None
    assert few.dip > many.dip
    assert few.dip > whole.dip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (another(at="final"), "two steps"),
        (another(at=[8]), "two steps"),
        (another(items=3), "too few items"),
        ({**another(problems="many"), "problems/many": {"source": "mmlu"}}, "known once they are read"),
        (
            {
                **another(judge="rm"),
                "judges/rm": {"model": "tiny", "rubric": "reward"},
            },
            "a reward is no share",
        ),
    ],
)
def test_what_no_dip_can_be_said_of_is_a_question_mark_with_the_reason(changes: dict[str, Any], why: str) -> None:
    each = found(changes)["more"]
    assert each.dip is None
    assert why in each.why_none
    lines = list(dip_lines([each]))
    assert lines[1].split()[0] == "more"
    assert "?" in lines[1].split()
    assert any(line.startswith("  ?: ") and line.endswith(": more") for line in lines)


def test_steps_that_are_not_known_yet_are_taken_to_be_enough() -> None:
    (each,) = smallest_dips(study(), [None])
    assert each.dip is not None


def test_a_design_that_sees_no_fall_of_the_whole_share_says_none() -> None:
    each = found(another(items=6))["more"]
    assert each.dip is not None
    assert each.dip > SHARE
    assert next(line for line in dip_lines([each]) if line.startswith("more")).split()[3] == "none"


def test_the_plan_for_machines_has_the_numbers_and_the_guesses() -> None:
    made = study({"checkpoints/steps": [2, 4, 8]})
    power = json.loads(plan_json(made, plan(made)))["power"]
    assert power["assumed"] == {"power": 0.8, "level": 0.05, "share": 0.5, "alike": 0.5, "kept": 0.8, "runs": 1}
    spread = assumed_spread(0.5, alike=0.5, kept=0.8)
    assert power["benchmarks"]["sums"]["detectable_dip"] == pytest.approx(detectable_dip(spread, Exam(num_items=16)))
    assert power["benchmarks"]["sums"]["num_items"] == 16
