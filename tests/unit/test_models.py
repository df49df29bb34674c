from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ray_study.config import Model, Scratch
from ray_study.models import HUB_FACTS, facts, is_gated, needs_remote_code, positions


@pytest.mark.parametrize(
    ("hub", "num_parameters"),
    [
        ("Qwen/Qwen3-1.7B-Base", 1_720_574_976),
        ("Qwen/Qwen3-4B-Base", 4_022_468_096),
        ("Qwen/Qwen3-8B-Base", 8_190_735_360),
        ("Qwen/Qwen3-14B-Base", 14_768_307_200),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-14B", 14_768_307_200),
        ("Qwen/Qwen3-32B", 32_762_123_264),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-1.5B", 1_543_714_304),
        ("Qwen/Qwen2.5-3B", 3_085_938_688),
        ("Qwen/Qwen2.5-7B", 7_615_616_512),
        ("Qwen/Qwen2.5-14B", 14_770_033_664),
        ("internlm/internlm2_5-20b", 19_861_149_696),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008),
        ("HuggingFaceTB/SmolLM2-360M", 361_821_120),
        ("HuggingFaceTB/SmolLM2-1.7B", 1_711_376_384),
    ],
)
def test_the_parameters_of_a_hub_model_are_known_to_the_last_one(hub: str, num_parameters: int) -> None:
    found = facts(Model(hub=hub))
    assert found is not None
    assert found.num_parameters == num_parameters


def test_a_tuned_model_has_the_shape_of_its_base() -> None:
    for size in ("0.6B", "1.7B", "4B", "8B", "14B"):
        base, tuned = HUB_FACTS[f"Qwen/Qwen3-{size}-Base"], HUB_FACTS[f"Qwen/Qwen3-{size}"]
        assert (base.positions, tuned.positions) == (32768, 40960)
        assert replace(base, positions=tuned.positions) == tuned


def test_what_runs_by_code_of_its_own_is_known() -> None:
    assert needs_remote_code("internlm/internlm2_5-20b")
    assert not needs_remote_code("Qwen/Qwen3-14B-Base")


def test_facts_load_no_heavy_library() -> None:
    code = "import sys; from ray_study.models import facts; print(any(m in sys.modules for m in ('torch', 'transformers', 'ray')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_model_that_only_a_download_would_tell_is_unknown_and_not_guessed() -> None:
    assert facts(Model(hub="someone/something")) is None


def test_a_local_model_is_known_from_its_config(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936, "max_position_embeddings": 32768, "tie_word_embeddings": True,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert facts(Model(path=str(tmp_path))) == HUB_FACTS["Qwen/Qwen3-0.6B-Base"]


def test_positions_are_the_models_own_or_fewer(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    assert positions(tmp_path, Model(path=str(tmp_path))) == 512
    assert positions(tmp_path, Model(path=str(tmp_path), max_model_len=256)) == 256
    assert positions(tmp_path, Model(path=str(tmp_path), max_model_len=4096)) == 512
    with pytest.raises(ValueError, match=r"no config\.json"):
        positions(tmp_path / "nowhere", Model(path=str(tmp_path)))


def test_a_scratch_model_keeps_the_positions_of_its_settings() -> None:
    found = facts(Model(scratch=Scratch(positions=256)))
    assert found is not None
    assert found.positions == 256


def test_gated_models_are_told_before_a_download() -> None:
    assert is_gated("meta-llama/Llama-3.1-8B")
    assert not is_gated("Qwen/Qwen3-14B-Base")
