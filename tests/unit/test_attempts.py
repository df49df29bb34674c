"""A teacher's attempts in the store: rounds, seeds, what is asked again after a kill, and where a key is not."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Said, completion, serving
from studies import study

from ray_study import tables
from ray_study.attempts import grade_attempts, make_attempts
from ray_study.engines import Engines
from ray_study.generate import EndpointUnavailable, driving
from ray_study.materials import Lab
from ray_study.problems import load
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, GradedAttempt
from ray_study.store import Result, Store

KEY = "test-key-0123456789"
PROBLEMS = {problem.prompt: problem for problem in load("arithmetic", num_problems=12, seed=0, options={"digits": 2})}
PLACE = {prompt: place for place, prompt in enumerate(PROBLEMS)}


def lab(directory: Path, said: list[str] | None = None, **teacher: Any) -> Lab:
    """A lab of the small study with one teacher of twelve problems; nothing is opened."""
    changes: dict[str, Any] = {"problems/sums/num_problems": 12, "teachers/one": teacher, "datasets/cot/teacher": "one"}
    changes["resources"] = {"generate": {"prefix_caching": False, "kv_cache_megabytes": 16, "max_num_seqs": 16}}
    tell = [] if said is None else said
    engines = Engines(tell.append, shard_size=4, owner="tests")
    return Lab(study=study(changes), store=Store(str(directory), "small"), engines=engines, cache=directory / "cache", progress=tell.append)


def by_server(server: ChatServer, **changes: Any) -> dict[str, Any]:
    endpoint = {"url": server.url, "model": "m", "requests_at_once": 4, **changes.pop("endpoint", {})}
    return {"by": "endpoint", "endpoint": endpoint, "sampling": {"max_tokens": 64}, "shard_size": 4, **changes}


def make(lab: Lab) -> Result:
    return make_attempts(lab, "sums", "one")


def right(body: dict[str, Any]) -> str:
    return PROBLEMS[body["messages"][-1]["content"]].solution


def by_place(body: dict[str, Any], _: int = 0) -> Said:
    """Right at once for a third of the problems, never for a third, and for a third as its seed will have it: a function of the request."""
    place = PLACE[body["messages"][-1]["content"]] % 3
    is_right = place == 0 or (place == 2 and body["seed"] % 2 == 0)
    return Said(body=completion(right(body) if is_right else "I do not know"))


def pairs(result: Result) -> dict[tuple[str, int], int]:
    return {(row.problem_id, row.sample): row.seed for row in result.rows(Attempt)}


def test_a_problem_is_asked_in_rounds_until_it_has_a_correct_attempt(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(by_place) as server:
        place = lab(tmp_path, said, **by_server(server, num_attempts=2, until_correct=1, at_most=5))
        made = make(place)
    graded = grade_attempts(place, "sums", "one").rows(GradedAttempt)
    asked, correct = Counter(row.problem_id for row in graded), {row.problem_id for row in graded if row.verdict == "correct"}
    for prompt, problem in PROBLEMS.items():
        if PLACE[prompt] % 3 == 0:
            assert asked[problem.id] == 2, "one round was enough"
        elif PLACE[prompt] % 3 == 1:
            assert asked[problem.id] == 5, "as many as there may be"
        else:
            assert problem.id in correct or asked[problem.id] == 5
        samples = sorted(row.sample for row in graded if row.problem_id == problem.id)
        assert samples == list(range(asked[problem.id]))
    record = made.record
    assert record["num_saved"] == 5 * 12 - len(graded) == 5 * 12 - len(server.asked)
    assert record["rounds"][0] == {"num_problems": 12, "num_attempts": 24}
    assert sum(each["num_attempts"] for each in record["rounds"]) == len(graded) == record["num_rows"]
    assert record["num_enough"] == len(correct)
    assert any(f"{record['num_saved']} of at most 60 saved" in line for line in said)
    assert any(re.search(r"attempts, [\d,]+ tokens/s, \d+% correct so far", line) for line in said)


def test_the_same_attempt_is_the_same_request_whatever_else_is_asked_and_how_it_is_cut(tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [
        {"num_attempts": 4},
        {"num_attempts": 4, "shard_size": 1},
        {"num_attempts": 1, "until_correct": 1, "at_most": 4, "endpoint": {"requests_at_once": 1, "timeout_seconds": 9}},
        {"num_attempts": 2, "until_correct": 2, "at_most": 3, "shard_size": 7},
    ]
    found = []
    for number, way in enumerate(ways):
        with serving(by_place) as server:
            found.append(pairs(make(lab(tmp_path / str(number), **by_server(server, **way)))))
    assert found[0] == found[1]
    for other in found[2:]:
        assert other.items() <= found[0].items()
    assert len(set(found[0].values())) == len(found[0]) == 48


def test_another_study_seed_or_teacher_asks_with_other_seeds(tmp_path: Path) -> None:
    with serving(by_place) as server:
        first = pairs(make(lab(tmp_path / "1", **by_server(server))))
        other = pairs(make(lab(tmp_path / "2", **by_server(server, endpoint={"model": "another"}))))
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


def test_where_a_server_stands_and_how_it_is_asked_identifies_nothing(tmp_path: Path) -> None:
    with serving(by_place) as one:
        first = make(lab(tmp_path, **by_server(one)))
    with serving(by_place) as other:
        again = make(lab(tmp_path, **by_server(other, shard_size=3, endpoint={"requests_at_once": 2, "timeout_seconds": 5})))
    assert (again.path, again.made) == (first.path, first.made)
    assert other.asked == []


def test_what_a_stage_that_failed_had_made_whole_is_not_asked_again(tmp_path: Path) -> None:
    def fails(body: dict[str, Any], before: int) -> Said:
        return Said(status=404, body={"error": {"message": "gone"}}) if before >= 30 else by_place(body)

    how = {"num_attempts": 2, "until_correct": 1, "at_most": 6}
    with serving(fails) as server, pytest.raises((ValueError, EndpointUnavailable)):
        make(lab(tmp_path, **by_server(server, endpoint={"requests_at_once": 1}, **how)))
    (unfinished,) = tmp_path.glob("small/attempts-*")
    whole = {path.name: path.stat().st_mtime_ns for path in unfinished.glob("rows/*.parquet")}
    kept = {row.seed for row in tables.read(unfinished / "rows", Attempt)}
    assert 24 <= len(kept) <= 30, "the second round had begun"
    with serving(by_place) as server:
        result = make(lab(tmp_path, **by_server(server, **how)))
        elsewhere = make(lab(tmp_path / "undisturbed", **by_server(server, **how)))
    again = [body["seed"] for body in server.asked]
    assert not kept & set(again[: result.record["num_rows"] - len(kept)])
    assert {path.name: path.stat().st_mtime_ns for path in unfinished.glob("rows/*.parquet") if path.name in whole} == whole
    assert pairs(result) == pairs(elsewhere)
    assert {key: result.record[key] for key in ("num_rows", "num_saved", "rounds", "verdicts", "num_tokens")} == {
        key: elsewhere.record[key] for key in ("num_rows", "num_saved", "rounds", "verdicts", "num_tokens")
    }


def test_answers_that_were_written_but_not_judged_are_judged_and_not_asked_again(tmp_path: Path) -> None:
    how = {"num_attempts": 1, "until_correct": 1, "at_most": 3}
    with serving(by_place) as server:
        first = make(lab(tmp_path, **by_server(server, **how)))
        before = len(server.asked)
        (Path(first.path) / "record.json").unlink()
        sorted((Path(first.path) / "facts").iterdir())[0].unlink()
        again = make(lab(tmp_path, **by_server(server, **how)))
    assert len(server.asked) == before
    assert again.record["rounds"] == first.record["rounds"]


def test_shards_of_another_cut_are_not_among_the_rows(tmp_path: Path) -> None:
    with (
        serving(lambda body, before: by_place(body) if before < 6 else Said(status=404, body={})) as server,
        pytest.raises(ValueError, match="status 404"),
    ):
        make(lab(tmp_path, **by_server(server, shard_size=2, endpoint={"requests_at_once": 1})))
    with serving(by_place) as server:
        made = make(lab(tmp_path, **by_server(server, shard_size=5)))
    assert len(made.rows(Attempt)) == made.record["num_rows"] == 12
    assert len(pairs(made)) == 12


def test_a_refused_prompt_is_a_row_with_its_reason_and_is_not_asked_in_every_round(tmp_path: Path) -> None:
    long = next(iter(PROBLEMS))

    def answer(body: dict[str, Any], _: int) -> Said:
        if body["messages"][-1]["content"] == long:
            return Said(status=400, body={"error": {"message": "too long"}})
        return by_place(body)

    with serving(answer) as server:
        made = make(lab(tmp_path, **by_server(server, num_attempts=1, until_correct=1, at_most=4)))
    (refused,) = [row for row in made.rows(Attempt) if row.finish_reason == "refused"]
    assert "too long" in refused.explanation
    assert made.record["num_refused"] == 1


def test_the_key_of_a_server_is_in_its_header_and_nowhere_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEACHER_KEY", f"{KEY}\n")
    said: list[str] = []
    busy = Said(status=429, body={"error": {"message": f"{KEY} is over its limit"}}, headers={"Retry-After": "0"})
    with serving(lambda body, before: busy if before == 0 else by_place(body)) as server:
        make(lab(tmp_path, said, **by_server(server, endpoint={"key_from": "TEACHER_KEY"})))
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text + str(said)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    record = next(tmp_path.glob("small/attempts-*/record.json")).read_text()
    assert json.loads(record)["endpoint"] == {"url": server.url, "model": "m"}


def test_a_key_that_is_not_set_is_named_when_the_teacher_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with serving(by_place) as server, pytest.raises(ValueError, match="TEACHER_KEY, which is not set here; export TEACHER_KEY"):
        make(lab(tmp_path, **by_server(server, endpoint={"key_from": "TEACHER_KEY"})))
    assert server.asked == []


def test_a_solvers_solutions_are_written_in_shards(tmp_path: Path) -> None:
    changes = {"problems/sums/num_problems": 10_005, "problems/sums/options/digits": 4, "teachers/one": {"by": "solver"}}
    place = replace(lab(tmp_path, by="solver"), study=study({**changes, "datasets/cot/teacher": "one"}))
    made = make(place)
    assert [len(tables.read(path, Attempt)) for path in sorted(Path(made.path).glob("rows/*.parquet"))] == [10_000, 5]
    assert made.record["num_rows"] == 10_005


def test_recorded_attempts_find_their_problems_and_the_record_counts_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    rows = [{"question": prompt, "response": problem.solution} for prompt, problem in list(PROBLEMS.items())[:5]]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"question": "Who?", "response": "Me"}]))
    place = lab(tmp_path, by="recorded", recorded={"read": "jsonl", "name": str(path)})
    made = make(place)
    assert [row.text for row in made.rows(Attempt)] == [row["response"] for row in rows]
    counts = {key: value for key, value in made.record.items() if "matched" in key}
    assert counts == {"num_matched_rows": 5, "num_unmatched_rows": 1, "num_matched_problems": 5, "num_unmatched_problems": 7}
    assert {row.verdict for row in grade_attempts(place, "sums", "one").rows(GradedAttempt)} == {"correct"}
    path.write_text(json.dumps(rows[0]))
    assert make(place).record["num_rows"] == 1, "another content is another recording"


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def asked_in_rounds(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> Iterator[tuple[Lab, Result, set[tuple[int, ...]]]]:
    """A real engine with a tiny model that knows nothing: three rounds over all problems."""
    place = lab(
        tmp_path_factory.mktemp("rounds"), told, by="vllm", model="tiny", num_attempts=1, until_correct=1, at_most=3,
        sampling={"max_tokens": 4}, shard_size=4, prompt_template="Think before you add.\n{prompt}",
    )  # fmt: skip
    processes: set[tuple[int, ...]] = set()
    with ExitStack() as stack:
        stack.enter_context(connect(num_cpus=3, num_gpus=0))
        stack.callback(place.engines.close)
        seen = place.progress

        def look(line: str) -> None:
            seen(line)
            for pool in place.engines.pools:
                processes.add(pool.handle.replicas.processes.remote().result())

        yield place, make(replace(place, progress=look)), processes


@pytest.mark.slow
def test_three_adaptive_rounds_start_one_engine(asked_in_rounds: tuple[Lab, Result, set[tuple[int, ...]]], told: list[str]) -> None:
    _, made, processes = asked_in_rounds
    assert [each["num_attempts"] for each in made.record["rounds"]] == [12, 12, 12]
    assert told.count("starting an inference engine") == 1
    assert len(processes) == 1, "another process answered a later round"
    assert made.record["num_saved"] == 0


@pytest.mark.slow
def test_a_pools_attempts_are_seeded_by_problem_and_number_and_say_what_measured_them(
    asked_in_rounds: tuple[Lab, Result, set[tuple[int, ...]]],
) -> None:
    place, made, _ = asked_in_rounds
    rows = made.rows(Attempt)
    assert len(pairs(made)) == len({row.seed for row in rows}) == len(rows) == 36
    assert all(0 < row.num_tokens <= 4 for row in rows)
    (conditions,) = made.record["conditions"]
    assert json.loads(conditions)["prefix_caching"] is False
    assert made.record["num_tokens"] == sum(row.num_tokens for row in rows)
    whole = driving.done(made.path)
    assert len(whole) == len(list(Path(made.path).glob("rows/*.parquet"))) == 9
    assert len(grade_attempts(place, "sums", "one").rows(GradedAttempt)) == 36
