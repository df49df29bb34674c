"""No model's checkpoints wait behind another's where each has engines of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sitting import Bench, Open
from studies import RAW

from ray_study.evaluate import lanes
from ray_study.grid import planned
from ray_study.rows import Checkpoint

OTHER = {"scratch": {"hidden_size": 32, "num_layers": 1, "positions": 256}, "dtype": "float32"}


def of_each_model(bench: Bench) -> list[Checkpoint]:
    """Step 0 of a run of each model."""
    runs = {run.model: run.id for run in planned(bench.lab.study)}
    return [replace(bench.checkpoints[0], run=runs[model]) for model in bench.lab.study.sweep.model]


@pytest.mark.parametrize(("replicas", "apart"), [(1, False), (2, True), (3, True)])
def test_models_have_threads_of_their_own_where_each_has_a_pool(open_bench: Open, replicas: int, apart: bool) -> None:
    models = {**RAW["models"], "other": OTHER}
    bench = open_bench({"models": models, "sweep/model": ["tiny", "other"], "resources/evaluate": {"replicas": replicas}})
    lane_of = lanes(bench.lab.study)
    one, other = (lane_of(checkpoint) for checkpoint in of_each_model(bench))
    assert (one != other) == apart
    assert lane_of(bench.checkpoints[8]) == one
