from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, CohereConfig, FalconH1Config, Gemma2Config, GraniteConfig, PhiConfig, Qwen2Config

from ray_study.train.batches import IGNORED
from ray_study.train.loss import LossHead, TokenLoss, logit_transform

SHAPE: dict[str, Any] = {
    **{"vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
CONFIGS = {
    "tied": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "untied": Qwen2Config(**SHAPE, tie_word_embeddings=False),
    "bias": PhiConfig(**SHAPE),
    "multiplied": CohereConfig(**SHAPE, logit_scale=0.25),
    "divided": GraniteConfig(**SHAPE, logits_scaling=0.2),
    # Without attention's own cap, which only its eager attention has.
    "capped": Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=0.5, attn_logit_softcapping=None),
}


def _model(config: Any) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").train()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)  # Far from uniform predictions.
        if model.get_output_embeddings().bias is not None:
            model.get_output_embeddings().bias.normal_()
    return model


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(3, 101, (3, 20))
    labels = torch.randint(3, 101, (3, 20))
    labels[:, :4] = IGNORED
    return {"input_ids": ids, "labels": labels, "weights": torch.rand(3, 1).expand(3, 20)}


def _plain(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and the three sums with all logits at once, as the model itself gives them."""
    logits = model(input_ids=batch["input_ids"]).logits.float()
    there = batch["labels"] != IGNORED
    logits, targets, weights = logits[there], batch["labels"][there], batch["weights"][there]
    nll = cross_entropy(logits, targets, reduction="none")
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    return (nll * weights).sum(), torch.stack([nll.sum(), (logits.argmax(-1) == targets).sum(), entropy.sum()])


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", CONFIGS)
def test_loss_sums_and_gradient_are_those_of_whole_logits(name: str) -> None:
    expected_model, model, batch = _model(CONFIGS[name]), _model(CONFIGS[name]), _batch()
    expected, expected_sums = _plain(expected_model, batch)
    expected.backward()
    # 48 positions, 7 at a time.
    loss, sums = TokenLoss(model, at_once=7 * 101)(**batch)
    (3.0 * loss).backward()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-6)
    assert sums.tolist() == pytest.approx(expected_sums.tolist(), rel=1e-6)
    assert not sums.requires_grad
    gradients = {key: parameter.grad for key, parameter in expected_model.named_parameters()}
    assert model.get_output_embeddings().weight.grad is not None
    for key, parameter in model.named_parameters():
        assert _apart(parameter.grad, 3.0 * gradients[key]) <= 1e-5, key


def test_a_weight_changes_the_loss_and_not_the_sums() -> None:
    batch = _batch()
    one = TokenLoss(_model(CONFIGS["tied"]))(**batch)
    other = TokenLoss(_model(CONFIGS["tied"]))(**{**batch, "weights": 2 * batch["weights"]})
    assert float(other[0]) == pytest.approx(2 * float(one[0]))
    assert torch.equal(one[1], other[1])


def test_head_gradients_in_bf16_are_added_up_in_fp32() -> None:
    torch.manual_seed(0)
    hidden, targets = torch.randn(4096, 32), torch.randint(0, 101, (4096,))
    weights = torch.full((4096,), 1 / 4096)
    gradients = {}
    for at_once in (4096 * 101, 101):
        head = LossHead(torch.nn.Linear(32, 101, bias=False), logit_transform(CONFIGS["tied"]), at_once=at_once)
        torch.nn.init.constant_(head.weight, 0.01)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            head(hidden, targets, weights)[0].backward()
        gradients[at_once] = head.weight.grad
    # 4,096 chunks added up in bf16 would be off by several per cent.
    assert _apart(gradients[101], gradients[4096 * 101]) < 0.005


def test_no_targets_are_a_loss_of_0_with_a_gradient_of_0() -> None:
    model, batch = _model(CONFIGS["tied"]), _batch()
    loss, sums = TokenLoss(model)(**{**batch, "labels": torch.full_like(batch["labels"], IGNORED)})
    loss.backward()
    assert float(loss) == 0
    assert sums.tolist() == [0, 0, 0]
    assert all(float(parameter.grad.abs().sum()) == 0 for parameter in model.parameters())


def test_without_a_gradient_the_sums_are_the_same_and_nothing_is_kept() -> None:
    model, batch = _model(CONFIGS["tied"]), _batch()
    with torch.no_grad():
        loss, sums = TokenLoss(model)(**batch)
    assert not loss.requires_grad
    assert torch.equal(sums, TokenLoss(model)(**batch)[1])


def test_the_head_still_gives_logits_and_saves_under_its_own_names() -> None:
    model = _model(CONFIGS["untied"])
    expected, names = model(input_ids=_batch()["input_ids"]).logits, set(model.state_dict())
    TokenLoss(model)
    assert torch.equal(model(input_ids=_batch()["input_ids"]).logits, expected)
    assert set(model.state_dict()) == names


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused() -> None:
    config = FalconH1Config(**SHAPE, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, lm_head_multiplier=0.5)
    with pytest.raises(ValueError, match=r"'falcon_h1' changes its logits by \['lm_head_multiplier'\], which training does not do yet"):
        TokenLoss(AutoModelForCausalLM.from_config(config))
