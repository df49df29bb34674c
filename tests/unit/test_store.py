from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ray_study.rows import Example
from ray_study.store import Result, Store, Workspace, fingerprint, outside


def example(name: str) -> Example:
    return Example(problem_id=name, prompt="p", response="r", num_tokens=1)


def build(workspace: Workspace) -> Mapping[str, object]:
    for name in ("a", "b", "c"):
        if name not in workspace.shards():
            workspace.write(name, [example(name)], Example)
    return {"num_rows": 3}


def never(workspace: Workspace) -> Mapping[str, object]:
    raise AssertionError(f"made again: {workspace.path}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path), "study")


def names(store: Store) -> list[str]:
    return sorted(path.name for path in Path(store.root).iterdir())


def test_a_result_is_made_once(store: Store) -> None:
    made = store.make("dataset", {"x": 1}, build)
    found = Store(str(Path(store.root).parent), "study").make("dataset", {"x": 1}, never)
    assert found.path == made.path
    assert found.made == made.made
    assert [row.problem_id for row in found.rows(Example)] == ["a", "b", "c"]


def test_the_record_says_what_made_the_result_and_with_what(store: Store) -> None:
    made = store.make("dataset", {"x": 1}, build, version=3)
    record = json.loads((Path(made.path) / "record.json").read_text())
    assert record["inputs"] == {"x": 1}
    assert record["version"] == 3
    assert record["num_rows"] == 3
    assert record["stage"] == "dataset"
    assert record["seconds"] >= 0
    assert record["packages"]["ray"]
    assert "git_commit" in record
    assert Path(made.path).name == f"dataset-{fingerprint('dataset', 3, {'x': 1})}"


def test_nothing_of_the_environment_is_in_a_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "a-very-secret-value")
    made = store.make("dataset", {"x": 1}, build)
    assert b"a-very-secret-value" not in (Path(made.path) / "record.json").read_bytes()


def test_other_inputs_stage_or_version_are_another_result(store: Store) -> None:
    made = [
        store.make("dataset", {"x": 1}, build),
        store.make("dataset", {"x": 2}, build),
        store.make("dataset", {"x": 1}, build, version=2),
        store.make("verdicts", {"x": 1}, build),
    ]
    assert len({result.path for result in made}) == 4


def test_the_order_of_inputs_identifies_nothing() -> None:
    assert fingerprint("s", 1, {"a": 1, "b": 2}) == fingerprint("s", 1, {"b": 2, "a": 1})


def test_the_record_is_written_last_so_a_failed_making_is_not_a_result(store: Store) -> None:
    def fails(workspace: Workspace) -> Mapping[str, object]:
        workspace.write("a", [example("first")], Example)
        assert not (Path(workspace.path) / "record.json").exists()
        raise RuntimeError("the accelerator is gone")

    with pytest.raises(RuntimeError, match="accelerator"):
        store.make("dataset", {"x": 1}, fails)
    assert store.find("dataset", fingerprint("dataset", 1, {"x": 1})) is None


def test_an_unfinished_directory_keeps_its_whole_shards(store: Store) -> None:
    workspace = store.workspace("dataset", fingerprint("dataset", 1, {"x": 1}))
    workspace.write("a", [example("kept")], Example)
    made = store.make("dataset", {"x": 1}, build)
    assert [row.problem_id for row in made.rows(Example)] == ["kept", "b", "c"]


def test_a_killed_driver_leaves_whole_shards_and_no_result(tmp_path: Path) -> None:
    program = f"""
import time
from ray_study.rows import Example
from ray_study.store import Store
def build(workspace):
    workspace.write("a", [Example(problem_id="kept", prompt="p", response="r", num_tokens=1)], Example)
    print("written", flush=True)
    time.sleep(60)
Store({str(tmp_path)!r}, "study").make("dataset", {{"x": 1}}, build)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = Store(str(tmp_path), "study")
    assert store.find("dataset", fingerprint("dataset", 1, {"x": 1})) is None
    assert [row.problem_id for row in store.make("dataset", {"x": 1}, build).rows(Example)] == ["kept", "b", "c"]


def test_a_record_of_another_format_is_refused_with_the_mend_and_nothing_is_deleted(store: Store) -> None:
    made = store.make("dataset", {"x": 1}, build)
    record = Path(made.path) / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format": 99}))
    before = sorted(Path(made.path).rglob("*"))
    with pytest.raises(
        ValueError, match=r"record\.json has format 99, this version reads 2: use the version .* or give the study another `storage`"
    ):
        store.make("dataset", {"x": 1}, never)
    assert sorted(Path(made.path).rglob("*")) == before


def test_a_source_that_is_made_again_remakes_what_follows_and_loses_nothing(store: Store) -> None:
    first = store.make("attempts", {"x": 1}, build)
    old = store.make("dataset", {"y": 1}, build, sources=[first])
    assert store.make("dataset", {"y": 1}, never, sources=[first]).made == old.made
    Path(first.path).rename(first.path + "-gone")
    again = store.make("attempts", {"x": 1}, build)
    assert store.find("dataset", old.fingerprint, [again]) is None
    new = store.make("dataset", {"y": 1}, build, sources=[again])
    assert (new.path, new.fingerprint) == (old.path, old.fingerprint)
    assert new.made != old.made
    aside = [name for name in names(store) if ".stale-" in name]
    assert len(aside) == 1
    assert json.loads((Path(store.root) / aside[0] / "record.json").read_text())["made"] == old.made
    assert store.directories("dataset") == [Path(new.path).name]


def test_a_source_outside_the_store_remakes_what_follows_when_its_mark_changes(store: Store) -> None:
    store.make("dataset", {"y": 1}, build, sources=[outside("rows.jsonl", "hash one")])
    store.make("dataset", {"y": 1}, never, sources=[outside("rows.jsonl", "hash one")])
    with pytest.raises(AssertionError, match="made again"):
        store.make("dataset", {"y": 1}, never, sources=[outside("rows.jsonl", "hash two")])


def test_shards_of_older_sources_are_not_mixed_with_new_ones(store: Store) -> None:
    def source(made: str) -> Result:
        return Result(stage="problems", path="", fingerprint="f", made=made, record={})

    mark = fingerprint("dataset", 1, {"y": 1})
    store.workspace("dataset", mark, [source("monday")]).write("a", [example("old")], Example)
    made = store.make("dataset", {"y": 1}, build, sources=[source("tuesday")])
    assert [row.problem_id for row in made.rows(Example)] == ["a", "b", "c"]


def test_looking_writes_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "new"), "study")
    assert store.find("dataset", "0" * 16) is None
    assert store.directories("dataset") == []
    assert store.read_json("bases.json") is None
    assert not (tmp_path / "new").exists()


def test_a_relative_storage_stays_where_it_was_when_the_directory_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("results", "study")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Path(store.make("dataset", {}, build).path).is_relative_to(tmp_path / "results")


def test_a_json_file_is_replaced_whole_while_another_process_reads_it(store: Store) -> None:
    store.write_json("state.json", {"value": "x" * 100_000})
    program = f"""
from ray_study.store import Store
store = Store({str(Path(store.root).parent)!r}, "study")
print("ready", flush=True)
import itertools
for number in itertools.count():
    store.write_json("state.json", {{"value": str(number % 10) * 100_000}})
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            assert len(store.read_json("state.json")["value"]) == 100_000
    finally:
        process.kill()
        process.communicate()
