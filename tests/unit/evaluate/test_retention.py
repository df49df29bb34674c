"""Weights are deleted once everything that is owed of them is scored, and never before; nothing is trained or called owed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sitting import EXAMS, Bench, Open

from ray_study.config import Checkpoints
from ray_study.evaluate import exams
from ray_study.manifests import MANIFEST, has_weights, read_manifest
from ray_study.materials import load_problems
from ray_study.rows import Checkpoint
from ray_study.runs import stored_checkpoints
from ray_study.serving import Reply, Request
from ray_study.status import beyond_reach, status
from ray_study.study import score
from ray_study.train.checkpoints import Writer


def weights(checkpoint: Checkpoint) -> list[str]:
    return sorted(path.name for path in Path(checkpoint.path).glob("*.safetensors"))


def sit(bench: Bench) -> list[str]:
    """Scores every checkpoint of the bench, and returns why cells are owed."""
    found = score(bench.lab, bench.checkpoints.values(), bench.exams, lambda cells: None)
    return [cell.why for cell in found.cells if cell.verdicts is None]


@pytest.mark.parametrize(("keep", "left"), [("all", {0, 2, 8}), ("last", {0, 8}), ({"scored_at": [2]}, {0, 2, 8})])
def test_what_is_scored_and_not_kept_loses_its_weights_and_nothing_else(open_bench: Open, keep: object, left: set[int]) -> None:
    bench = open_bench({"checkpoints/keep": keep})
    before = {step: read_manifest(Path(checkpoint.path)) for step, checkpoint in bench.checkpoints.items()}
    assert sit(bench) == []
    assert {step for step, checkpoint in bench.checkpoints.items() if weights(checkpoint)} == left
    for step, checkpoint in bench.checkpoints.items():
        assert read_manifest(Path(checkpoint.path)) == before[step]
        assert (Path(checkpoint.path) / "tokenizer.json").is_file()


def test_a_checkpoint_that_is_owed_anything_keeps_its_weights(open_bench: Open) -> None:
    bench = open_bench({"checkpoints/keep": "last"})
    answer = bench.engines.answer

    def fails(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        if checkpoint == bench.checkpoints[2].path and bench.engines.num_asked > 7:
            raise ValueError("the engine is unwell")
        return answer(checkpoint, requests)

    bench.engines.answer = fails
    assert len(sit(bench)) > 0
    assert weights(bench.checkpoints[2])
    bench.engines.answer = answer
    assert sit(bench) == []
    assert not weights(bench.checkpoints[2])


def test_the_checkpoint_that_an_open_engine_starts_from_keeps_its_weights_until_the_engine_is_closed(open_bench: Open) -> None:
    bench = open_bench({"checkpoints/keep": "last"})
    bench.engines.opened_with = frozenset({bench.checkpoints[2].path})
    seen: list[bool] = []
    score(bench.lab, bench.checkpoints.values(), bench.exams, lambda cells: seen.append(bool(weights(bench.checkpoints[2]))))
    # Told once by each sitting, and once more at the end.
    assert seen == [True] * 6
    assert not weights(bench.checkpoints[2])


def test_deleted_weights_are_not_trained_again_nor_owed_and_another_benchmark_says_what_it_would_take(open_bench: Open) -> None:
    bench = open_bench({"checkpoints/keep": "last"})
    sit(bench)
    (run, directory) = bench.checkpoints[2].run, Path(bench.checkpoints[2].path)
    writer = Writer(Path(bench.checkpoints[0].path), directory.parent, trust_remote_code=False)
    assert writer.is_there(2), "a run that is trained on takes it for saved"
    assert [checkpoint.step for checkpoint in stored_checkpoints(bench.lab.store, run)] == [2, 8]
    asked = bench.engines.num_asked
    assert sit(bench) == []
    assert bench.engines.num_asked == asked
    assert beyond_reach(bench.lab.study, bench.lab.store) == []
    assert "       2  ##  weights deleted" in status(bench.lab.study, bench.lab.store)[0]

    later = {**EXAMS, "later": {"problems": "held_out", "group": "safety", "items": 4}}
    other = bench.lab.study.model_copy(update={"evaluation": _evaluation(bench, later)})
    asking = replace(bench, lab=replace(bench.lab, study=other), exams=exams(other, lambda name: load_problems(bench.lab, name)))
    why = sit(asking)
    assert len(why) == 1
    assert "step-000002 were deleted after it was scored (scored, and not kept (checkpoints.keep: last))" in why[0]
    assert f"delete {directory.parent}" in why[0]
    (line,) = beyond_reach(other, bench.lab.store)
    assert line.startswith("benchmark later at step 2 of ")
    assert "       2  ##!  weights deleted" in status(other, bench.lab.store)[0]


def _evaluation(bench: Bench, benchmarks: dict[str, Any]) -> object:
    evaluation = bench.lab.study.evaluation
    return type(evaluation).model_validate({**evaluation.model_dump(), "benchmarks": benchmarks})


def test_a_deletion_that_was_cut_short_is_no_damaged_checkpoint_and_goes_on(open_bench: Open) -> None:
    bench = open_bench({"checkpoints/keep": "last"})
    directory = Path(bench.checkpoints[2].path)
    sit(bench)
    assert not has_weights(directory)
    # As after a kill between the note and the deletion.
    (directory / "model.safetensors").write_bytes(b"")
    assert sit(bench) == []
    assert (directory / MANIFEST).is_file()
    assert not weights(bench.checkpoints[2])


def test_steps_to_keep_are_steps_that_are_saved() -> None:
    with pytest.raises(ValueError, match=r"keep.scored_at names \[3\], at which no run is saved; saved are \[2, 8\]"):
        Checkpoints.model_validate({"steps": [2, 8], "keep": {"scored_at": [2, 3]}})
    assert Checkpoints.model_validate({"every": 5, "keep": {"scored_at": [10]}}).keeps(10, 20)
    assert not Checkpoints.model_validate({"every": 5, "keep": {"scored_at": [10]}}).keeps(5, 20)
