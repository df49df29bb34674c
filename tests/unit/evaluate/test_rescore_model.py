"""A model that was evaluated without a study: its stored attempts are judged again, and under smaller caps, like those of a sweep."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import yaml
from sitting import EXAMS, Answering, replies
from studies import changed

from ray_study import tables
from ray_study.__main__ import main
from ray_study.engines import Engines
from ray_study.exam_only import score_models, study_of
from ray_study.manifests import MANIFEST
from ray_study.materials import Lab
from ray_study.owed import matrix
from ray_study.places import find_models
from ray_study.rows import GradedAttempt
from ray_study.serving import Reply, Request
from ray_study.store import Store
from ray_study.suites import read_suite


def answering(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
    """Answers of different lengths, some of which are right."""
    texts = ["\\boxed{7}", "I do not know", "It is 12", "<think>without end"]
    found = replies(checkpoint, requests)
    return [replace(reply, text=texts[number % 4], num_tokens=len(texts[number % 4])) for number, reply in enumerate(found)]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A model with two step folders, and a suite that a test asks it."""

    root: Path
    suite: Path
    tmp_path: Path

    def evaluate(self) -> tuple[list[str], list[str]]:
        """Which cells have scores, and why others have none, as `evaluate --model` finds it; what answers is a function."""
        suite, settings = read_suite(str(self.suite))
        models = find_models(str(self.root), settings, step_folders=True, trust=False)
        study = study_of(suite, models)
        engines = cast(Engines, Answering(answer=answering))
        store = Store(str(self.tmp_path / "results"), study.name)
        lab = Lab(study=study, store=store, engines=engines, cache=self.tmp_path, progress=lambda line: None)
        scores, owed = score_models(lab, models)
        assert {row.step for row in matrix(study, store)} == {step for step in (20, 640) if f"model-step{step}" not in " ".join(owed)}
        return sorted({f"{score.run} {score.benchmark}" for score in scores}), owed

    def rescore(self, *more: str) -> int:
        return main(["rescore", "--model", str(self.root), "--suite", str(self.suite), "--step-folders", *more])


@pytest.fixture
def asked(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path / "results"))
    for step in (20, 640):
        shutil.copytree(base, tmp_path / "model" / f"step{step}")
    # Other files, so that it is another model.
    raw = json.loads((tmp_path / "model" / "step640" / MANIFEST).read_text())
    raw["files"]["model.safetensors"] = "0" * 64
    (tmp_path / "model" / "step640" / MANIFEST).write_text(json.dumps(raw))
    suite = tmp_path / "suite.yaml"
    said = {"problems": changed()["problems"], "evaluation": {**changed()["evaluation"], "benchmarks": EXAMS, "shard_size": 4}}
    suite.write_text(yaml.safe_dump({**said, "models": {"any": {"dtype": "float32"}}}))
    return Asked(root=tmp_path / "model", suite=suite, tmp_path=tmp_path)


def test_the_same_code_says_the_same_of_every_stored_attempt(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked.evaluate() == ([f"model-step{step} {name}" for step in (20, 640) for name in sorted(EXAMS)], [])
    assert asked.rescore() == 0
    assert capsys.readouterr().out.splitlines() == ["40 attempts judged again: none of them otherwise"]
    assert asked.rescore("--benchmark", "sums") == 0
    assert "16 attempts judged again" in capsys.readouterr().out


def test_a_verdict_that_the_same_code_does_not_give_is_a_contradiction(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.evaluate()
    shard = sorted((asked.tmp_path / "results" / "evaluate-model").glob("verdicts-*/rows/*.parquet"))[0]
    rows = tables.read(shard, GradedAttempt)
    was = rows[0].verdict
    tables.write([replace(rows[0], verdict="error"), *rows[1:]], shard, GradedAttempt)
    assert asked.rescore() == 1
    told = capsys.readouterr().out
    assert f"error -> {was}: 1 attempts at 1 items: {rows[0].problem_id}" in told
    assert "CONTRADICTION: 1 of 40 attempts" in told
    flips = (asked.tmp_path / "results" / "evaluate-model" / "flips.csv").read_text().splitlines()
    assert len(flips) == 2
    assert ",model-step" in flips[1]


def test_every_model_has_its_accuracy_under_every_cap(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.evaluate()
    assert asked.rescore("--cap", "4", "--benchmark", "sums") == 0
    told = capsys.readouterr().out
    for step in (20, 640):
        (line,) = [line for line in told.splitlines() if line.startswith(f"sums, model-step{step} step {step}: ")]
        assert "; 32: " in line
    assert "4 scores: " in told


def test_one_of_several_models_whose_manifest_is_damaged_is_owed_and_the_others_are_scored(asked: Asked) -> None:
    (asked.root / "step20" / MANIFEST).write_text("[]")
    found, (owed,) = asked.evaluate()
    assert found == [f"model-step640 {name}" for name in sorted(EXAMS)]
    assert owed.startswith(f"model-step20: {asked.root}/step20/{MANIFEST} is damaged")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of both"),
        (["sweep.yaml", "--model", "x"], "one of both"),
        (["sweep.yaml", "--suite", "x"], "--suite goes with --model"),
        (["--model", "x"], "--model goes with --suite"),
    ],
    ids=["nothing", "both", "suite", "no suite"],
)
def test_arguments_that_do_not_go_together_are_bad_input(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert main(["rescore", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_another_model_of_the_same_name_is_not_taken_for_the_one_that_was_asked(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.evaluate()
    shutil.copytree(asked.root, asked.tmp_path / "elsewhere" / "model")
    other = replace(asked, root=asked.tmp_path / "elsewhere" / "model")
    assert other.rescore() == 2
    said = capsys.readouterr().err
    assert f"holds the answers of another model called 'model-step20', of {asked.root}/step20; evaluate this one again first" in said
    other.evaluate()
    assert other.rescore() == 0


def test_a_model_that_was_never_asked_says_what_to_do_first(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked.rescore() == 2
    said = f"score it first: ray-study evaluate --model {asked.root} --suite {asked.suite} --step-folders"
    assert said in capsys.readouterr().err
    assert not (asked.tmp_path / "results").exists()
