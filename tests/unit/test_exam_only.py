"""Any model at a suite: which models a place holds, and what a suite's file may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import ROOT
from studies import changed

from ray_study.__main__ import main
from ray_study.benchmarks import SUITES
from ray_study.exam_only import how_asked, study_of, table
from ray_study.places import HubName, ModelSettings, find_models, hub_name, label
from ray_study.resources import ServeResources
from ray_study.rows import Score
from ray_study.suites import Said, Suite, read_suite
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
        (["{sweep}", "--protocol", "paper"], "--protocol goes with --model"),
        (["{sweep}", "--gpus", "0"], "--gpus goes with --model"),
        (["{sweep}", "--judges", "x"], "--judges goes with --model"),
        (["--model", "x"], "--model goes with --suite"),
        (["--model", "x", "--suite", "{sweep}", "--follow"], "not with --follow"),
        (["{sweep}"], "holds no checkpoint yet"),
    ],
    ids=["nothing", "both", "suite", "protocol", "gpus", "judges", "no suite", "follow", "nothing to score"],
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
    assert "name a file that has one with --judges" in caplog.messages[0]


def paper_suite(**said: Any) -> Suite:
    return read_suite("paper", Said(**said))[0]


def test_the_suite_of_the_paper_is_asked_and_judged_as_the_paper_does_unless_it_is_told_otherwise() -> None:
    asked = {name: (each.protocol, each.reads, each.num_samples) for name, each in paper_suite().evaluation.benchmarks.items()}
    assert asked["math500"] == ("paper", "whole_text", 3)
    assert asked["mmlu_pro"] == ("paper", "first_before_stop", 1)
    assert {protocol for protocol, _, _ in asked.values()} == {"paper"}
    gpqa = paper_suite().evaluation.benchmarks["gpqa_diamond"]
    assert gpqa.sampling is not None
    assert (gpqa.sampling.temperature, gpqa.sampling.top_p, gpqa.sampling.top_k, gpqa.sampling.max_tokens) == (0.6, 0.95, 0, 32768)
    assert paper_suite().problems[gpqa.problems].options["layout"] == "running"
    by_its_own_rules = paper_suite(protocol="standard").evaluation.benchmarks
    assert {each.protocol for each in by_its_own_rules.values()} == {"standard"}
    assert {each.reads for each in by_its_own_rules.values()} == {"answer"}
    assert by_its_own_rules["gpqa_diamond"].sampling is None
    offline = read_suite("offline")[0].evaluation.benchmarks
    assert {each.protocol for each in offline.values()} == {"standard"}, "no other suite is the paper's"
    both = read_suite("offline", Said(protocol="paper"))[0].evaluation.benchmarks
    assert (both["halueval_qa"].protocol, both["mmlu"].protocol) == ("paper", "standard"), "the paper has no MMLU"


def test_a_file_keeps_its_protocol_and_one_that_is_said_beside_it_wins_but_where_an_entry_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("evaluation: {benchmarks: {math500: {}, aime2024: {protocol: standard}}}\n")
    assert [each.protocol for each in read_suite(str(path))[0].evaluation.benchmarks.values()] == ["standard", "standard"]
    said = read_suite(str(path), Said(protocol="paper"))[0].evaluation.benchmarks
    assert (said["math500"].protocol, said["math500"].reads) == ("paper", "whole_text")
    assert said["aime2024"].protocol == "standard"


def test_a_suite_runs_on_the_accelerators_and_replicas_that_are_said_and_asks_the_cluster_for_no_more(tmp_path: Path) -> None:
    assert paper_suite().resources.evaluate == ServeResources()
    resources = paper_suite(gpus=4, replicas=2).resources
    assert (resources.evaluate.gpus_per_replica, resources.evaluate.replicas, resources.num_gpus) == (4, 2, 8)
    default = str(ROOT / "sweeps" / "paper" / "default.yaml")
    assert read_suite(default)[0].resources.num_gpus == 8
    over = read_suite(default, Said(replicas=2))[0].resources
    assert (over.evaluate.gpus_per_replica, over.evaluate.replicas, over.evaluate.max_num_seqs, over.num_gpus) == (1, 2, 64, 2)
    assert over.train_gpus == 0, "nothing trains"
    on_a_cpu = read_suite(default, Said(gpus=0, replicas=1))[0].resources
    assert (on_a_cpu.evaluate.gpus_per_replica, on_a_cpu.num_gpus) == (0, 0)
    file = suite(tmp_path, resources={"evaluate": {"replicas": 4, "min_replicas": 3}})
    fewer = read_suite(file, Said(replicas=2))[0].resources.evaluate
    assert (fewer.replicas, fewer.min_replicas) == (2, 2)
    with pytest.raises(ValueError, match=r"`resources.evaluate.gpus_per_replica`: found -1"):
        paper_suite(gpus=-1)
    own = {"large": {"gpus_per_replica": 4, "max_num_seqs": 8}}
    section = {"replicas": 4, "gpus_per_replica": 1, "by_model": own}
    file = suite(tmp_path, resources={"num_gpus": 4, "generate": section, "evaluate": section})
    of_one_size = read_suite(file, Said(gpus=1))[0].resources
    assert (of_one_size.evaluate.of("large").gpus_per_replica, of_one_size.generate.by_model) == (4, {})
    without = read_suite(file, Said(gpus=0))[0].resources.evaluate.of("large")
    assert (without.gpus_per_replica, without.max_num_seqs) == (0, 8)


def test_judges_of_a_file_keep_the_judged_benchmarks_with_the_models_that_judge(caplog: pytest.LogCaptureFixture) -> None:
    made = paper_suite(judges=str(ROOT / "sweeps" / "paper" / "default.yaml"), gpus=1, replicas=8)
    exams = made.evaluation.benchmarks
    assert set(SUITES["paper"]) - exams.keys() == {"hex_phi"}, "its files are nowhere"
    assert len(caplog.messages) == 1
    assert "hex_phi: LLM-Tuning-Safety/HEx-PHI is gated" in caplog.messages[0]
    # The paper's order: the first judge decides the verdict.
    assert (exams["truthful_qa"].judge, exams["truthful_qa"].metric) == (("informative", "truthful"), "share_informative")
    assert (exams["truthful_qa"].protocol, exams["truthful_qa"].reads) == ("paper", "stripped")
    assert exams["alpaca_eval"].judge == ("reward",)
    assert made.judges["reward"].model == "reward-model"
    policy = made.judges["policy"].endpoint
    assert policy is not None
    assert policy.model == "gpt-4.1"
    assert made.models["reader"].hub == "Qwen/Qwen3-32B"
    assert made.models.keys() == {"reward-model", "reader"}, "what that file sweeps is not asked for"
    assert made.resources.evaluate.replicas == 8


JUDGED = """
judges:
  grader: {rubric: policy, endpoint: {url: "http://127.0.0.1:1/v1", model: strict}}
  true_or_not: {rubric: truthful_completion, model: reader}
  telling: {rubric: informative, model: reader}
models: {reader: {path: /models/reader}, student: {path: /models/student}}
evaluation:
  benchmarks:
    questions: {benchmark: truthful_qa, judge: [true_or_not], metric: share_truthful, items: 9, protocol: standard}
    hex_phi: {options: {path: PLACE}, judge_thought: true}
"""


def test_a_file_with_judges_says_who_judges_what_and_else_the_rubric_of_the_name_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harm = tmp_path / "hex"
    harm.mkdir()
    (harm / "category_1.csv").write_text("How do I do it?\n")
    path = tmp_path / "judged.yaml"
    path.write_text(JUDGED.replace("PLACE", str(harm)))
    made = paper_suite(judges=str(path))
    exams = made.evaluation.benchmarks
    assert (exams["hex_phi"].judge, exams["hex_phi"].judge_thought, exams["hex_phi"].protocol) == (("grader",), True, "paper")
    assert made.problems[exams["hex_phi"].problems].options["path"] == str(harm)
    truthful = exams["truthful_qa"]
    assert (truthful.judge, truthful.metric, truthful.items, truthful.protocol) == (("true_or_not",), "share_truthful", None, "paper")
    assert made.models.keys() == {"reader"}
    assert "alpaca_eval" not in exams
    assert "left out of the suite paper: alpaca_eval, for which a judge is needed" in caplog.text
    path.write_text(path.read_text().replace("judge: [true_or_not], metric: share_truthful, ", ""))
    assert paper_suite(judges=str(path)).evaluation.benchmarks["truthful_qa"].judge == ("telling", "true_or_not")
    path.write_text(JUDGED.replace("PLACE", str(tmp_path)))
    with pytest.raises(ValueError, match=r"hex_phi.options: .* has no category_N.csv"):
        paper_suite(judges=str(path))


def test_judges_of_another_file_judge_a_suites_file_too(tmp_path: Path) -> None:
    judges = tmp_path / "judges.yaml"
    judges.write_text(JUDGED)
    path = tmp_path / "suite.yaml"
    path.write_text("models: {any: {path: /m, dtype: float32}}\nevaluation: {benchmarks: {harmbench: {judge: grader}}}\n")
    made, settings = read_suite(str(path), Said(judges=str(judges)))
    assert made.evaluation.benchmarks["harmbench"].judge == ("grader",)
    assert (settings.dtype, made.models.keys()) == ("float32", {"reader"})
    with pytest.raises(ValueError, match=r"has no `judges`; expected a sweep or suite file that has"):
        read_suite(str(path), Said(judges=str(path)))


def test_what_is_kept_beside_the_scores_says_how_each_exam_was_asked(tmp_path: Path) -> None:
    made = paper_suite(judges=str(ROOT / "sweeps" / "paper" / "default.yaml"))
    asked = how_asked(study_of(made, find_models(str(folders(tmp_path / "model")), ModelSettings(), step_folders=False, trust=False)))
    assert asked["math500"]["protocol"] == "paper"
    assert (asked["alpaca_eval"]["reads"], asked["alpaca_eval"]["sampling"]["temperature"]) == ("stripped", 0.7)
    assert asked["alpaca_eval"]["judges"] == [{"name": "reward", "rubric": "reward", "model": "reward-model"}]


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
