"""What a checkpoint must be before an engine takes it, and when a canary decides."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_study.manifests import Canary, Manifest, read_manifest, write_manifest
from ray_study.serving import SwapRefused
from ray_study.serving.attest import bit_sum_fits, canary_decides, canary_fits, check_before


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def changed(manifest: Manifest, logprob: float) -> Manifest:
    """The manifest with a canary that is this far from `flat`'s."""
    ids = manifest.canary.ids
    return dataclasses.replace(manifest, canary=Canary(ids=ids, logprobs=tuple(logprob for _ in ids[1:])))


def test_a_whole_checkpoint_of_the_same_identity_is_taken(base: Path, neighbour: Path) -> None:
    check_before(neighbour, read_manifest(neighbour), read_manifest(base))


def test_a_truncated_file_is_refused_before_the_engine_is_touched(base: Path, tmp_path: Path) -> None:
    broken = copy(base, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SwapRefused, match=r"model\.safetensors has SHA-256"):
        check_before(broken, read_manifest(broken), read_manifest(base))


def test_one_flipped_bit_is_refused(base: Path, tmp_path: Path) -> None:
    broken = copy(base, tmp_path / "broken")
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "model.safetensors").write_bytes(weights)
    with pytest.raises(SwapRefused, match="the file is damaged"):
        check_before(broken, read_manifest(broken), read_manifest(base))


def test_a_missing_file_is_refused(base: Path, tmp_path: Path) -> None:
    broken = copy(base, tmp_path / "broken")
    (broken / "tokenizer.json").unlink()
    with pytest.raises(SwapRefused, match=r"tokenizer\.json is missing"):
        check_before(broken, read_manifest(broken), read_manifest(base))


def test_a_checkpoint_that_lacks_a_tensor_is_refused_and_the_tensor_named(base: Path) -> None:
    serving = read_manifest(base)
    without = dataclasses.replace(serving, tensors={name: shape for name, shape in serving.tensors.items() if name != "model.norm.weight"})
    with pytest.raises(SwapRefused, match=r"model\.norm\.weight"):
        check_before(base, without, serving)


def test_a_model_of_equal_shape_but_another_end_token_is_refused(base: Path, tmp_path: Path) -> None:
    other = copy(base, tmp_path / "other")
    config = other / "tokenizer_config.json"
    config.write_text(config.read_text().replace("<|im_end|>", "<|endoftext|>"))
    manifest = read_manifest(other)
    from_disk = dataclasses.replace(manifest, files={**manifest.files, "tokenizer_config.json": "0" * 64})
    write_manifest(other, from_disk)
    with pytest.raises(SwapRefused, match="serving identity"):
        check_before(other, read_manifest(other), read_manifest(base))


def test_another_precision_is_another_identity(make: Callable[..., Path], base: Path) -> None:
    half = make("half", dtype="bfloat16")
    with pytest.raises(SwapRefused, match="precision differ"):
        check_before(half, read_manifest(half), read_manifest(base))


def test_a_canary_within_the_noise_does_not_decide_between_two_near_checkpoints(base: Path) -> None:
    manifest = read_manifest(base)
    flat = tuple(-1.0 for _ in manifest.canary.ids[1:])
    here, near, far = changed(manifest, -1.001), changed(manifest, -0.999), changed(manifest, -1.5)
    assert canary_fits(flat, here)
    assert canary_fits(flat, near), "within the tolerance of either"
    assert not canary_decides(flat, here, near), "so the checksum has to decide"
    assert canary_decides(flat, here, far)
    assert not canary_decides(flat, here, None), "nor does it where nothing was loaded before"


def test_a_checksum_fits_but_for_the_signs_of_zeros_that_cannot_be_read_back(base: Path) -> None:
    manifest = read_manifest(base)
    assert bit_sum_fits(manifest.bit_sum, 0, manifest)
    assert not bit_sum_fits(manifest.bit_sum - 1, 1000, manifest)
    two_signs = manifest.bit_sum - 2 * 2**31
    assert bit_sum_fits(two_signs, 2, manifest)
    assert not bit_sum_fits(two_signs, 1, manifest)
    assert not bit_sum_fits(manifest.bit_sum + 2**31, 1, manifest)


def test_a_canary_beyond_the_noise_or_not_finite_never_fits(base: Path) -> None:
    manifest = changed(read_manifest(base), -1.0)
    assert not canary_fits(tuple(-1.2 for _ in manifest.canary.ids[1:]), manifest)
    assert not canary_fits(tuple(float("nan") for _ in manifest.canary.ids[1:]), manifest)
