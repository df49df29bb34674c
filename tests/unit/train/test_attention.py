from __future__ import annotations

import logging
import random
from copy import deepcopy
from typing import Any

import pytest
import torch
from tiny_run import Bench
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from ray_study.train.attention import NAME, take_packed
from ray_study.train.batches import pack, pad
from ray_study.train.tokenizing import Row

SHAPE: dict[str, Any] = {
    **{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128},
}
CONFIGS = {
    "qwen2": Qwen2Config(**SHAPE),
    "llama": LlamaConfig(**SHAPE),
    # Rows are longer than its window.
    "mistral": MistralConfig(**SHAPE, sliding_window=5),
    "gemma3": Gemma3TextConfig(**SHAPE, sliding_window=5, layer_types=["sliding_attention", "full_attention"]),
}


def _rows(number: int = 6) -> list[Row]:
    rng = random.Random(3)
    # Two neighbours of one length among them.
    lengths = [4 + 5 * (index - index // 3) for index in range(number)]
    return [Row(ids=tuple(rng.randrange(64) for _ in range(length)), num_prompt=2) for length in lengths]


def _model(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation="sdpa").eval()


def _packed(model: Any, rows: list[Row]) -> torch.Tensor:
    batch = pack(rows, [1.0] * len(rows))
    asked = {key: batch[key] for key in ("input_ids", "position_ids", "document_lengths")}
    logits: torch.Tensor = model(**asked, use_cache=False).logits[0]
    return logits


@pytest.mark.parametrize("name", CONFIGS)
def test_a_packed_row_has_the_logits_that_it_has_alone(name: str) -> None:
    rows, alone = _rows(), _model(CONFIGS[name])
    expected = torch.cat([alone(input_ids=torch.tensor([row.ids])).logits[0] for row in rows])
    packed = _model(CONFIGS[name])
    assert take_packed(packed)
    found = _packed(packed, rows)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    # Without knowing where rows end, it is another model that answers: this comparison can fail.
    crossed = alone(input_ids=pack(rows, [1.0] * len(rows))["input_ids"]).logits[0]
    assert (crossed - expected).abs().max() > 1e-2 * expected.abs().max()


def test_no_row_of_a_pack_moves_with_another(bench: Bench) -> None:
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    assert take_packed(model)
    rows = _rows()
    changed = [Row(ids=tuple(63 - token for token in rows[0].ids), num_prompt=2), *rows[1:]]
    before, after = _packed(model, rows), _packed(model, changed)
    first = len(rows[0].ids)
    assert torch.equal(before[first:], after[first:])
    assert not torch.equal(before[:first], after[:first])


def test_padded_rows_are_refused_by_a_model_that_takes_packed_ones() -> None:
    model = _model(CONFIGS["qwen2"])
    assert take_packed(model)
    batch = pad(_rows(), [1.0] * 6)
    with pytest.raises(ValueError, match="takes packed rows with `document_lengths` and without a mask"):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Gemma2Config(**SHAPE), "it caps the logits of its attention"),
        # A convolution over the tokens before is no attention, and does not stop at the end of a row.
        (Lfm2Config(**SHAPE, layer_types=["conv", "full_attention"]), "one row of a pack changes another"),
    ],
)
def test_a_model_that_cannot_keep_rows_apart_is_padded_and_the_log_says_why(
    config: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = _model(config)
    with caplog.at_level(logging.WARNING):
        assert not take_packed(model)
    assert f"rows are padded and not packed: a model of type {config.model_type!r} cannot take them so ({reason})" in caplog.text
    assert model.config._attn_implementation != NAME
    batch = pad(_rows(), [1.0] * 6)
    assert model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits.isfinite().all()


def test_learned_positions_restart_too() -> None:
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=128)
    rows, model = _rows(), _model(config)
    expected = torch.cat([model(input_ids=torch.tensor([row.ids])).logits[0] for row in rows])
    if take_packed(model):
        assert (_packed(model, rows) - expected).abs().max() <= 1e-5 * expected.abs().max()
