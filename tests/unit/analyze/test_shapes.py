from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ray_study.analyze.bootstrap import curves_of_means
from ray_study.analyze.dips import SHAPES, Dip, find_dip
from ray_study.analyze.findings import changes, final_table
from ray_study.analyze.shapes import COLUMNS, shape_row, shape_rows, shape_sentence, shapes_summary
from ray_study.analyze.study_tables import StudyTables

MakeStudy = Callable[..., StudyTables]


def dip_of(shares: dict[int, float], num_items: int = 400) -> Dip:
    rng = np.random.default_rng(3)
    ability = rng.random(num_items)
    # The same items are right at equal shares, so the shapes are certain.
    found = find_dip(
        curves_of_means([{step: {f"p{item}": float(ability[item] < share) for item in range(num_items)} for step, share in shares.items()}])
    )
    assert found is not None
    return found


def test_every_shape_has_a_sentence_that_says_what_was_measured() -> None:
    dips = {
        "dip_and_recovery": dip_of({0: 0.6, 10: 0.3, 40: 0.5, 640: 0.6}),
        "dip_only": dip_of({0: 0.6, 10: 0.2, 40: 0.3, 640: 0.3}),
        "monotone": dip_of({0: 0.6, 10: 0.5, 40: 0.4, 640: 0.3}),
        "flat": dip_of({0: 0.6, 10: 0.6, 40: 0.6, 640: 0.6}),
        "underpowered": dip_of({0: 0.6, 10: 0.6, 40: 0.6, 640: 0.6}, num_items=20),
    }
    assert {name: dip.shape for name, dip in dips.items()} == {name: name for name in SHAPES}
    said = {name: shape_sentence("b with r", dip) for name, dip in dips.items()}
    assert said["dip_and_recovery"].startswith("b with r: falls by 3")
    assert "to step 10" in said["dip_and_recovery"]
    assert "regained at the last step, half of it by step 40" in said["dip_and_recovery"]
    assert "no clear recovery" in said["dip_only"]
    assert "falls by" in said["monotone"]
    assert "no rise after a fall is clear" in said["monotone"]
    assert "would have been found" in said["flat"]
    assert "could not have seen" in said["underpowered"]
    rising = shape_sentence("b", dip_of({0: 0.3, 10: 0.4, 40: 0.5, 640: 0.6}))
    assert "rises by" in rising


def test_the_summary_counts_shapes_and_names_dips() -> None:
    dip, flat = dip_of({0: 0.6, 10: 0.3, 40: 0.5, 640: 0.6}), dip_of({0: 0.6, 10: 0.6})
    said = shapes_summary([("maths with r", dip, 0.001), ("choice with r", flat, 0.9), ("sums with r", dip, 0.2)])
    assert "Of 3 trajectories" in said
    assert "2 dip and recovery, 1 flat" in said
    assert "maths with r (" in said
    assert "1 of 2 hold" in said
    assert "No trajectory" in shapes_summary([])


def test_a_row_has_a_number_in_every_column_or_none_in_all() -> None:
    assert shape_row(None) == dict.fromkeys(COLUMNS)
    row = shape_row(dip_of({0: 0.6, 10: 0.3, 40: 0.5, 640: 0.6}))
    assert list(row) == list(COLUMNS)
    assert (row["shape"], row["bottom_step"], row["recovery_step"]) == ("dip_and_recovery", 10, 40)
    assert row["dip_low"] < row["dip_depth"] < row["dip_high"]
    assert None not in row.values()


def test_a_study_has_the_shape_of_every_trajectory_and_what_its_falls_are_made_of(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "advbench"), steps=(0, 20, 40, 640), num_items=300, datasets=("math-cot",))
    rows = shape_rows(changes(study))
    assert [row["benchmark"] for row in rows] == ["math-500", "advbench"]
    assert rows[0]["shape"] == "dip_and_recovery"
    assert rows[0]["bottom_step"] in (20, 40)
    made = rows[0]["made_of"]
    assert made is not None
    assert made.change.value < -0.05
    assert sum(each.value for each in made.parts.values()) - made.change.value < 1e-9
    assert "are made of" in rows[0]["made_of_sentence"]
    table = final_table(study)
    assert table["shape"].to_list()[0] == "dip_and_recovery"
    assert table["detectable"].null_count() == 0
