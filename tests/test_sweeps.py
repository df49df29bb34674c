"""Every sweep file of the repository plans, and every bad one is refused with a sentence that helps."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from ray_study.__main__ import main
from ray_study.config import Study
from ray_study.grid import PlannedRun, planned
from ray_study.sweep_file import read

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "sweeps").rglob("*.yaml"))
BAD = sorted((ROOT / "tests" / "bad_sweeps").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    return dict(json.loads((ROOT / "sweeps" / "schema.json").read_text()))


def faults_of(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `plan` says of a bad file, a line a fault."""
    assert main(["plan", str(path)]) == 2
    return capsys.readouterr().err.removeprefix("ray-study: ").splitlines()


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sweep_file_plans_without_a_fault_in_seconds(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    code = main(["plan", str(path)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert captured.err == ""
    assert captured.out.startswith("study ")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sweep_file_begins_with_its_question_as_a_comment(path: Path) -> None:
    assert path.read_text().startswith("# ")
    assert "?" in yaml.safe_load(path.read_text())["question"]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sweep_file_obeys_the_schema_that_editors_read(path: Path, schema: dict[str, object]) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_names_of_studies_are_unique_so_that_none_shares_a_store() -> None:
    names = [yaml.safe_load(path.read_text())["name"] for path in SWEEPS]
    assert len(set(names)) == len(names)


def test_the_schema_in_the_repository_is_the_programs_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert (ROOT / "sweeps" / "schema.json").read_text() == capsys.readouterr().out, "ray-study schema > sweeps/schema.json"


COT, NOCOT, NUMINA, COUNTDOWN, R1 = "Math-CoT-20k", "Math-NoCoT-20k", "NuminaMath-20k", "Countdown-CoT-20k", "DeepSeek-R1-20k"
BIG = "Qwen/Qwen3-14B-Base"
USUAL = (20480, 256, 8, 5e-5, "cosine", 4)
"""Rows, batch, epochs, learning rate, schedule, rows of the authors' micro-batches."""

THE_STUDYS_RUNS = {
    *((BIG, COT, 20480, 256, epochs, 5e-5, "cosine", 4) for epochs in (1, 8, 16)),
    *((BIG, COT, 20480, 256, epochs, 1e-5, "cosine", 4) for epochs in (1, 2)),
    *((BIG, COT, 20480, 256, 16, rate, "constant", 4) for rate in (5e-5, 1e-4)),
    (BIG, COT, 2560, 32, 8, 5e-5, "cosine", 4),
    (BIG, COT, 20480, 32, 1, 5e-5, "cosine", 4),
    *((BIG, data, *USUAL) for data in (NOCOT, NUMINA, COUNTDOWN, R1)),
    *(("Qwen/Qwen3-8B-Base", data, *USUAL) for data in (COT, NOCOT, NUMINA, COUNTDOWN, R1)),
    *(("internlm/internlm2_5-20b", data, *USUAL[:-1], 2) for data in (COT, NOCOT, NUMINA, COUNTDOWN, R1)),
    *((f"Qwen/Qwen3-{size}-Base", data, *USUAL) for size in ("4B", "1.7B") for data in (COT, NOCOT, COUNTDOWN)),
    *((f"Qwen/Qwen2.5-{size}", COT, *USUAL) for size in ("1.5B", "3B", "7B", "14B")),
}
"""One for each script in `training_scripts/` of github.com/Nebularaid2000/rethink_sft_generalization."""


def facts_of(study: Study, run: PlannedRun) -> tuple[object, ...]:
    """What a run of the study is told apart by."""
    training, dataset = run.training, study.datasets[run.dataset]
    by = (training.batch_size, training.epochs, training.learning_rate, training.schedule, training.layout_rows)
    return (study.models[run.model].hub, str(dataset.name).removeprefix("jasonrqh/"), dataset.select.num_examples, *by)


def test_the_papers_files_plan_exactly_the_33_runs_of_the_study_as_its_trainer_made_them() -> None:
    assert len(THE_STUDYS_RUNS) == 33
    studies = [read(path) for path in sorted((ROOT / "sweeps" / "paper").glob("*.yaml"))]
    runs = [(study, run) for study in studies for run in planned(study)]
    assert {facts_of(study, run) for study, run in runs} == THE_STUDYS_RUNS
    assert {run.training.recipe for _, run in runs} == {"paper_faithful"}
    assert len({run.id for _, run in runs}) == 33, "a run that stands in two files is one run"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_sweep_file_is_refused_with_what_its_comment_expects(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = [line.removeprefix("# expected: ") for line in path.read_text().splitlines() if line.startswith("# expected: ")]
    assert expected
    faults = faults_of(path, capsys)
    for phrase in expected:
        assert phrase in "\n".join(faults)
    assert all(fault.startswith(f"{path}:") for fault in faults), "each fault names the file"
    for foreign in ("Traceback", "pydantic", "validation error", "https://"):
        assert foreign not in "\n".join(faults)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_sweep_file_has_one_mistake_and_few_faults(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Two runs may share a fault; nothing else is said of a file with one mistake.
    assert len(faults_of(path, capsys)) <= 2


def test_there_are_bad_files_for_the_usual_mistakes() -> None:
    assert len(BAD) >= 25


def test_a_bad_file_shows_no_traceback_unless_asked() -> None:
    command = [sys.executable, "-m", "ray_study", "plan", "tests/bad_sweeps/unknown_key.yaml"]
    plain = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert "Traceback" not in plain.stderr
    assert len(plain.stderr.splitlines()) == 1, "unwrapped where stderr is no terminal"
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert debug.returncode == 2
    assert "Traceback (most recent call last)" in debug.stderr
    assert debug.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]
