from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import study

from ray_study.claims import claim
from ray_study.config import Study
from ray_study.grid import benchmark_literal, planned
from ray_study.manifests import Canary, Manifest, hash_files, write_manifest
from ray_study.status import checkpoint_steps, status
from ray_study.store import Store, fingerprint
from ray_study.verify import VERSION


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path), "small")


def save(store: Store, run: str, step: int) -> str:
    """The fingerprint of a checkpoint that is written as training writes it."""
    directory = Path(store.path(f"train-{run}/step-{step:06d}"))
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_text(f"{run} {step}")
    manifest = Manifest(
        run=run,
        step=step,
        num_tokens=step,
        dtype="float32",
        files=hash_files(directory),
        tensors={},
        bit_sum=step,
        canary=Canary(ids=(1,), logprobs=()),
        settings={},
    )
    write_manifest(directory, manifest)
    return manifest.fingerprint


def answer(store: Store, made: Study, checkpoint: str, benchmark: str = "sums", *, judged: bool = True) -> None:
    inputs = {"checkpoint": checkpoint, "benchmark": benchmark_literal(made, benchmark), "max_model_len": None}
    mark = fingerprint("answers", 1, inputs)
    store.finish(store.workspace("answers", mark), stage="answers", mark=mark, sources=[], facts={"inputs": inputs})
    if judged:
        verdict_inputs = {"attempts": mark, "verify": VERSION}
        verdicts = fingerprint("verdicts", 1, verdict_inputs)
        facts = {"inputs": verdict_inputs}
        store.finish(store.workspace("verdicts", verdicts), stage="verdicts", mark=verdicts, sources=[], facts=facts)


def finish(store: Store, run: str) -> None:
    store.finish(store.workspace("train", run), stage="train", mark=run, sources=[], facts={"seconds": 1.0})


def everything(store: Store, made: Study, steps: tuple[int, ...] = (2, 8)) -> None:
    bases = {}
    for run in planned(made):
        bases[run.id] = {"fingerprint": "base", "path": "elsewhere"}
        for step in steps:
            answer(store, made, save(store, run.id, step))
        finish(store, run.id)
    answer(store, made, "base")
    store.write_json("bases.json", bases)


def lines(made: Study, store: Store) -> str:
    return "\n".join(status(made, store)[0])


def test_a_study_that_was_never_run_owes_every_run_and_looking_makes_nothing(store: Store) -> None:
    text, complete = status(study(), store)
    assert not complete
    assert sum(line.endswith(": owed") for line in text) == 2
    assert not Path(store.root).exists()


def test_answers_without_verdicts_are_owed(store: Store) -> None:
    made = study()
    everything(store, made)
    run = planned(made)[0].id
    answer(store, made, save(store, run, 4), judged=False)
    text, complete = status(made, store)
    assert not complete
    assert "0:scored  2:scored  4:owed  8:scored" in "\n".join(text)


def test_a_study_is_complete_when_every_checkpoint_owed_is_scored(store: Store) -> None:
    made = study()
    everything(store, made)
    text, complete = status(made, store)
    assert complete, text
    assert "0:scored  2:scored  8:scored" in lines(made, store)


def test_one_unscored_checkpoint_is_owed_and_named(store: Store) -> None:
    made = study()
    run = planned(made)[0].id
    everything(store, made)
    for record in Path(store.root).glob("answers-*/record.json"):
        if f'"checkpoint": "{_fingerprint(store, run, 8)}"' in record.read_text():
            record.unlink()
    text, complete = status(made, store)
    assert not complete
    assert sum("8:owed" in line for line in text) == 1


def _fingerprint(store: Store, run: str, step: int) -> str:
    return checkpoint_steps(store, run)[step]


def test_a_half_written_checkpoint_does_not_exist(store: Store) -> None:
    made = study()
    run = planned(made)[0].id
    save(store, run, 2)
    Path(store.path(f"train-{run}/step-000008")).mkdir()
    Path(store.path(f"train-{run}/step-000008/model.safetensors")).write_text("half")
    assert f"[{run}]: begun, checkpoints at 2" in lines(made, store)
    assert "8:not trained" in lines(made, store)


def test_a_failed_run_shows_its_error(store: Store) -> None:
    made = study()
    run = planned(made)[0].id
    store.write_json(f"train-{run}/failed.json", {"name": "x", "error": "loss is not finite at step 5"})
    text, complete = status(made, store)
    assert not complete
    assert any("failed: loss is not finite at step 5" in line for line in text)


def test_answers_to_another_exam_do_not_count(store: Store) -> None:
    made = study()
    everything(store, made)
    other = study({"evaluation/sampling/max_tokens": 64})
    assert not status(other, store)[1]


@pytest.mark.parametrize(("at", "shown"), [("final", "0:scored  8:scored"), ([2], "0:scored  2:scored  8:scored")])
def test_an_exam_for_some_steps_owes_only_those_the_first_and_the_last(store: Store, at: Any, shown: str) -> None:
    made = study({"evaluation/benchmarks/sums/at": at})
    everything(store, made)
    assert status(made, store)[1]
    assert shown in lines(made, store)


def test_a_finished_run_owes_the_steps_that_it_has_and_not_those_that_were_planned(store: Store) -> None:
    # Problems that overlap with a benchmark are taken out, so a data set may be smaller than its problems say.
    made = study({"training/steps": ..., "training/epochs": 1, "checkpoints": {"log_spaced": 1}})
    everything(store, made, steps=(7,))
    text, complete = status(made, store)
    assert complete, text
    assert "0:scored  7:scored" in lines(made, store)


def test_whoever_works_now_is_named(store: Store) -> None:
    with claim(store, "train"):
        assert "working now: train: process" in lines(study(), store)
    assert "working now" not in lines(study(), store)
