"""The verb `serve`: what the server of a checkpoint is told, and which get none. The server itself runs in serving/test_pool.py."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ray_study.__main__ import main
from ray_study.chat import Chat
from ray_study.config import Model, Scratch
from ray_study.manifests import MANIFEST, hash_files, read_manifest, write_manifest
from ray_study.model_files import prepare
from ray_study.serve import resolve
from ray_study.serving.openai_server import Served

ADDRESS = ("127.0.0.1", 8123)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = Model(scratch=Scratch(hidden_size=32, num_layers=1, num_heads=1, positions=64), dtype="float32")
    return Path(prepare(model, "tiny", tmp_path_factory.mktemp("models")))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path / "cache"))


def option(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_the_server_is_told_the_checkpoints_own_ends_and_the_evaluators_sampling(tiny: Path) -> None:
    command = resolve(str(tiny), address=ADDRESS, gpus=0, how=Served(max_model_len=32))
    told = json.loads((Path(option(command.arguments, "--generation-config")) / "generation_config.json").read_text())
    assert told == {
        "eos_token_id": list(Chat(tiny).stop_ids), "temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_new_tokens": 32768,
    }  # fmt: skip
    assert [option(command.arguments, name) for name in ("--host", "--port", "--dtype", "--max-model-len")] == [
        *("127.0.0.1", "8123", "float32", "32")
    ]
    assert {"--enforce-eager", "--no-enable-chunked-prefill"} <= set(command.arguments)


def test_on_accelerators_the_server_takes_as_many_as_the_model_needs(tiny: Path) -> None:
    arguments = resolve(str(tiny), address=ADDRESS, gpus=2, how=Served()).arguments
    assert (option(arguments, "--tensor-parallel-size"), option(arguments, "--gpu-memory-utilization")) == ("2", "0.9")
    assert not {"--enforce-eager", "--max-model-len", "--kv-cache-memory-bytes"} & set(arguments)


def test_a_checkpoint_that_is_not_whole_is_not_served(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = tmp_path / "half"
    shutil.copytree(tiny, half, ignore=shutil.ignore_patterns(MANIFEST))
    assert main(["serve", str(half)]) == 2
    assert f"{half} has no manifest.json: it is not a checkpoint, or one that was not finished" in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny, damaged)
    (damaged / "model.safetensors").write_bytes((damaged / "model.safetensors").read_bytes()[:-1])
    assert main(["serve", str(damaged)]) == 2
    assert f"checkpoint {damaged}: model.safetensors has SHA-256" in capsys.readouterr().err


OWN_TOKENIZER = """
from pathlib import Path
from transformers import PreTrainedTokenizerFast

Path({mark!r}).touch()

class Own(PreTrainedTokenizerFast):
    pass
"""


@pytest.mark.parametrize("trusted", [True, False])
def test_code_that_comes_with_a_checkpoint_runs_where_that_is_said_and_only_there(tiny: Path, tmp_path: Path, trusted: bool) -> None:
    directory, mark = tmp_path / "own", tmp_path / "it ran"
    shutil.copytree(tiny, directory)
    (directory / "own.py").write_text(OWN_TOKENIZER.format(mark=str(mark)))
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    own = {**settings, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    (directory / "tokenizer_config.json").write_text(json.dumps(own))
    write_manifest(directory, replace(read_manifest(tiny), files=hash_files(directory)))
    arguments = resolve(str(directory), address=ADDRESS, gpus=0, how=Served(trust_remote_code=trusted)).arguments
    assert mark.exists() == trusted
    assert ("--trust-remote-code" in arguments, "--no-trust-remote-code" in arguments) == (trusted, not trusted)


def test_a_tokenizer_that_needs_its_own_code_is_refused_with_the_flag_that_would_let_it_run(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "own"
    shutil.copytree(tiny, directory)
    (directory / "own.py").write_text(OWN_TOKENIZER.format(mark=str(tmp_path / "it ran")))
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "model_type": "own"}))
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    own = {**settings, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (directory / "tokenizer_config.json").write_text(json.dumps(own))
    write_manifest(directory, replace(read_manifest(tiny), files=hash_files(directory)))
    assert main(["serve", str(directory)]) == 2
    assert "add --trust-remote-code if you trust it" in capsys.readouterr().err
    assert not (tmp_path / "it ran").exists()
