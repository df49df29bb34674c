from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from labs import events_of, make_datasets, make_exams, make_lab, train_here
from studies import study

from ray_study import runs
from ray_study.chat import Chat
from ray_study.config import Model
from ray_study.grid import PlannedRun, planned
from ray_study.making import make_each, unmade
from ray_study.manifests import MANIFEST, delete_weights, has_weights
from ray_study.materials import Lab, base_directory
from ray_study.model_files import prepare
from ray_study.recall import stored_run
from ray_study.results import Found, findings
from ray_study.rows import Checkpoint, Example, Run
from ray_study.status import status
from ray_study.store import Result, Store
from ray_study.stored_steps import stored_steps
from ray_study.sweep import Job
from ray_study.train.layout import ENDED, LENGTHS, METRICS
from ray_study.train.tokenizing import tokenize

SMALL = {"models/tiny/scratch/hidden_size": 32, "models/tiny/scratch/num_layers": 1, "training/max_length": 256}


def jobs_of(lab: Lab, datasets: Mapping[str, Result]) -> dict[str, Job]:
    """The jobs of the runs that can be trained, by their data sets."""
    every = planned(lab.study)
    work = runs._prepare(lab, every, datasets, None)
    return {run.dataset: runs._job(work, run, base_directory(lab, run.model)) for run in every if run.id not in work.errors}


def trained(directory: Path, changes: Mapping[str, Any] | None = None) -> tuple[Lab, dict[str, Result], list[Checkpoint | Run]]:
    """A study whose runs were trained, and what `train` says of it."""
    lab = make_lab(directory, {**SMALL, **(changes or {})})
    datasets = make_datasets(lab)
    for job in jobs_of(lab, datasets).values():
        train_here(job)
    return lab, datasets, events_of(lab, datasets)


def owed(lab: Lab, datasets: Mapping[str, Result]) -> dict[str, Job]:
    """What `train` would hand to the cluster: the runs that are not whole, by their data sets."""
    every = planned(lab.study)
    work = runs._prepare(lab, every, datasets, None)
    found = {run.dataset: runs._owed(work, run, base_directory(lab, run.model)) for run in every}
    return {name: job for name, job in found.items() if job is not None}


def ended(lab: Lab, run: PlannedRun) -> dict[str, float]:
    return dict(json.loads(Path(lab.store.path(f"train-{run.id}/{ENDED}")).read_text()))


def record(lab: Lab, run: PlannedRun) -> Mapping[str, Any]:
    found = lab.store.recall("train", run.id)
    assert found is not None
    return found.record


def lengths(lab: Lab) -> list[int]:
    """The rows' lengths of data set `cot`, in tokens."""
    dataset = make_datasets(lab)["cot"]
    chat = Chat(base_directory(lab, "tiny"))
    return sorted(len(row.ids) for row in tokenize(dataset.rows(Example), chat, max_length=10**6, over_long="drop").rows)


def test_the_seconds_of_a_run_are_its_own_and_not_those_since_the_sweep_began(tmp_path: Path) -> None:
    lab, _, _ = trained(tmp_path)
    first, second = planned(lab.study)
    assert record(lab, first)["seconds"] == ended(lab, first)["seconds"] > 0
    assert record(lab, second)["seconds"] == ended(lab, second)["seconds"] > 0


@pytest.mark.parametrize("step", [2, 8])
def test_a_checkpoint_of_a_finished_run_that_is_deleted_is_trained_again_to_the_same_bytes(tmp_path: Path, step: int) -> None:
    """What the sentences say: delete the directory and run again, and whatever else the run saved stays."""
    lab, datasets, before = trained(tmp_path)
    run, other = planned(lab.study)
    assert record(lab, run)["steps"] == [2, 8]
    assert owed(lab, datasets) == {}
    found = {event.step: event for event in before if isinstance(event, Checkpoint) and event.run == run.id}
    kept = Path(found[10 - step].path) / "model.safetensors"
    written = kept.stat().st_mtime_ns

    shutil.rmtree(found[step].path)
    assert [row.status for row in (stored_run(lab, run), stored_run(lab, other))] == ["owed", "finished"]
    lost = f"step {step} of {run.name!r} cannot be scored: {found[step].path} has no manifest.json"
    said = findings(lab, Found(runs=[stored_run(lab, each) for each in (run, other)]), make_exams(lab), datasets, "")
    assert [line for line in said.owed if line.startswith(lost)], said.owed
    assert not [line for line in said.owed if "is not trained" in line]
    assert [(each.run, each.step) for each in said.tables.checkpoints] == [(run.id, step)], "a point that is missing, and not none"

    (job,) = owed(lab, datasets).values()
    assert lab.store.recall("train", run.id) is None, "it has not ended any more"
    assert not (Path(job.directory) / ENDED).exists()
    assert not (Path(job.directory) / METRICS).exists(), "a line of progress tells steps that were not told"
    train_here(job)
    assert {event for event in events_of(lab, datasets) if isinstance(event, Checkpoint) and event.run == run.id} == set(found.values())
    assert kept.stat().st_mtime_ns == written, "what was there is not written again"
    assert len(Path(lab.store.path(f"train-{run.id}/{METRICS}")).read_text().splitlines()) == 8
    assert record(lab, run)["steps"] == [2, 8]
    assert owed(lab, datasets) == {}


def test_a_damaged_manifest_costs_one_checkpoint_of_a_finished_run_and_following_its_sentence_mends_it(tmp_path: Path) -> None:
    lab, datasets, before = trained(tmp_path, {"sweep/dataset": "cot"})
    (run,) = planned(lab.study)
    manifest = Path(lab.store.path(f"train-{run.id}/step-000002/{MANIFEST}"))
    manifest.write_text('{"format": 1}')
    events = events_of(lab, datasets)
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [0, 8]
    said = findings(lab, found := Found(), make_exams(lab), datasets, "")
    assert [line for line in said.owed if line.startswith(f"step 2 of {run.name!r} cannot be scored: {manifest} is damaged")]
    assert found.checkpoints == []
    ended_record = Path(lab.store.path(f"train-{run.id}/record.json"))
    kept = ended_record.read_bytes()
    ended_record.unlink()
    said = findings(lab, Found(runs=[stored_run(lab, run)]), make_exams(lab), datasets, "")
    assert said.owed[0] == f"run {run.name!r} is not trained", "one that has not ended owes its later steps too"
    ended_record.write_bytes(kept)
    (sentence,) = stored_steps(lab.store, run.id).lost.values()
    # What it says is done, and nothing else.
    shutil.rmtree(re.search(r"delete (\S+) and run the study that made it again", sentence)[1])  # type: ignore[index]
    (job,) = owed(lab, datasets).values()
    train_here(job)
    assert set(events_of(lab, datasets)) == set(before)
    assert not stored_steps(lab.store, run.id).lost


def pretraining_lab(directory: Path) -> Lab:
    """A study of one run, whose model is pretrained first."""
    settings = {"steps": 2, "batch_size": 8, "learning_rate": 1e-3, "max_length": 256, "precision": "fp32"}
    return make_lab(directory, {**SMALL, "models/tiny/pretrain": {"dataset": "nocot", "training": settings}, "sweep/dataset": "cot"})


def test_a_pretrained_model_whose_checkpoint_is_damaged_fails_its_runs_and_is_not_taken_untrained(tmp_path: Path) -> None:
    lab = pretraining_lab(tmp_path)
    datasets = make_datasets(lab)
    pretraining, run = planned(lab.study)
    work = runs._prepare(lab, [pretraining, run], datasets, None)
    job = runs._owed(work, pretraining, base_directory(lab, "tiny"))
    assert job is not None
    train_here(job)
    runs._finish(work, pretraining, runs._sources(pretraining, datasets, base_directory(lab, "tiny")))
    manifest = Path(lab.store.path(f"train-{pretraining.id}/step-000002/{MANIFEST}"))
    manifest.write_text("[]")
    ends = {event.id: event for event in events_of(lab, datasets) if isinstance(event, Run)}
    assert ends[run.id].status == "failed"
    assert f"its model's pretraining failed: {manifest} is damaged" in ends[run.id].error


def test_a_finished_run_keeps_what_it_has_made_when_its_models_pretraining_is_damaged(tmp_path: Path) -> None:
    lab = pretraining_lab(tmp_path)
    datasets = make_datasets(lab)
    pretraining, run = planned(lab.study)
    work = runs._prepare(lab, [pretraining, run], datasets, None)
    base = base_directory(lab, "tiny")
    for each in (pretraining, run):
        job = runs._owed(work, each, base)
        assert job is not None
        train_here(job)
        runs._finish(work, each, runs._sources(each, datasets, base))
        base = lab.store.path(f"train-{pretraining.id}/step-000002")
    before = set(events_of(lab, datasets))
    known = lab.store.read_json(runs.BASES)
    Path(base, MANIFEST).write_text("[]")
    after = events_of(lab, datasets)
    assert {event for event in after if isinstance(event, Run) and event.id == run.id} <= before
    assert [event.step for event in after if isinstance(event, Checkpoint) and event.step] == [2, 8]
    assert lab.store.read_json(runs.BASES) == known


def test_a_run_whose_whole_directory_is_deleted_is_trained_again(tmp_path: Path) -> None:
    """What is said where weights were deleted on purpose: they come again, and so do all others."""
    lab, datasets, before = trained(tmp_path, {"sweep/dataset": "cot"})
    (run,) = planned(lab.study)
    delete_weights(Path(lab.store.path(f"train-{run.id}/step-000002")), "scored")
    assert owed(lab, datasets) == {}, "deleted on purpose is not gone"
    shutil.rmtree(lab.store.path(f"train-{run.id}"))
    (job,) = owed(lab, datasets).values()
    train_here(job)
    assert set(events_of(lab, datasets)) == set(before)
    assert has_weights(Path(lab.store.path(f"train-{run.id}/step-000002")))


def test_weights_that_were_deleted_on_purpose_stay_deleted_where_a_run_is_trained_again_for_another_step(tmp_path: Path) -> None:
    lab, datasets, _ = trained(tmp_path, {"sweep/dataset": "cot"})
    (run,) = planned(lab.study)
    first, last = (Path(lab.store.path(f"train-{run.id}/step-{step:06d}")) for step in (2, 8))
    delete_weights(first, "scored")
    shutil.rmtree(last)
    (job,) = owed(lab, datasets).values()
    train_here(job)
    events_of(lab, datasets)
    assert (has_weights(first), has_weights(last)) == (False, True)
    assert owed(lab, datasets) == {}


def test_the_metrics_of_every_step_are_passed_on_and_a_finished_run_tells_none_again(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, SMALL)
    datasets = make_datasets(lab)
    for job in jobs_of(lab, datasets).values():
        train_here(job)
    told: list[tuple[str, int]] = []
    listen = lambda run, values: told.append((run, int(values["step"])))  # noqa: E731
    events_of(lab, datasets, on_metrics=listen)
    assert told == [(run.id, step) for run in planned(lab.study) for step in range(1, 9)]
    events_of(lab, datasets, on_metrics=listen)
    assert len(told) == 16


def test_rows_over_the_maximum_length_are_taken_off_before_the_steps_are_counted(tmp_path: Path) -> None:
    """Trap T3: with a fifth of the rows dropped, eight epochs are eight epochs of what is left."""
    usual = {"training/steps": ..., "training/epochs": 8, "checkpoints": {"log_spaced": 2}, "sweep/dataset": "cot"}
    found = lengths(make_lab(tmp_path / "look", SMALL))
    limit = max(length for length in found if length < found[-1])
    left = sum(length <= limit for length in found)
    assert left // 8 < len(found) // 8, "otherwise the test could not fail"
    lab, _, events = trained(tmp_path, {**usual, "training/max_length": limit})
    (run,) = planned(lab.study)
    metrics = [json.loads(line) for line in Path(lab.store.path(f"train-{run.id}/{METRICS}")).read_text().splitlines()]
    assert len(metrics) == 8 * (left // 8)
    assert metrics[-1]["epoch"] == 8.0
    assert [event.step for event in events if isinstance(event, Checkpoint)][-1] == lab.last_steps[run.id] == len(metrics)
    for counts in (record(lab, run), lab.store.read_json(LENGTHS)[run.id]):
        assert (counts["num_rows"], counts["num_dropped"], counts["num_truncated"]) == (left, len(found) - left, 0)
    assert f"{len(metrics):8d}  ." in "\n".join(status(lab.study, lab.store)[0])


def test_before_a_run_has_begun_status_knows_the_steps_that_its_rows_give_it(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, {**SMALL, "training/steps": ..., "training/epochs": 1, "checkpoints": {"log_spaced": 1}})
    planned_steps = "\n".join(status(lab.study, lab.store)[0])
    assert "       8  .  not trained yet" in planned_steps
    limit = lengths(lab)[31]
    short = make_lab(
        tmp_path, {**SMALL, "training/steps": ..., "training/epochs": 1, "checkpoints": {"log_spaced": 1}} | {"training/max_length": limit}
    )
    datasets = make_datasets(short)
    (job, *_) = jobs_of(short, datasets).values()
    assert job.steps[-1] < 8
    assert f"{job.steps[-1]:8d}  .  not trained yet" in "\n".join(status(short.study, short.store)[0])


def test_rows_are_counted_once_for_a_tokenizer_and_a_length_and_not_for_each_run(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, {**SMALL, "sweep/seed": [0, 1], "sweep/learning_rate": [1e-3, 2e-3]})
    datasets = make_datasets(lab)
    jobs_of(lab, datasets)
    made = {path: path.stat().st_mtime_ns for path in Path(lab.store.root).glob("lengths-*/record.json")}
    assert len(planned(lab.study)) == 8
    assert len(made) == 2
    jobs_of(lab, datasets)
    assert {path: path.stat().st_mtime_ns for path in Path(lab.store.root).glob("lengths-*/record.json")} == made


def test_fewer_rows_than_a_batch_are_a_failed_run_with_its_reason_and_the_other_run_is_trained(tmp_path: Path) -> None:
    # What is written with thinking is longer than what is not.
    limit = lengths(make_lab(tmp_path / "look", SMALL))[2]
    lab, _, events = trained(tmp_path, {"training/max_length": limit})
    ends = {event.dataset: event for event in events if isinstance(event, Run)}
    assert (ends["cot"].status, ends["nocot"].status) == ("failed", "finished")
    assert "of the 64 examples of data set 'cot' are left to learn from" in ends["cot"].error
    assert f"dropped as longer than max_length {limit}" in ends["cot"].error
    assert {event.run for event in events if isinstance(event, Checkpoint)} == {ends["nocot"].id}
    assert ends["cot"].error in "\n".join(status(lab.study, lab.store)[0])


def test_cut_rows_are_counted_apart_from_dropped_ones(tmp_path: Path) -> None:
    limit = lengths(make_lab(tmp_path / "look", SMALL))[32]
    lab, _, _ = trained(tmp_path, {"training/max_length": limit, "training/over_long": "truncate", "sweep/dataset": "cot"})
    (run,) = planned(lab.study)
    found = record(lab, run)
    assert found["num_truncated"] > 0
    assert (found["num_rows"], found["num_dropped"]) == (64, 0)


def test_a_job_carries_whether_code_of_its_model_may_run(tmp_path: Path) -> None:
    trusting = make_lab(tmp_path / "a", {**SMALL, "models/tiny/trust_remote_code": True})
    wary = make_lab(tmp_path / "b", SMALL)
    assert {job.trust_remote_code for job in jobs_of(trusting, make_datasets(trusting)).values()} == {True}
    assert {job.trust_remote_code for job in jobs_of(wary, make_datasets(wary)).values()} == {False}


def test_a_data_set_that_cannot_be_made_fails_its_runs_alone(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, {**SMALL, "datasets/unused": {"problems": "sums", "teacher": "solver", "transform": "drop_thinking"}})
    whole = make_datasets(lab)

    def make(name: str) -> Result:
        if name == "nocot":
            return whole[name]
        raise ValueError(f"data set {name!r}: 0 of 32 problems have a correct attempt")

    datasets = make_each(lab.store, lab.study.datasets, make)
    assert list(datasets) == ["nocot"]
    for job in jobs_of(lab, datasets).values():
        train_here(job)
    events = events_of(lab, datasets)
    ends = {event.dataset: event for event in events if isinstance(event, Run)}
    assert (ends["cot"].status, ends["nocot"].status) == ("failed", "finished")
    assert "0 of 32 problems have a correct attempt" in ends["cot"].error
    found = Found(runs=list(ends.values()), checkpoints=[event for event in events if isinstance(event, Checkpoint)])
    said = findings(lab, found, make_exams(lab), datasets, "")
    assert any("0 of 32" in line for line in said.failed)
    assert [line for line in said.owed if "'unused' could not be made" in line and "0 of 32" in line]
    assert not [line for line in said.owed if "'cot' could not be made" in line], "its run says so"
    text, complete = status(lab.study, lab.store)
    assert "data set unused could not be made: data set 'unused': 0 of 32" in "\n".join(text)
    assert not complete

    make_each(lab.store, lab.study.datasets, lambda name: whole[name])
    assert unmade(lab.store) == {}


def test_a_study_of_which_no_data_set_can_be_made_says_why(tmp_path: Path) -> None:
    def make(name: str) -> Result:
        raise ValueError(f"{name}: nothing is correct")

    store = Store(str(tmp_path), "small")
    with pytest.raises(ValueError, match="cot: nothing is correct"):
        make_each(store, study().datasets, make)
    assert unmade(store) == {"cot": "cot: nothing is correct", "nocot": "nocot: nothing is correct"}


def test_a_run_that_is_tried_again_has_not_failed_any_more(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, SMALL)
    datasets = make_datasets(lab)
    run = planned(lab.study)[0]
    lab.store.write_json(f"train-{run.id}/failed.json", {"name": run.name, "error": "the node went away"})
    assert "the node went away" in "\n".join(status(lab.study, lab.store)[0])
    jobs_of(lab, datasets)
    assert "the node went away" not in "\n".join(status(lab.study, lab.store)[0])


def test_where_the_models_own_template_is_not_what_it_is_taught_is_recorded_for_the_data_set(tmp_path: Path) -> None:
    """Trap T2."""
    plain = prepare(Model.model_validate(study(SMALL).models["tiny"].model_dump()), "tiny", tmp_path)
    other = tmp_path / "other"
    shutil.copytree(plain, other)
    (other / MANIFEST).unlink()
    template = other / "chat_template.jinja"
    text = template.read_text()
    # Its template ends a turn as training does, and says something before it.
    changed = text.replace("{{ message['content'] }}<|im_end|>\n{% endfor %}", "{{ 'Well, ' + message['content'] }}<|im_end|>{% endfor %}")
    assert changed != text, text
    template.write_text(changed)
    lab = make_lab(tmp_path, {"models/other": {"path": str(other), "dtype": "float32"}, **SMALL, "sweep/model": ["tiny", "other"]})
    jobs_of(lab, make_datasets(lab))
    found = lab.store.read_json(LENGTHS)
    for run in planned(lab.study):
        differences = found[run.id]["template_differences"]
        assert any("ends the response with" in sentence for sentence in differences) == (run.model == "tiny"), differences
        assert any("begins with 'Well, " in sentence or "puts 'Well, '" in sentence for sentence in differences) == (run.model == "other")
