from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ray_study.claims import DEAD_AFTER_SECONDS, claim, describe, is_alive
from ray_study.rows import Example
from ray_study.store import ClaimLost, Store

HOLDER = """
import sys, time
from ray_study.claims import claim
from ray_study.store import Store
with claim(Store(sys.argv[1], "study"), *sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path), "study")


def holder(store: Store, *roles: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(Path(store.root).parent), *roles]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def claim_of(store: Store, role: str) -> dict[str, object]:
    return dict(store.read_json(f"claims/{role}.json"))


def test_a_second_driver_is_refused_with_the_name_of_the_first_until_that_is_killed(store: Store) -> None:
    first = holder(store, "train", "evaluate")
    try:
        with pytest.raises(ValueError, match=rf"another driver \(process {first.pid} on .*has the role 'train'"), claim(store, "train"):
            pass
        assert len(describe(store)) == 2
        assert str(first.pid) in describe(store)[0]
    finally:
        end(first)
    assert describe(store) == []
    with claim(store, "train", "evaluate"):
        assert claim_of(store, "train")["process"] == os.getpid()


def test_roles_are_claimed_apart(store: Store) -> None:
    first = holder(store, "train")
    try:
        with claim(store, "evaluate"):
            assert len(describe(store)) == 2
    finally:
        end(first)


def test_a_refused_driver_gives_back_what_it_had_got(store: Store) -> None:
    first = holder(store, "evaluate")
    try:
        with pytest.raises(ValueError, match="'evaluate'"), claim(store, "train", "evaluate"):
            pass
        with claim(store, "train"):
            pass
    finally:
        end(first)


def test_a_released_claim_is_free_also_after_an_error(store: Store) -> None:
    with pytest.raises(RuntimeError, match="failed"), claim(store, "train"):
        raise RuntimeError("failed")
    assert describe(store) == []
    with claim(store, "train"):
        pass


def test_the_same_process_number_with_another_start_time_is_another_process(store: Store) -> None:
    with claim(store, "train"):
        mine = claim_of(store, "train")
    assert is_alive(mine)
    assert not is_alive({**mine, "process_started": "1"})


def test_a_claim_of_another_host_lives_as_long_as_its_heart_beats(store: Store) -> None:
    with claim(store, "train"):
        there = {**claim_of(store, "train"), "host": "another-host"}
    assert is_alive({**there, "heartbeat": time.time() - DEAD_AFTER_SECONDS / 2})
    assert not is_alive({**there, "heartbeat": time.time() - DEAD_AFTER_SECONDS - 1})


def test_a_stale_heartbeat_of_another_host_is_taken_over_and_a_fresh_one_is_not(store: Store) -> None:
    with claim(store, "train"):
        there = {**claim_of(store, "train"), "host": "another-host", "process": 4242}
    store.write_json("claims/train.json", {**there, "heartbeat": time.time()})
    with pytest.raises(ValueError, match="process 4242 on another-host"), claim(store, "train"):
        pass
    store.write_json("claims/train.json", {**there, "heartbeat": time.time() - DEAD_AFTER_SECONDS - 1})
    with claim(store, "train"):
        assert claim_of(store, "train")["process"] == os.getpid()


def test_a_host_that_cannot_tell_when_a_process_started_goes_by_the_heartbeat(store: Store) -> None:
    with claim(store, "train"):
        unknown = {**claim_of(store, "train"), "process_started": None, "process": 2**22 + 1}
    assert is_alive({**unknown, "heartbeat": time.time()})
    assert not is_alive({**unknown, "heartbeat": time.time() - DEAD_AFTER_SECONDS - 1})


def test_whoever_was_taken_over_does_not_release_the_successors_claim(store: Store) -> None:
    with claim(store, "train"):
        successor = {**claim_of(store, "train"), "token": "successor"}
        store.write_json("claims/train.json", successor)
    assert claim_of(store, "train")["token"] == "successor"


def test_of_two_drivers_that_start_together_one_gets_the_role(store: Store) -> None:
    command = [sys.executable, "-c", HOLDER.replace("time.sleep(60)", "time.sleep(2)"), str(Path(store.root).parent), "train"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert sorted(out for out, _ in ends) == ["", "held\n"]
    assert sum("another driver" in errors for _, errors in ends) == 1


def test_a_claim_is_plain_json_that_people_can_read(store: Store) -> None:
    with claim(store, "train"):
        text = Path(store.path("claims/train.json")).read_text()
    assert {"host", "process", "process_started", "since", "heartbeat"} <= set(json.loads(text))


def until_lost(store: Store) -> str:
    """Why the store may not be written any more; empty where it still may be after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            store.check()
        except ClaimLost as error:
            return str(error)
        time.sleep(0.01)
    return ""


def test_a_driver_whose_claim_was_taken_over_is_told_and_writes_nothing_more(store: Store) -> None:
    with claim(store, "train", "evaluate", beat_seconds=0.05):
        workspace = store.workspace("dataset", "0" * 16)
        Store(str(Path(store.root).parent), "study").write_claim(
            "claims/train.json", {**claim_of(store, "train"), "token": "successor", "process": 4242, "host": "another-host"}
        )
        assert "the role 'train'" in until_lost(store)
        assert "process 4242 on another-host took it over" in until_lost(store)
        with pytest.raises(ClaimLost, match="run again to go on"):
            store.write_json("x.json", {})
        with pytest.raises(ClaimLost):
            workspace.write("0", [], Example)
        with pytest.raises(ClaimLost):
            store.finish(workspace, stage="dataset", mark="0" * 16, sources=[], facts={})
    assert not Path(store.path("x.json")).exists()
    assert claim_of(store, "train")["token"] == "successor"
    assert claim_of(store, "evaluate") == {"released": True}, "the role that was kept is free at once"


def test_a_claim_that_somebody_deleted_is_lost(store: Store) -> None:
    with claim(store, "train", beat_seconds=0.05):
        Path(store.path("claims/train.json")).unlink()
        assert "its claim was deleted" in until_lost(store)


def test_a_heart_that_cannot_beat_for_long_stops_its_driver_and_a_short_pause_does_not(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with claim(store, "train", beat_seconds=0.05, dead_after_seconds=2.0):
        good = Path(store.path("claims/train.json")).read_text()
        Path(store.path("claims/train.json")).write_text("{ damaged")
        while "could not be renewed" not in caplog.text:
            time.sleep(0.01)
        Path(store.path("claims/train.json")).write_text(good)
        store.check()
        before = claim_of(store, "train")["heartbeat"]
        while claim_of(store, "train")["heartbeat"] == before:
            time.sleep(0.01)
        store.check()
        Path(store.path("claims/train.json")).write_text("{ damaged")
        assert "so another driver may hold it" in until_lost(store)
        Path(store.path("claims/train.json")).write_text(good)


def test_a_driver_that_claims_the_store_anew_may_write_again(store: Store) -> None:
    with claim(store, "train", beat_seconds=0.05):
        Path(store.path("claims/train.json")).unlink()
        assert until_lost(store)
    with claim(store, "train"):
        store.write_json("x.json", {})
