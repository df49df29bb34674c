from __future__ import annotations

import pytest
from studies import study

from ray_study.grid import planned
from ray_study.plan import steps_of
from ray_study.pricing import cost


def test_the_cost_of_a_study_counts_every_row_at_its_length_and_every_answer_at_its_cap() -> None:
    made = study()
    found = cost(made)
    tokens = sum((steps_of(made, run) or 0) * run.training.batch_size * run.training.max_length for run in planned(made))
    assert found["training_tokens"] == tokens > 0
    assert found["num_attempts"] is not None
    caps = {(each.sampling or made.evaluation.sampling).max_tokens for each in made.evaluation.benchmarks.values()}
    assert found["num_attempts"] * min(caps) <= (found["num_tokens"] or 0) <= found["num_attempts"] * max(caps)


def test_what_the_file_does_not_tell_is_not_known_and_no_zero() -> None:
    found = cost(study())
    assert found["training_hours"] is None
    assert found["scoring_hours"] is None
    known = cost(study({"resources": {"evaluate": {"tokens_per_second": 100.0}}}))
    assert known["scoring_hours"] == pytest.approx((known["num_tokens"] or 0.0) / 100.0 / 3600)
