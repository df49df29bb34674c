"""`evaluate --model` of a model of the Hub, asked of a Hub that runs here: what is fetched, which commit it is, and what is refused how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, Repository, commit_of, hub
from programs import ROOT, STARTED

MAIN = {
    "config.json": b'{"model_type": "qwen3"}',
    "model.safetensors": b"weights of the root",
    "tokenizer.json": b"{}",
    "README.md": b"is no file of a model",
    "step20/config.json": b'{"step": 20}',
    "step20/model.safetensors": b"weights of step 20",
    "step20/optimizer/state.safetensors": b"nobody asked for it",
    "step640/config.json": b'{"step": 640}',
    "step640/model.safetensors": b"weights of step 640",
    "logs/log.json": b"{}",
}
OLD = {"config.json": b'{"model_type": "qwen2"}', "model.safetensors": b"older weights"}
REPOSITORIES = {
    "owner/name": Repository(revisions={"main": MAIN, "v1.0": OLD}),
    "owner/gated": Repository(revisions={"main": MAIN}, refused="gated"),
    "owner/forbidden": Repository(revisions={"main": MAIN}, refused="forbidden"),
}


@dataclass
class Place:
    """A Hub, and a process that looks for models on it."""

    hub: Hub
    looking: subprocess.Popen[str]
    home: Path
    closing: ExitStack = field(default_factory=ExitStack)

    def find(self, place: str, *, step_folders: bool = False) -> list[dict[str, Any]]:
        found = self._ask(place, step_folders)
        assert "models" in found, found
        return list(found["models"])

    def refused(self, place: str, *, step_folders: bool = False) -> str:
        return str(self._ask(place, step_folders)["refused"])

    def fetched(self, ask: Callable[[], object]) -> list[str]:
        """The files that an action fetched, by their names in the repository."""
        before = len(self.hub.fetched)
        ask()
        return sorted(file.partition("@")[2].partition("/")[2] for file in self.hub.fetched[before:])

    def _ask(self, place: str, step_folders: bool) -> dict[str, Any]:
        assert self.looking.stdin is not None
        assert self.looking.stdout is not None
        self.looking.stdin.write(json.dumps({"place": place, "step_folders": step_folders}) + "\n")
        self.looking.stdin.flush()
        line = self.looking.stdout.readline()
        assert line, "the process that looks has ended"
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One process for all tests of this file: it loads what finds models, which takes seconds."""
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as closing:
        running = closing.enter_context(hub(REPOSITORIES))
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        environment = {**os.environ, **quiet, "HF_ENDPOINT": running.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
        program = [sys.executable, "-m", "hub_driver"]
        looking = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=home)
        STARTED.append(looking)
        yield Place(hub=running, looking=looking, home=home, closing=closing)
        looking.kill()
        looking.wait()


def test_a_name_is_a_commit_from_then_on_and_only_the_roots_model_is_fetched(place: Place) -> None:
    found: list[dict[str, Any]] = []
    fetched = place.fetched(lambda: found.extend(place.find("owner/name")))
    (one,) = found
    assert one == {"name": "owner--name", "step": 0, "hub": "owner/name", "revision": commit_of(MAIN), "path": None}
    assert fetched == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_revision_is_the_commit_that_it_stands_for(place: Place) -> None:
    (one,) = place.find("owner/name@v1.0")
    assert one["revision"] == commit_of(OLD) != commit_of(MAIN)
    (again,) = place.find(f"owner/name@{commit_of(OLD)}")
    assert again["revision"] == commit_of(OLD)


def test_of_a_folder_nothing_else_is_fetched_and_its_name_is_its_step(place: Place) -> None:
    found: list[dict[str, Any]] = []
    fetched = place.fetched(lambda: found.extend(place.find("owner/name@main/step20")))
    assert fetched == ["step20/config.json", "step20/model.safetensors"]
    (one,) = found
    assert (one["name"], one["step"], Path(one["path"]).parts[-2:]) == ("owner--name", 20, (commit_of(MAIN), "step20"))
    assert (Path(one["path"]) / "model.safetensors").read_bytes() == b"weights of step 20"


def test_step_folders_are_listed_by_step_at_one_commit(place: Place) -> None:
    found = place.find("owner/name", step_folders=True)
    assert [(each["step"], Path(each["path"]).parts[-2:]) for each in found] == [
        (20, (commit_of(MAIN), "step20")),
        (640, (commit_of(MAIN), "step640")),
    ]
    assert "has no folder such as step640" in place.refused("owner/name@v1.0", step_folders=True)


@pytest.mark.parametrize("name", ["owner", "owner/name@", "owner/name/../other", "own er/name", "owner//name", "/no/such/directory"])
def test_what_is_no_name_is_refused_without_asking(place: Place, name: str) -> None:
    assert place.fetched(lambda: place.refused(name)) == []
    assert f"--model {name}: expected a directory, or owner/name[@revision][/folder] of the Hub" in place.refused(name)


@pytest.mark.parametrize(
    ("name", "step_folders", "said"),
    [
        ("owner/none", False, "model owner/none@main is not on the Hub, or is private to you; check owner, name and revision"),
        ("owner/none", True, "owner/none@main is not on the Hub, or is private to you"),
        ("owner/name@v9", False, "model owner/name@v9 is not on the Hub"),
        ("owner/name/step7", False, "owner/name@main has no model in its folder 'step7': there is no step7/config.json"),
        ("owner/gated", False, "is gated: accept its licence on the Hub, put a token into a file on each node and set HF_TOKEN_PATH to it"),
        ("owner/gated", True, "is gated: accept its licence on the Hub"),
        ("owner/forbidden", False, "the Hub refuses the token (status 403); put a valid one into the file of HF_TOKEN_PATH"),
        ("results/model", False, "--model results/model: there is no such directory here, and of the Hub: "),
    ],
)
def test_what_the_hub_does_not_give_is_said_with_the_mend(place: Place, name: str, step_folders: bool, said: str) -> None:
    assert said in place.refused(name, step_folders=step_folders)


def test_without_a_connection_what_is_here_is_found_by_its_commit_and_the_rest_is_a_sentence(place: Place) -> None:
    (before,) = place.find("owner/name@v1.0")
    place.closing.close()
    assert place.find("owner/name@v1.0") == [before]
    assert "could not be fetched (LocalEntryNotFoundError): no connection to the Hub" in place.refused("owner/other")
    assert "no connection to the Hub" in place.refused("owner/name", step_folders=True)
