"""Any model at a suite: which models a place holds, and what a suite's file may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from programs import ROOT
from studies import changed

from ray_study.__main__ import main
from ray_study.benchmarks import SUITES
from ray_study.exam_only import read_suite, study_of, table
from ray_study.places import HubName, ModelSettings, find_models, hub_name, label
from ray_study.rows import Score
from ray_study.working import needed_cpus


def suite(directory: Path, **more: object) -> str:
    raw = changed()
    path = directory / "suite.yaml"
    path.write_text(yaml.safe_dump({"problems": raw["problems"], "evaluation": raw["evaluation"], **more}))
    return str(path)


def folders(root: Path, *names: str) -> Path:
    root.mkdir()
    for name in names:
        (root / name).mkdir()
    return root


def test_a_directory_is_one_model_and_its_step_folders_are_models_by_step(tmp_path: Path) -> None:
    root = folders(tmp_path / "My model!", "step640", "step20", "global_step_80", "checkpoint-7", "logs", "step640-old")
    (one,) = find_models(str(root), ModelSettings(dtype="float32"), step_folders=False, trust=False)
    assert (one.name, one.step, one.model.path, one.model.dtype) == ("My-model", 0, str(root), "float32")
    several = find_models(str(root), ModelSettings(), step_folders=True, trust=True)
    assert [(each.step, Path(str(each.model.path)).name) for each in several] == [
        (7, "checkpoint-7"),
        (20, "step20"),
        (80, "global_step_80"),
        (640, "step640"),
    ]
    assert [label(each) for each in several][-1] == "My-model-step640"
    assert all(each.model.trust_remote_code for each in several)


def test_a_checkpoint_of_a_study_is_called_by_its_run_and_step(tmp_path: Path) -> None:
    root = folders(tmp_path / "train-abc", "step-000640")
    (one,) = find_models(str(root / "step-000640"), ModelSettings(), step_folders=False, trust=False)
    assert label(one) == "train-abc-step640"


def test_step_folders_where_there_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder such as step640; leave it out"):
        find_models(str(folders(tmp_path / "model", "logs")), ModelSettings(), step_folders=True, trust=False)


@pytest.mark.parametrize(
    ("place", "revision", "folder"),
    [
        ("owner/name", None, ""),
        ("owner/name@v1.0", "v1.0", ""),
        ("owner/name/steps/step640/", None, "steps/step640"),
        ("owner/name@v1.0/step640", "v1.0", "step640"),
    ],
)
def test_a_name_of_the_hub_has_a_revision_and_a_folder_where_it_says_so(place: str, revision: str | None, folder: str) -> None:
    assert hub_name(place) == HubName(hub="owner/name", revision=revision, folder=folder)


def test_what_is_no_directory_and_no_name_of_the_hub_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a directory, or owner/name"):
        find_models("nowhere", ModelSettings(), step_folders=False, trust=False)


def test_a_suite_and_a_sweep_file_give_exams_and_the_settings_in_which_their_models_agree(tmp_path: Path) -> None:
    exams, settings = read_suite(suite(tmp_path, seed=3, models={"any": {"dtype": "float32", "max_model_len": 64}}))
    assert (list(exams.evaluation.benchmarks), exams.seed, settings) == (["sums"], 3, ModelSettings(dtype="float32", max_model_len=64))
    exams, settings = read_suite(str(ROOT / "sweeps" / "quickstart.yaml"))
    assert list(exams.evaluation.benchmarks) == ["sums", "longer_sums", "mmlu", "advbench"]
    assert settings == ModelSettings(dtype="float32", max_model_len=512)
    assert read_suite(suite(tmp_path))[1] == ModelSettings()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"models": {"a": {"dtype": "float32"}, "b": {}}}, "its models differ in dtype or max_model_len"),
        ({"problems": {}}, r"name the problems \['held_out'\], which it does not have"),
        ({"evaluation": {"benchmarks": {"sums": {"problems": "held_out", "group": "in_domain", "item": 3}}}}, "unknown key"),
    ],
    ids=["models", "problems", "key"],
)
def test_a_suite_that_is_wrong_says_where(tmp_path: Path, more: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_suite(suite(tmp_path, **more))


def test_a_name_that_is_no_file_and_no_suite_is_refused() -> None:
    with pytest.raises(ValueError, match="no-such-suite"):
        read_suite("no-such-suite")


def test_the_exams_of_a_suite_are_a_study_that_trains_nothing(tmp_path: Path) -> None:
    exams, settings = read_suite(suite(tmp_path))
    models = find_models(str(folders(tmp_path / "model", "step5")), settings, step_folders=True, trust=False)
    made = study_of(exams, models)
    assert needed_cpus(made) >= 1, "nothing of it is trained"
    assert (made.name, list(made.models)) == ("evaluate-model", ["model-step5"])
    with pytest.raises(AttributeError):
        _ = made.sweep


def test_the_table_has_intervals_and_what_is_not_known_is_not_0() -> None:
    row = Score(
        run="m", step=0, benchmark="sums", group="in_domain", metric="accuracy", value=0.5, standard_error=0.1, low=0.3, high=0.7,
        num_items=16, num_unjudged=2,
    )  # fmt: skip
    missing = Score(**{**{name: getattr(row, name) for name in row.__slots__}, "value": None, "low": None, "high": None, "num_unjudged": 0})
    assert table([row, missing]) == [
        "m  sums  accuracy: 0.500 (0.300 to 0.700), 16 items, 2 attempts unjudged",
        "m  sums  accuracy: not known, 16 items",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of both"),
        (["{sweep}", "--model", "x"], "one of both"),
        (["{sweep}", "--suite", "x"], "--suite goes with --model"),
        (["--model", "x"], "--model goes with --suite"),
        (["--model", "x", "--suite", "{sweep}", "--follow"], "not with --follow"),
        (["{sweep}"], "holds no checkpoint yet"),
    ],
    ids=["nothing", "both", "suite", "no suite", "follow", "nothing to score"],
)
def test_arguments_that_do_not_go_together_are_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path / "results"))
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps(changed()))
    assert main(["evaluate", *(argument.format(sweep=path) for argument in arguments)]) == 2
    assert expected in capsys.readouterr().err


def test_a_named_suite_is_written_out_and_what_needs_a_judge_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    suite, _ = read_suite("offline")
    assert suite.evaluation.benchmarks.keys() == set(SUITES["offline"])
    assert caplog.messages == []
    suite, _ = read_suite("paper")
    left_out = set(SUITES["paper"]) - suite.evaluation.benchmarks.keys()
    assert left_out == {"truthful_qa", "alpaca_eval", "hex_phi"}
    assert all(name in caplog.messages[0] for name in left_out)


def test_a_suite_file_says_who_judges_and_a_judge_may_be_a_server_or_a_model_that_is_served(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("evaluation: {benchmarks: {harmbench: {judge: policy}}}\n")
    with pytest.raises(ValueError, match=r"its benchmarks name the judges \['policy'\], which it does not have"):
        read_suite(str(path))
    path.write_text(
        "judges: {policy: {rubric: policy, endpoint: {url: 'http://127.0.0.1:1/v1', model: m}}}\n"
        "evaluation: {benchmarks: {harmbench: {judge: policy}}}\n"
    )
    suite, _ = read_suite(str(path))
    assert suite.evaluation.benchmarks["harmbench"].judge == ("policy",)
    served = "judges: {policy: {rubric: policy, model: grader}}\nevaluation: {benchmarks: {harmbench: {judge: policy}}}\n"
    path.write_text(served)
    with pytest.raises(ValueError, match=r"its judges name the models \['grader'\], which it does not have; it has \[\]"):
        read_suite(str(path))
    models = "models: {grader: {path: /models/grader, dtype: bfloat16}, any: {path: /models/any, dtype: float32}}\n"
    path.write_text(served + models)
    suite, settings = read_suite(str(path))
    assert settings == ModelSettings(dtype="float32"), "how a judge is served says nothing of what is scored"
    scored = find_models(str(folders(tmp_path / "model")), settings, step_folders=False, trust=False)
    made = study_of(suite, scored)
    assert {name: model.dtype for name, model in made.models.items()} == {"grader": "bfloat16", "model": "float32"}
    with pytest.raises(ValueError, match="the suite has a model 'grader' that judges, and what is scored is called so too"):
        study_of(suite, find_models(str(folders(tmp_path / "grader")), settings, step_folders=False, trust=False))
