"""Each check on a study that is as it should be, and on one that has the fault that the check is for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chat_server import Said, serving
from hub_server import Repository, hub
from labs import answer, attempts, make_exams, make_lab
from programs import ROOT
from scipy import special
from studies import study, sweep_file

from ray_study import tables
from ray_study.__main__ import main
from ray_study.chat import Chat
from ray_study.checks import CHECKS, Finding, Subject, as_it_is, look, outside
from ray_study.checks.at_work import at_work, before_spending, judges_are_there
from ray_study.checks.finding import Looked
from ray_study.checks.items import beyond, spread_by_chance
from ray_study.checks.outside import Outside
from ray_study.config import Benchmark, Study
from ray_study.grid import planned
from ray_study.manifests import digest
from ray_study.materials import Lab, base_directory
from ray_study.model_files import prepare
from ray_study.owed import answers_mark
from ray_study.rows import Attempt, Problem
from ray_study.runs import BASES, checkpoint_at
from ray_study.store import Store

SMALL = {"models/tiny/scratch/hidden_size": 32, "models/tiny/scratch/num_layers": 1}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path, SMALL)


def subject_of(lab: Lab) -> Subject:
    return at_work(lab, make_exams(lab))


def found(subject: Subject, name: str) -> Finding:
    (finding,) = look(subject, {name: CHECKS[name]})
    return finding


def choice(number: int, letter: str, *, options: str = "ABCD") -> Problem:
    prompt = f"Which, {number}?\n" + "\n".join(f"{option}. {number}{option}" for option in options)
    return Problem(id=f"q{number}", source="made", kind="choice", prompt=prompt, answer=letter, cluster="c", solution="")


def with_items(subject: Subject, items: Sequence[Problem]) -> Subject:
    return replace(subject, exams={"sums": list(items)})


def test_a_study_as_it_should_be_passes_and_what_it_has_nothing_of_is_not_applicable(lab: Lab) -> None:
    states = {finding.check: finding.state for finding in look(subject_of(lab))}
    assert list(states) == list(CHECKS)
    not_there = {"gold_letters", "protocol_differences", "judge_reachable", "sandbox_there"}
    stored = {"base_model_stops", "samples_received"}
    assert {name for name, state in states.items() if state == "not applicable"} == not_there
    assert {name for name, state in states.items() if state == "unknown"} == stored
    assert {name for name, state in states.items() if state == "pass"} == set(CHECKS) - not_there - stored


def test_gold_that_is_always_one_letter_fails_and_gold_as_chance_spreads_it_passes(lab: Lab) -> None:
    subject = subject_of(lab)
    fair = [choice(number, "ABCD"[number * 7 % 4]) for number in range(40)]
    assert found(with_items(subject, fair), "gold_letters") == Finding(
        check="gold_letters", state="pass", sentence="sums: A 10, B 10, C 10, D 10"
    )
    finding = found(with_items(subject, [choice(number, "D") for number in range(40)]), "gold_letters")
    assert (finding.state, finding.stops) == ("fail", False)
    assert "D 40" in finding.sentence


def test_items_with_fewer_options_are_expected_to_have_fewer_letters() -> None:
    two = [choice(number, "AB"[number % 2], options="AB") for number in range(200)]
    assert spread_by_chance(two) == 1.0
    assert spread_by_chance([*two, *(choice(1000 + number, "ABCD"[number % 4]) for number in range(40))]) > 0.99
    assert spread_by_chance([choice(number, "A" if number % 5 else "B", options="AB") for number in range(200)]) < 1e-9


def test_items_that_come_out_otherwise_in_another_process_stop_the_study(lab: Lab) -> None:
    subject = subject_of(lab)
    shuffled = replace(subject, sets={**subject.sets, "held_out": list(reversed(subject.sets["held_out"]))})
    finding = found(shuffled, "item_order")
    assert (finding.state, finding.stops) == ("fail", True)
    assert "problems 'held_out' come out otherwise in another process" in finding.sentence
    left_out = replace(subject, sets={**subject.sets, "held_out": subject.sets["held_out"][1:]})
    assert found(left_out, "item_order").state == "pass", "what was left out here may be there"


def test_an_exam_that_asks_the_same_twice_names_both_items(lab: Lab) -> None:
    subject = subject_of(lab)
    items = list(subject.exams["sums"])
    twice = [*items, replace(items[0], id="again", prompt=f"{items[0].prompt} ")]
    assert found(with_items(subject, twice), "duplicate_items").sentence == f"sums: 'again' asks what {items[0].id!r} asks"
    assert "stands twice" in found(with_items(subject, [*items, items[1]]), "duplicate_items").sentence


@pytest.mark.parametrize(("remove", "state"), [(True, "pass"), (False, "fail")])
def test_training_problems_inside_a_benchmark_are_counted_and_fail_where_they_stay(lab: Lab, remove: bool, state: str) -> None:
    subject = subject_of(lab)
    inside = [*subject.exams["sums"], *subject.sets["sums"][:3]]
    other = study({**SMALL, "datasets/cot/decontaminate": {"remove": remove}, "datasets/nocot/decontaminate": {"remove": True}})
    finding = found(replace(with_items(subject, inside), study=other), "contamination")
    assert finding.state == state
    assert "cot: 3 of 64 training problems stand in a benchmark (3 in sums)" in finding.sentence


def test_a_benchmark_that_is_asked_otherwise_than_is_taught_is_told(lab: Lab) -> None:
    directory = Path(base_directory(lab, "tiny"))
    subject = subject_of(lab)
    template = directory / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if enable_thinking is defined and add_generation_prompt %}<think>{% endif %}")
    rendering = replace(subject.renderings["tiny"], chat=Chat(directory))
    thinking = study({**SMALL, "evaluation/benchmarks/sums/thinking": True})
    finding = found(replace(subject, study=thinking, renderings={"tiny": rendering}), "prompts_equal")
    assert (finding.state, finding.stops) == ("fail", False)
    assert "sums asks tiny with thinking: true" in finding.sentence
    assert found(replace(subject, renderings={"tiny": rendering}), "prompts_equal").state == "pass"


def store_answers(lab: Lab, rows: Sequence[Attempt] | None = None, **more: Any) -> str:
    """The fingerprint of step 0's answers at the exam, stored as scoring stores them."""
    (exam,) = make_exams(lab)
    run = planned(lab.study)[0]
    start = checkpoint_at(base_directory(lab, "tiny"), run.id, step=0)
    lab.store.write_json(BASES, {each.id: {"fingerprint": start.fingerprint, "path": start.path} for each in planned(lab.study)})
    asked = subject_of(lab).renderings["tiny"].chat
    made = [replace(row, **more) for row in attempts(exam, ["\\boxed{7}"] * len(exam.items), asked_of=start.fingerprint)]
    hashes = {item.id: digest(asked.prompt(item.prompt).ids) for item in exam.items}
    answer(lab, exam, start, rows or [replace(row, prompt_hash=hashes[row.problem_id]) for row in made])
    return answers_mark(lab.study, "sums", start.fingerprint, "tiny")


def test_stored_answers_that_are_whole_and_a_base_model_that_stops_pass(lab: Lab) -> None:
    store_answers(lab)
    subject = subject_of(lab)
    assert {found(subject, name).state for name in ("samples_received", "base_model_stops", "prompts_equal")} == {"pass"}
    assert found(subject, "base_model_stops").sentence == "tiny: 16 of 16 answers at step 0 ended at a stop token"


def test_a_base_model_that_never_stops_is_told(lab: Lab) -> None:
    store_answers(lab, finish_reason="length")
    assert found(subject_of(lab), "base_model_stops") == Finding(
        check="base_model_stops", state="fail", sentence="tiny: 0 of 16 answers at step 0 ended at a stop token"
    )


def test_fewer_samples_than_were_asked_for_are_named(lab: Lab) -> None:
    mark = store_answers(lab)
    shard = next(Path(lab.store.path(f"answers-{mark}/rows")).glob("*.parquet"))
    kept = tables.read(shard, Attempt)[1:]
    tables.write(kept, shard, Attempt)
    finding = found(subject_of(lab), "samples_received")
    assert finding.state == "fail"
    assert f"sums at step 0 of {planned(lab.study)[0].name}: 15 of 16 items, asked 1 times each; delete answers-{mark}" in finding.sentence


def test_answers_that_were_asked_with_other_prompts_stop_the_study(lab: Lab) -> None:
    (exam,) = make_exams(lab)
    store_answers(lab, attempts(exam, ["\\boxed{7}"] * len(exam.items), asked_of="x"))
    finding = found(subject_of(lab), "prompts_equal")
    assert (finding.state, finding.stops) == ("fail", True)
    assert "was asked of tiny with other token ids than it would be now" in finding.sentence


@pytest.mark.parametrize(("long", "stops"), [(1, False), (16, True)])
def test_items_without_room_for_an_answer_are_told_and_stop_the_study_where_none_has_any(lab: Lab, long: int, stops: bool) -> None:
    subject = subject_of(lab)
    items = [replace(item, prompt="1 + " * 100) if number < long else item for number, item in enumerate(subject.exams["sums"])]
    finding = found(with_items(subject, items), "items_over_context")
    assert (finding.state, finding.stops) == ("fail", stops)
    assert f"sums: {long} of 16 items as tiny" in finding.sentence
    assert "256 positions: no room for an answer" in finding.sentence


def test_an_end_that_the_server_does_not_know_stops_the_study(lab: Lab) -> None:
    subject = subject_of(lab)
    path = subject.renderings["tiny"].directory / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [0]}))
    finding = found(subject, "chat_template_and_end")
    assert (finding.state, finding.stops) == ("fail", True)
    assert "tiny: training closes a response with the token 2, which ends nothing" in finding.sentence


def test_a_model_without_a_chat_template_is_named(lab: Lab) -> None:
    directory = Path(base_directory(lab, "tiny"))
    (directory / "chat_template.jinja").unlink()
    finding = found(subject_of(lab), "stop_tokens")
    assert (finding.state, finding.stops) == ("fail", True)
    assert "model 'tiny': the tokenizer in" in finding.sentence


def test_what_needs_a_judge_or_a_sandbox_is_looked_for_where_a_benchmark_has_such_items(lab: Lab) -> None:
    subject = subject_of(lab)

    def absent(subject: Subject, benchmarks: Sequence[str]) -> Looked:
        return Looked(faults=[f"{name}: the judge at {subject.study.name} does not answer" for name in benchmarks])

    def look_for(probes: Mapping[str, Outside]) -> Finding:
        return outside._there(subject, "judge", probes)

    def needed(benchmark: Benchmark, items: Sequence[Problem]) -> bool:
        return all(item.kind == "number" for item in items)

    assert look_for({"judge": Outside(needed=needed, probe=absent)}).sentence == "sums: the judge at small does not answer"
    assert look_for({"judge": Outside(needed=needed, probe=absent)}).stops
    assert look_for({"judge": Outside(needed=needed, probe=lambda subject, benchmarks: Looked())}).state == "pass"
    half = look_for({"judge": Outside(needed=needed, probe=lambda subject, benchmarks: Looked(unseen=["the key"]))})
    assert (half.state, half.sentence) == ("pass", "the judge of sums is there; not looked at: the key")
    none = look_for({"judge": Outside(needed=needed, probe=lambda subject, benchmarks: Looked(unseen=["the key"], seen=False))})
    assert (none.state, none.sentence) == ("unknown", "not looked at: the key")
    assert look_for({"judge": Outside(needed=lambda benchmark, items: False, probe=absent)}).state == "not applicable"


def test_a_judge_elsewhere_that_does_not_answer_or_whose_key_is_not_set_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    # Port 9 (discard) of this machine: nothing listens there.
    endpoint = {"url": "http://127.0.0.1:9/v1", "model": "judge"}
    benchmark = {"problems": "held_out", "group": "safety"}
    judged = study(
        {
            "judges": {
                "deaf": {"endpoint": endpoint, "rubric": "policy"},
                "locked": {"endpoint": {**endpoint, "key_from": "NO_SUCH_KEY"}, "rubric": "policy"},
            },
            "evaluation/benchmarks": {"sums": {**benchmark, "judge": "deaf"}, "more": {**benchmark, "judge": "locked"}},
        }
    )
    finding = outside.judge_reachable(replace(subject_of(lab), study=judged, exams={"sums": (), "more": ()}))
    assert finding.state == "fail"
    assert finding.stops
    assert "judge deaf: 127.0.0.1 does not answer" in finding.sentence
    assert "judge locked: endpoint.key_from names NO_SUCH_KEY, which is not set" in finding.sentence


def judged_by(judge: Mapping[str, object], models: Mapping[str, object] | None = None) -> Study:
    """The small study with one judge, whose harmful requests are the sums."""
    benchmark = {"problems": "held_out", "group": "safety", "judge": "policy"}
    more = {f"models/{name}": model for name, model in (models or {}).items()}
    return study({**SMALL, **more, "judges": {"policy": {"rubric": "policy", **judge}}, "evaluation/benchmarks": {"sums": benchmark}})


def models_of(*names: str, key: str = "") -> Callable[[str, Mapping[str, str]], Said]:
    """A server's list of its models, for whoever has the key."""

    def told(path: str, headers: Mapping[str, str]) -> Said:
        if key and headers.get("Authorization") != f"Bearer {key}":
            return Said(status=401, body={"error": {"message": f"wrong key {headers.get('Authorization')}"}})
        if path.endswith("/models/an-alias"):
            return Said(body={"id": "its-real-name"})
        return Said(body={"object": "list", "data": [{"id": name} for name in names]}) if path.endswith("/models") else Said(status=404)

    return told


def looked_at(lab: Lab, told: Callable[[str, Mapping[str, str]], Said], **endpoint: object) -> Finding:
    with serving(lambda *_: Said(status=500), told) as server:
        judged = judged_by({"endpoint": {"url": server.url, "model": "judge-1", **endpoint}})
        finding = found(replace(subject_of(lab), study=judged), "judge_reachable")
        assert server.asked == [], "a check asks nothing that costs"
    return finding


def test_a_judges_server_is_asked_whether_it_takes_the_key_and_has_the_model(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "right-key-of-the-test")
    locked = models_of("judge-1", key="right-key-of-the-test")
    assert looked_at(lab, locked, key_from="JUDGE_KEY").sentence == "the judge of sums is there"
    for name in ("models/judge-1", "judge-1:latest"):
        assert looked_at(lab, models_of(name)).state == "pass"
    assert looked_at(lab, models_of("other"), model="an-alias").state == "pass"
    monkeypatch.setenv("JUDGE_KEY", "wrong-key-of-the-test")
    refused = looked_at(lab, locked, key_from="JUDGE_KEY")
    assert (refused.state, refused.stops) == ("fail", True)
    assert "judge policy: http://127.0.0.1" in refused.sentence
    assert "with status 401 when it was asked for its models: the key in JUDGE_KEY is not accepted" in refused.sentence
    assert "key-of-the-test" not in refused.sentence
    assert "name the environment variable that holds a key" in looked_at(lab, locked).sentence
    misspelt = looked_at(lab, models_of("judge-10", "another", "a-third", "a-fourth"), model="juge-10")
    assert (misspelt.state, misspelt.stops) == ("fail", False), "some servers take any name, and some do not list all that they have"
    assert (
        "does not list the model 'juge-10'; the nearest that it has is 'judge-10'; mend judges.policy.endpoint.model" in misspelt.sentence
    )
    unlike = looked_at(lab, models_of("xx", "yy", "zz", "ww"), model="judge-1")
    assert "it has 'xx', 'yy', 'zz' and 1 more" in unlike.sentence


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Said(status=404, body={}), "it has no list of models"),
        (Said(body={"data": []}), "it has no list of models"),
        (Said(raw=b"<html>"), "it has no list of models"),
        (Said(status=403, body={}), "it answered with status 403"),
        (Said(status=503, body={}), "it answered with status 503"),
        (Said(status=307, headers={"Location": "http://127.0.0.1:9/"}, body={}), "it answered with status 307"),
    ],
    ids=["404", "empty", "no JSON", "403", "503", "elsewhere"],
)
def test_a_judges_server_without_a_list_of_models_is_there_and_what_was_not_looked_at_is_said(lab: Lab, said: Said, why: str) -> None:
    finding = looked_at(lab, lambda path, headers: said)
    assert finding.state == "pass"
    assert finding.sentence.startswith("the judge of sums is there; not looked at: judge policy: whether http://127.0.0.1:")
    assert finding.sentence.endswith(f"takes the key and has the model 'judge-1' ({why})")


def test_a_judge_that_is_served_is_prepared_and_one_that_cannot_be_is_named_before_anything_is_asked(lab: Lab, tmp_path: Path) -> None:
    def finding(model: Mapping[str, object], **more: object) -> Finding:
        judged = replace(lab, study=judged_by({"model": "grader", **more}, {"grader": model}))
        return found(at_work(judged, make_exams(judged)), "judge_reachable")

    scratch = {"scratch": {"hidden_size": 32, "num_layers": 1, "num_heads": 1, "positions": 512}, "dtype": "float32"}
    assert finding(scratch) == Finding(check="judge_reachable", state="pass", sentence="the judge of sums is there")
    assert list(lab.cache.glob("models/grader-*/manifest.json")), "it was not prepared"
    (tmp_path / "empty").mkdir()
    bad = finding({"path": str(tmp_path / "empty")})
    assert (bad.state, bad.stops) == ("fail", True)
    assert f"judge policy: its model 'grader' cannot be served: path {tmp_path / 'empty'} has no config.json" in bad.sentence
    assert "a reward model comes from `hub` or `path`" in finding(scratch, rubric="reward").sentence
    (directory,) = lab.cache.glob("models/grader-*/chat_template.jinja")
    directory.unlink()
    assert "its model 'grader' cannot be served: the tokenizer in" in finding(scratch).sentence
    assert finding(scratch, rubric="truthful_completion").state == "pass", "who completes texts needs no template"


def test_the_verb_says_of_a_judge_that_is_not_on_this_machine_that_it_did_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path / "cache"))
    judged = judged_by({"model": "grader"}, {"grader": {"hub": "Qwen/Qwen3-32B"}})
    finding = found(as_it_is(judged, Store(str(tmp_path), "small"), lambda line: None), "judge_reachable")
    assert finding.state == "unknown"
    assert finding.sentence.startswith(
        "not looked at: judge policy: its model 'grader' is not prepared on this machine yet; `run` does that"
    )


def test_a_judge_of_the_hub_that_is_misspelt_gated_or_no_model_stops_a_run_and_its_weights_are_not_fetched_yet(tmp_path: Path) -> None:
    whole = {"main": {"config.json": b"{}", "model.safetensors": b"weights"}}
    repositories = {
        "owner/judge": Repository(revisions=whole),
        "owner/gated": Repository(revisions=whole, refused="gated"),
        "owner/data": Repository(revisions={"main": {"train.parquet": b""}}),
    }
    names = ["owner/judge", "owner/juge", "owner/gated", "owner/data"]
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "HF_HOME": str(tmp_path / "home")}
    with ExitStack() as closing:
        serving_hub = closing.enter_context(ExitStack())
        running = serving_hub.enter_context(hub(repositories))
        environment = {**os.environ, **quiet, **paths, "HF_ENDPOINT": running.url}
        command = [sys.executable, "-m", "judge_hub_driver", str(tmp_path)]
        looking = closing.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
        )
        assert looking.stdin is not None
        assert looking.stdout is not None

        def said_of(name: str) -> list[Any]:
            print(name, file=looking.stdin, flush=True)
            # Libraries say something as they load.
            return next(list(json.loads(line)) for line in looking.stdout if line.startswith('["'))

        said = {name: said_of(name) for name in names}
        fetched = [file.rpartition("/")[2] for file in running.fetched]
        serving_hub.close()
        assert said_of("owner/judge") == said["owner/judge"], "its config is on this machine"
        away = said_of("owner/another")
    assert said["owner/judge"] == ["pass", False, "the judge of sums is there"]
    refused = [said[name] for name in names[1:]]
    assert {(state, stops) for state, stops, _ in refused} == {("fail", True)}
    assert all("judge policy: its model 'grader' cannot be served: model owner/" in why for _, _, why in refused)
    assert "is not on the Hub, or is private to you; check owner, name" in said["owner/juge"][2]
    assert "is gated: accept its licence on the Hub" in said["owner/gated"][2]
    assert "has no config.json: expected a model in Hugging Face layout" in said["owner/data"][2]
    assert "model owner/another@main could not be fetched (LocalEntryNotFoundError): no connection to the Hub" in away[2]
    assert fetched == ["config.json"]


def test_a_study_that_would_spend_for_nothing_does_not_begin_and_other_faults_are_told(lab: Lab) -> None:
    told: list[str] = []
    (exam,) = make_exams(lab)
    telling = replace(lab, progress=told.append)
    twice = replace(exam, items=(*exam.items, replace(exam.items[0], id="again")))
    before_spending(telling, [twice], scores=True)
    judges_are_there(telling, [twice])
    assert [line for line in told if line.startswith("check ")] == [
        f"check duplicate_items: fail: sums: 'again' asks what {exam.items[0].id!r} asks"
    ]
    assert told[-1].startswith("checks: ")
    hopeless = replace(exam, items=tuple(replace(item, prompt=f"{item.id} " * 200) for item in exam.items))
    with pytest.raises(ValueError, match=r"^check items_over_context: fail: sums: 16 of 16 items as tiny"):
        before_spending(telling, [hopeless], scores=True)
    deaf = judged_by({"endpoint": {"url": "http://127.0.0.1:9/v1", "model": "m"}})
    deaf_exams = make_exams(replace(lab, study=deaf))
    before_spending(replace(telling, study=deaf), deaf_exams, scores=False)
    for begins in (partial(before_spending, scores=True), judges_are_there):
        with pytest.raises(ValueError, match=r"check judge_reachable: fail: judge policy: 127\.0\.0\.1 does not answer"):
            begins(replace(telling, study=deaf), deaf_exams)


def test_the_verb_names_every_check_in_seconds_and_writes_nothing_into_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(tmp_path / "results"))
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path / "cache"))
    assert main(["check", str(sweep_file(tmp_path, SMALL)), "--quiet"]) == 0
    assert main(["check", str(sweep_file(tmp_path, SMALL))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:-1]] == [f"check {name}" for name in CHECKS]
    assert lines[0] == lines[-1]
    assert not (tmp_path / "results").exists()


def test_the_verb_renders_prompts_without_loading_a_heavy_library(tmp_path: Path) -> None:
    made = study(SMALL)
    prepare(made.models["tiny"], "tiny", tmp_path / "cache")
    program = (
        "import json, sys; from ray_study.__main__ import main; code = main(['check', sys.argv[1]]); "
        "heavy = {'torch', 'transformers', 'ray', 'vllm', 'mlflow', 'datasets', 'polars', 'scipy'}; "
        "print(json.dumps([code, sorted(heavy & set(sys.modules))]))"
    )
    places = {"RAY_STUDY_STORAGE": str(tmp_path / "results"), "RAY_STUDY_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program, str(sweep_file(tmp_path, SMALL))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **places}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *told, last = done.stdout.splitlines()
    assert "check prompts_equal: pass: 4 prompts have the same token ids in training and in evaluation" in told
    assert json.loads(last) == [0, []]


def test_what_is_not_on_this_machine_is_unknown_with_the_reason(tmp_path: Path) -> None:
    changes = {
        "models/tiny": {"hub": "Qwen/Qwen3-0.6B-Base"},
        "problems/held_out": {"source": "openr1_math"},
        "problems/sums": {"source": "openr1_math", "num_problems": 64},
    }
    made = study(changes)
    subject = as_it_is(made, Store(str(tmp_path), "small"), lambda line: None)
    findings = {finding.check: finding for finding in look(subject)}
    assert {finding.state for finding in findings.values()} <= {"unknown", "not applicable"}
    assert "model 'tiny': not prepared on this machine yet" in findings["stop_tokens"].sentence


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10])
def test_chance_is_computed_as_scipy_computes_it(freedom: int) -> None:
    for distance in (0.0, 0.01, 1.0, 3.84, 20.0, 400.0):
        assert beyond(distance, freedom) == pytest.approx(float(special.chdtrc(freedom, distance)), rel=1e-10, abs=1e-300)
