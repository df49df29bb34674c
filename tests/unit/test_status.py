from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from labs import make_lab
from studies import study

from ray_study.claims import claim
from ray_study.config import Study
from ray_study.evaluate import exams
from ray_study.evaluate.scoring import stored
from ray_study.exam_literals import ANSWERS_VERSION, answers_literal, verdicts_literal
from ray_study.grid import planned, problems_literal
from ray_study.manifests import Canary, Manifest, delete_weights, hash_file, hash_files, write_manifest
from ray_study.materials import Lab
from ray_study.owed import MatrixRow, answers_mark, checkpoint_steps, matrix, note_failure, note_sitting, note_sitting_over
from ray_study.rows import Attempt, Checkpoint, Problem
from ray_study.status import has_lost_steps, status
from ray_study.store import Result, Store, fingerprint, outside
from ray_study.verify import VERSION

PROBLEM = Problem(id="p", source="made", kind="number", prompt="1 + 1?", answer="2", cluster="p", solution="")


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


def problems(store: Store, made: Study) -> Result:
    """The stored problems of the exam."""
    return store.make("problems", problems_literal(made.problems["held_out"]), lambda workspace: {})


def answer(store: Store, made: Study, checkpoint: str, *, judged: bool = True, version: int = ANSWERS_VERSION) -> None:
    source = problems(store, made)
    inputs = answers_literal(made, "sums", checkpoint, "tiny")
    answers = store.make("answers", inputs, lambda workspace: {}, version=version, sources=[source])
    if judged:
        store.make("verdicts", verdicts_literal(answers.fingerprint, VERSION), lambda workspace: {}, sources=[answers, source])


def finish(store: Store, run: str, **more: object) -> None:
    store.finish(store.workspace("train", run), stage="train", mark=run, sources=[], facts={"seconds": 1.0, **more})


def everything(store: Store, made: Study, steps: tuple[int, ...] = (2, 8), *, of_before: bool = False) -> None:
    """A study that is trained and scored whole; `of_before`: with records that do not say which steps their runs have saved."""
    bases = {}
    for run in planned(made):
        bases[run.id] = {"fingerprint": "base", "path": "elsewhere"}
        for step in steps:
            answer(store, made, save(store, run.id, step))
        finish(store, run.id, **({} if of_before else {"steps": list(steps)}))
    answer(store, made, "base")
    store.write_json("bases.json", bases)


def lines(made: Study, store: Store) -> str:
    return "\n".join(status(made, store)[0])


def cells(made: Study, store: Store, *, run: int = 0, benchmark: str = "sums") -> dict[int, str]:
    """The state of each cell of a run and a benchmark by step."""
    wanted = planned(made)[run].id
    return {row.step: row.cells[benchmark].state for row in matrix(made, store) if row.run.id == wanted and benchmark in row.cells}


def row_of(made: Study, store: Store, step: int) -> MatrixRow:
    return next(row for row in matrix(made, store) if row.step == step)


def mark_of(made: Study, store: Store, step: int) -> str:
    """The fingerprint of the answers of the first run's checkpoint."""
    return answers_mark(made, "sums", _fingerprint(store, planned(made)[0].id, step), "tiny")


def test_a_study_that_was_never_run_owes_every_run_and_looking_makes_nothing(store: Store) -> None:
    text, complete = status(study(), store)
    assert not complete
    assert sum(line.endswith("]: not trained yet") for line in text) == 2
    assert cells(study(), store) == {0: "owed", 2: "owed", 8: "owed"}
    assert not Path(store.root).exists()


def test_answers_without_verdicts_are_owed(store: Store) -> None:
    made = study()
    everything(store, made)
    run = planned(made)[0].id
    answer(store, made, save(store, run, 4), judged=False)
    assert not status(made, store)[1]
    assert cells(made, store) == {0: "scored", 2: "scored", 4: "owed", 8: "scored"}


def test_a_study_is_complete_when_every_checkpoint_owed_is_scored(store: Store) -> None:
    made = study()
    everything(store, made)
    text, complete = status(made, store)
    assert complete, text
    assert cells(made, store) == dict.fromkeys((0, 2, 8), "scored")
    assert text[-1] == "cells: # scored 6", "what no cell is needs no explanation"


def test_one_unscored_checkpoint_is_owed_and_named(store: Store) -> None:
    made = study()
    run = planned(made)[0].id
    everything(store, made)
    for record in Path(store.root).glob("answers-*/record.json"):
        if f'"checkpoint": "{_fingerprint(store, run, 8)}"' in record.read_text():
            record.unlink()
    text, complete = status(made, store)
    assert not complete
    assert cells(made, store) == {0: "scored", 2: "scored", 8: "owed"}
    assert cells(made, store, run=1) == dict.fromkeys((0, 2, 8), "scored")
    assert [line for line in text if line.endswith("8  .")] == ["       8  ."]


def _fingerprint(store: Store, run: str, step: int) -> str:
    return checkpoint_steps(store, run)[step]


def test_a_half_written_checkpoint_does_not_exist(store: Store) -> None:
    made = study()
    run = planned(made)[0].id
    save(store, run, 2)
    Path(store.path(f"train-{run}/step-000008")).mkdir()
    Path(store.path(f"train-{run}/step-000008/model.safetensors")).write_text("half")
    assert f"[{run}]: begun, checkpoints at 2" in lines(made, store)
    assert not row_of(made, store, 8).trained
    assert "       8  .  not trained yet" in lines(made, store)


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


@pytest.mark.parametrize(("at", "shown"), [("final", (0, 8)), ([2], (0, 2, 8))])
def test_an_exam_for_some_steps_owes_only_those_the_first_and_the_last(store: Store, at: Any, shown: tuple[int, ...]) -> None:
    made = study({"evaluation/benchmarks/sums/at": at})
    everything(store, made)
    assert status(made, store)[1]
    assert cells(made, store) == dict.fromkeys(shown, "scored")


def test_a_finished_run_owes_the_steps_that_it_has_saved_and_not_those_that_were_planned(store: Store) -> None:
    # Problems that overlap with a benchmark are taken out, so a data set may be smaller than its problems say.
    made = study({"training/steps": ..., "training/epochs": 1, "checkpoints": {"log_spaced": 1}})
    everything(store, made, steps=(7,))
    text, complete = status(made, store)
    assert complete, text
    assert cells(made, store) == {0: "scored", 7: "scored"}


def test_a_checkpoint_of_a_finished_run_that_is_gone_is_owed_and_the_others_stay_scored(store: Store) -> None:
    # What a finished run owed was once what it still had, so that a deleted checkpoint was forgotten and the study called whole.
    made = study()
    everything(store, made)
    run = planned(made)[0]
    directory = Path(store.path(f"train-{run.id}/step-000008"))
    assert not has_lost_steps(made, store)
    shutil.rmtree(directory)
    assert has_lost_steps(made, store)
    text, complete = status(made, store)
    assert not complete
    assert cells(made, store) == {0: "scored", 2: "scored", 8: "failed"}
    assert cells(made, store, run=1) == dict.fromkeys((0, 2, 8), "scored")
    assert "       8  !  lost" in text
    assert f"{run.name} [{run.id}]: finished, and its checkpoints at 8 are gone" in text
    assert [line for line in text if "has no manifest.json" in line] == [
        f"lost: step 8 of {run.name}: {directory} has no manifest.json, though its run has saved it; "
        "`ray-study run` trains that run again, and what else it saved stays"
    ]


def test_a_checkpoint_that_is_gone_is_owed_although_no_exam_asks_it(store: Store) -> None:
    made = study({"evaluation/benchmarks/sums/at": "final"})
    everything(store, made)
    assert status(made, store)[1]
    shutil.rmtree(store.path(f"train-{planned(made)[0].id}/step-000002"))
    text, complete = status(made, store)
    assert not complete
    assert any(line.startswith(f"lost: step 2 of {planned(made)[0].name}: ") for line in text)


def test_of_a_run_whose_record_does_not_say_what_it_saved_the_steps_that_are_there_are_owed(store: Store) -> None:
    made = study()
    everything(store, made, of_before=True)
    assert status(made, store)[1]
    shutil.rmtree(store.path(f"train-{planned(made)[0].id}/step-000008"))
    assert status(made, store)[1], "nobody knows that there was one"
    assert cells(made, store) == {0: "scored", 2: "scored"}


@pytest.mark.parametrize("text", ['{"format": 1, "ru', "[]", '{"format": 1}', '{"format": 9}'])
def test_a_damaged_manifest_costs_one_checkpoint_and_the_others_stay_scored(store: Store, text: str) -> None:
    made = study()
    everything(store, made)
    run = planned(made)[0]
    manifest = Path(store.path(f"train-{run.id}/step-000002/manifest.json"))
    manifest.write_text(text)
    lines, complete = status(made, store)
    assert not complete
    assert cells(made, store) == {0: "scored", 2: "failed", 8: "scored"}
    assert cells(made, store, run=1) == dict.fromkeys((0, 2, 8), "scored")
    assert "       2  !  lost" in lines
    (told,) = [line for line in lines if str(manifest) in line]
    assert told.startswith(f"lost: step 2 of {run.name}: {manifest} is ")
    assert ("delete" in told) == ("format 1;" not in told), "what another version can read is not to be deleted"


def test_what_to_delete_of_a_run_whose_record_does_not_name_its_steps_is_its_whole_directory(store: Store) -> None:
    made = study()
    everything(store, made, of_before=True)
    directory = Path(store.path(f"train-{planned(made)[0].id}"))
    (directory / "step-000008/manifest.json").write_text("{")
    assert f"(but {directory} is what to delete: " in lines(made, store)
    assert cells(made, store)[8] == "failed"


def test_a_damaged_manifest_of_a_run_that_goes_on_is_told(store: Store) -> None:
    made = study()
    run = planned(made)[0]
    for step in (2, 8):
        save(store, run.id, step)
    Path(store.path(f"train-{run.id}/step-000002/manifest.json")).write_text("null")
    assert f"{run.name} [{run.id}]: begun, checkpoints at 8" in lines(made, store)
    assert f"lost: step 2 of {run.name}: " in lines(made, store)


def test_weights_that_were_deleted_on_purpose_are_not_gone(store: Store) -> None:
    made = study()
    everything(store, made)
    for step in (2, 8):
        delete_weights(Path(store.path(f"train-{planned(made)[0].id}/step-{step:06d}")), "scored, and not kept")
    text, complete = status(made, store)
    assert complete, text


def test_whoever_works_now_is_named(store: Store) -> None:
    with claim(store, "train"):
        assert "working now: train: process" in lines(study(), store)
    assert "working now" not in lines(study(), store)


def again(store: Store, made: Study, checkpoint: str) -> bool:
    """Whether scoring would ask this checkpoint again: what `status` is held to."""
    lab = make_lab(Path(store.root).parent, {})
    lab = Lab(study=made, store=store, engines=lab.engines, cache=lab.cache, progress=lab.progress)
    (exam,) = exams(made, lambda name: (problems(store, made), [PROBLEM]))
    row = Checkpoint(run=planned(made)[0].id, step=2, path="", num_tokens=0, fingerprint=checkpoint, canary="{}")
    return stored(lab, exam, row, "tiny") is None


def test_a_server_with_other_positions_answers_anew(store: Store) -> None:
    made = study()
    everything(store, made)
    other = study({"models/tiny/max_model_len": 64})
    for run, changed in zip(planned(made), planned(other), strict=True):
        Path(store.path(f"train-{run.id}")).rename(store.path(f"train-{changed.id}"))
    assert not status(other, store)[1]
    assert again(store, other, _fingerprint(store, planned(other)[0].id, 2))
    assert cells(other, store) == dict.fromkeys((0, 2, 8), "owed")


def test_answers_of_another_version_of_the_stage_are_asked_again(store: Store) -> None:
    made = study()
    everything(store, made)
    run = planned(made)[0].id
    checkpoint = save(store, run, 4)
    answer(store, made, checkpoint, version=ANSWERS_VERSION + 1)
    assert again(store, made, checkpoint)
    assert cells(made, store)[4] == "owed"
    answer(store, made, checkpoint)
    assert not again(store, made, checkpoint)
    assert cells(made, store)[4] == "scored"


def test_answers_to_problems_that_were_made_again_are_owed(store: Store) -> None:
    made = study()
    everything(store, made)
    assert status(made, store)[1]
    (record,) = Path(store.root).glob("problems-*/record.json")
    record.unlink()
    assert cells(made, store)[2] == "owed", "without its problems no exam can be sat"
    problems(store, made)
    assert again(store, made, _fingerprint(store, planned(made)[0].id, 2))
    assert cells(made, store) == dict.fromkeys((0, 2, 8), "owed")


def test_verdicts_on_answers_that_were_made_again_are_owed(store: Store) -> None:
    made = study()
    everything(store, made)
    checkpoint = _fingerprint(store, planned(made)[0].id, 2)
    mark = fingerprint("answers", ANSWERS_VERSION, answers_literal(made, "sums", checkpoint, "tiny"))
    Path(store.path(f"answers-{mark}/record.json")).unlink()
    answer(store, made, checkpoint, judged=False)
    assert again(store, made, checkpoint)
    assert cells(made, store) == {0: "scored", 2: "owed", 8: "scored"}


def test_problems_of_a_local_file_that_has_changed_are_owed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "exam.jsonl"
    path.write_text("{}")
    made = study({"problems/held_out": {"source": "jsonl", "options": {"path": str(path)}}})
    literal = problems_literal(made.problems["held_out"])
    source = store.make("problems", literal, lambda workspace: {}, sources=[outside(path.name, hash_file(path))])
    inputs = answers_literal(made, "sums", "base", "tiny")
    answers = store.make("answers", inputs, lambda workspace: {}, version=ANSWERS_VERSION, sources=[source])
    store.make("verdicts", verdicts_literal(answers.fingerprint, VERSION), lambda workspace: {}, sources=[answers, source])
    store.write_json("bases.json", {run.id: {"fingerprint": "base", "path": "elsewhere"} for run in planned(made)})
    assert cells(made, store)[0] == "scored"
    path.write_text('{"changed": 1}')
    assert cells(made, store)[0] == "owed"


def unfinished(store: Store, mark: str) -> None:
    """Leaves a result as a driver does in the middle of it: one shard, and no record."""
    Path(store.path(f"answers-{mark}/record.json")).unlink(missing_ok=True)
    store.workspace("answers", mark).write("000000-a", [], Attempt)


def test_a_cell_runs_while_the_driver_that_noted_it_lives_and_stored_shards_alone_say_nothing(store: Store) -> None:
    # Shards told it once: a cell in its first shard was owed for an hour, and one left half done ran while the driver was elsewhere.
    made = study()
    everything(store, made)
    mark = mark_of(made, store, 8)
    unfinished(store, mark)
    assert cells(made, store)[8] == "owed"
    with claim(store, "train"):
        note_sitting(store, mark, "sums")
        assert cells(made, store)[8] == "owed", "a driver that trains scores nothing"
    with claim(store, "evaluate"):
        assert cells(made, store) == {0: "scored", 2: "scored", 8: "owed"}
        note_sitting(store, mark, "sums")
        assert cells(made, store) == {0: "scored", 2: "scored", 8: "running"}
        assert not status(made, store)[1]
        assert "       8  ~" in lines(made, store)
        assert f"running: sums at step 8 of {planned(made)[0].name}: 1 shards are stored" in lines(made, store)
        note_sitting_over(store, mark, "sums")
        assert cells(made, store)[8] == "owed"
        note_sitting(store, mark, "sums")
    assert cells(made, store)[8] == "owed", "its driver has ended"
    with claim(store, "evaluate"):
        assert cells(made, store)[8] == "owed", "another driver's note is not this one's"
        note_failure(store, mark, "SwapRefused: its checksum is another")
        assert cells(made, store)[8] == "failed", "nor does it hide why the cell failed"


def test_a_cell_of_which_nothing_is_stored_yet_runs(store: Store) -> None:
    made = study()
    everything(store, made)
    mark = mark_of(made, store, 8)
    shutil.rmtree(store.path(f"answers-{mark}"))
    with claim(store, "evaluate"):
        note_sitting(store, mark, "sums")
        assert cells(made, store)[8] == "running"
        assert "running: sums at step 8 of tiny cot seed=0: 0 shards are stored" in lines(made, store)


def test_two_benchmarks_that_share_answers_run_each_for_itself(store: Store) -> None:
    both = {name: {"problems": "held_out", "group": "in_domain", "reads": reads} for name, reads in (("a", "answer"), ("b", "whole_text"))}
    made = study({"evaluation/benchmarks": both})
    checkpoint = save(store, planned(made)[0].id, 8)
    first, second = (answers_mark(made, name, checkpoint, "tiny") for name in ("a", "b"))
    assert first == second
    with claim(store, "evaluate"):
        note_sitting(store, first, "a")
        note_sitting(store, first, "b")
        note_sitting_over(store, first, "a")
        assert [cells(made, store, benchmark=name)[8] for name in ("a", "b")] == ["owed", "running"]


def test_a_failure_is_told_when_its_driver_has_ended_and_forgotten_once_the_cell_is_scored(store: Store) -> None:
    made = study()
    everything(store, made)
    mark = mark_of(made, store, 8)
    Path(store.path(f"answers-{mark}/record.json")).unlink()
    note_failure(store, mark, "SwapRefused: its checksum is another")
    assert cells(made, store)[8] == "failed"
    assert lines(made, store).splitlines()[-1] == (
        f"failed: sums at step 8 of {planned(made)[0].name}: SwapRefused: its checksum is another"
    )
    note_failure(store, mark, "")
    assert cells(made, store)[8] == "owed"
    note_failure(store, mark, "")


def test_one_reason_of_many_cells_is_told_once(store: Store) -> None:
    made = study({"checkpoints": {"every": 1}})
    everything(store, made, steps=tuple(range(1, 9)))
    for step in range(1, 9):
        Path(store.path(f"answers-{mark_of(made, store, step)}/record.json")).unlink()
        note_failure(store, mark_of(made, store, step), "PoolUnavailable: no replica came")
    told = [line for line in lines(made, store).splitlines() if line.startswith("failed: ")]
    assert len(told) == 1
    assert "sums at step 3 of" in told[0]
    assert "and 5 more: PoolUnavailable: no replica came" in told[0]


def test_a_deleted_checkpoint_that_is_owed_something_has_failed_for_good_and_says_so(store: Store) -> None:
    made = study()
    everything(store, made)
    run = planned(made)[0].id
    Path(store.path(f"answers-{mark_of(made, store, 2)}/record.json")).unlink()
    for step in (2, 8):
        delete_weights(Path(store.path(f"train-{run}/step-{step:06d}")), "scored, and not kept")
    assert cells(made, store) == {0: "scored", 2: "failed", 8: "scored"}
    text = lines(made, store)
    assert "       2  !  weights deleted" in text
    assert "       8  #  weights deleted" in text
    assert "train-" in text.splitlines()[-1]
    assert "were deleted after it was scored (scored, and not kept)" in text.splitlines()[-1]


def test_a_benchmark_is_a_column_and_one_that_is_not_asked_leaves_it_blank(store: Store) -> None:
    benchmarks = {name: {"problems": "held_out", "group": "in_domain", "items": 4 + number} for number, name in enumerate(("a", "b", "c"))}
    benchmarks["b"]["at"] = "final"
    made = study({"evaluation/benchmarks": benchmarks})
    text = lines(made, store).splitlines()
    assert text[1:3] == ["benchmarks: a a, b b, c c", "    step  abc"]
    assert [line[:13] for line in text if line.startswith("       ")][:3] == ["       0  ...", "       2  . .", "       8  ..."]
