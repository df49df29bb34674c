from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ray_study.manifests import (
    DELETED,
    IDENTITY_FILES,
    MANIFEST,
    Canary,
    Manifest,
    check_files,
    delete_weights,
    digest,
    gone,
    has_weights,
    hash_file,
    hash_files,
    read_manifest,
    write_manifest,
)


def checkpoint(directory: Path, **changed: str) -> Manifest:
    directory.mkdir(parents=True)
    contents = {
        "config.json": '{"rope_theta": 10000}',
        "tokenizer.json": "{}",
        "tokenizer_config.json": '{"eos_token": "<end>"}',
        "chat_template.jinja": "{{ messages }}",
        "generation_config.json": '{"eos_token_id": 1}',
        "model.safetensors": "weights" * 100,
    }
    for name, content in {**contents, **{key.replace("__", "."): value for key, value in changed.items()}}.items():
        (directory / name).write_text(content)
    made = Manifest(
        run="r",
        step=3,
        num_tokens=100,
        dtype="bfloat16",
        files=hash_files(directory),
        tensors={"w": (2, 3)},
        bit_sum=2**63 + 5,
        canary=Canary(ids=(1, 2, 3), logprobs=(-0.5, -1.25)),
        settings={"learning_rate": 0.1},
    )
    write_manifest(directory, made)
    return made


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = checkpoint(tmp_path / "c")
    assert read_manifest(tmp_path / "c") == made
    assert read_manifest(tmp_path / "c").identity == made.identity
    check_files(tmp_path / "c", made)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted([*made.files, MANIFEST])


def test_a_checkpoint_without_a_manifest_does_not_exist(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    (tmp_path / "c" / MANIFEST).unlink()
    with pytest.raises(ValueError, match=r"has no manifest\.json.*train it again"):
        read_manifest(tmp_path / "c")


def test_a_damaged_manifest_is_named_with_the_mend(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    whole = (tmp_path / "c" / MANIFEST).read_text()
    (tmp_path / "c" / MANIFEST).write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c/manifest\.json is damaged .*; delete .*/c and run the study that made it again"):
        read_manifest(tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["step", 3], "Input should be an object"),
        (7, "Input should be an object"),
        ({"step": ...}, "step: Field required"),
        ({"format": ...}, "format: Field required"),
        ({"step": "3"}, "step: Input should be a valid integer"),
        ({"files": ["model.safetensors"]}, "files: Input should be an object"),
        ({"tensors": {"w": 2}}, "tensors: w: Input should be a valid array"),
        ({"canary": {"ids": [1]}}, "canary: logprobs: Field required"),
    ],
    ids=["a list", "a number", "a key less", "no format", "a text for a number", "a list for names", "no shape", "half a canary"],
)
def test_a_manifest_of_valid_json_that_is_no_manifest_is_damaged(tmp_path: Path, changes: object, expected: str) -> None:
    checkpoint(tmp_path / "c")
    path = tmp_path / "c" / MANIFEST
    if isinstance(changes, dict):
        raw = {**json.loads(path.read_text()), **changes}
        changes = {key: value for key, value in raw.items() if value is not ...}
    path.write_text(json.dumps(changes))
    with pytest.raises(ValueError, match=re.escape(f"manifest.json is damaged ({expected}); delete {tmp_path}/c and run")):
        read_manifest(tmp_path / "c")


def test_a_manifest_that_is_no_text_or_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    (tmp_path / "c" / MANIFEST).write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged \(Invalid JSON: "):
        read_manifest(tmp_path / "c")
    (tmp_path / "c" / MANIFEST).unlink()
    (tmp_path / "c" / MANIFEST).mkdir()
    with pytest.raises(ValueError, match=r"manifest\.json cannot be read \(Is a directory\); see to the file"):
        read_manifest(tmp_path / "c")


def test_why_weights_were_deleted_may_be_damaged_and_they_are_deleted_all_the_same(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    delete_weights(tmp_path / "c", "scored")
    assert "(scored)" in gone(tmp_path / "c")
    for text in ("{", "[]", "{}"):
        (tmp_path / "c" / DELETED).write_text(text)
        assert not has_weights(tmp_path / "c")
        assert f"so nothing more can be asked of it without training the run again: delete {tmp_path}" in gone(tmp_path / "c")


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    raw = json.loads((tmp_path / "c" / MANIFEST).read_text())
    (tmp_path / "c" / MANIFEST).write_text(json.dumps({**raw, "format": 2}))
    with pytest.raises(ValueError, match="not of format 1"):
        read_manifest(tmp_path / "c")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    made = checkpoint(tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors has SHA-256 .*damaged: delete .*/c and run the study"):
        check_files(tmp_path / "c", made)


def test_a_flipped_byte_is_named(tmp_path: Path) -> None:
    made = checkpoint(tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[350] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors has SHA-256 .*damaged"):
        check_files(tmp_path / "c", made)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    made = checkpoint(tmp_path / "c")
    (tmp_path / "c" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing"):
        check_files(tmp_path / "c", made)


@pytest.mark.parametrize("name", IDENTITY_FILES)
def test_models_that_differ_in_config_tokenizer_template_or_end_tokens_do_not_share_an_engine(tmp_path: Path, name: str) -> None:
    one = checkpoint(tmp_path / "one")
    other = checkpoint(tmp_path / "other", **{name.replace(".", "__"): "another"})
    assert one.identity != other.identity


def test_a_missing_template_is_another_identity(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one")
    other = replace(one, files={name: mark for name, mark in one.files.items() if name != "chat_template.jinja"})
    assert one.identity != other.identity


def test_other_dtypes_and_shapes_do_not_share_an_engine(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one")
    assert one.identity != replace(one, dtype="float32").identity
    assert one.identity != replace(one, tensors={"w": (3, 2)}).identity


def test_checkpoints_of_one_run_share_an_engine_and_are_told_apart_by_their_fingerprints(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one")
    other = replace(checkpoint(tmp_path / "other", model__safetensors="moved" * 140), step=9, run="another", bit_sum=7)
    assert one.identity == other.identity
    assert one.fingerprint != other.fingerprint


def test_the_fingerprint_is_of_the_files_alone(tmp_path: Path) -> None:
    one, other = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "elsewhere")
    assert one.fingerprint == replace(other, run="x", step=0, settings={}).fingerprint


def test_a_digest_does_not_depend_on_order_and_depends_on_everything_else() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1})
    assert len({digest(value) for value in (1, 1.5, "1", [1], {"1": 1}, None, True)}) == 7
    assert len(digest("ä")) == 16


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert hash_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
