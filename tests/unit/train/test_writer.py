"""A checkpoint is what the weights were when it was asked for, is written while training goes on, and is what transformers loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_run import Bench
from transformers import AutoModelForCausalLM, AutoTokenizer

from ray_study.config import Training
from ray_study.manifests import read_manifest
from ray_study.model_files import Stamp, save
from ray_study.train.checkpoints import Writer, copy_weights
from ray_study.train.layout import step_directory
from ray_study.train.loop import train
from ray_study.train.parallel import here, tensors_of


def _stamp(step: int) -> Stamp:
    return Stamp(run="r", step=step, num_tokens=0, settings={})


def test_what_training_does_meanwhile_is_not_in_the_checkpoint(bench: Bench, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    with Writer(Path(bench.base), tmp_path / "run", trust_remote_code=False) as writer:
        for step in (1, 2):
            with torch.no_grad():
                model.model.norm.weight.fill_(step)
            writer.write(tensors_of(model), _stamp(step))
            with torch.no_grad():
                model.model.norm.weight.fill_(-1.0)
    for step in (1, 2):
        found = AutoModelForCausalLM.from_pretrained(step_directory(tmp_path / "run", step))
        assert found.model.norm.weight.unique().tolist() == [step]
        assert torch.equal(found.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert not writer.is_busy


def test_an_error_in_the_background_is_raised_once_by_whoever_asks_next(bench: Bench, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(bench.base)
    step_directory(tmp_path / "run", 1).parent.mkdir()
    step_directory(tmp_path / "run", 1).write_text("in the way")
    with Writer(Path(bench.base), tmp_path / "run", trust_remote_code=False) as writer:
        writer.write(tensors_of(model), _stamp(1))
        with pytest.raises(OSError, match="step-000001"):
            writer.wait()
        writer.check()
        writer.write(tensors_of(model), _stamp(2))
        writer.wait()
    assert read_manifest(step_directory(tmp_path / "run", 2)).step == 2


def test_weights_of_other_names_are_refused(bench: Bench) -> None:
    model = AutoModelForCausalLM.from_pretrained(bench.base)

    def renamed() -> Iterator[tuple[str, torch.Tensor]]:
        yield from ((f"x.{name}", tensor) for name, tensor in tensors_of(model))

    with pytest.raises(ValueError, match=r"has a tensor 'x.model.embed_tokens.weight' that the model it began from has not"):
        copy_weights(renamed(), model)
    with pytest.raises(ValueError, match=r"has no \['model.norm.weight'\]"):
        copy_weights(((name, tensor) for name, tensor in tensors_of(model) if name != "model.norm.weight"), model)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_loads_a_checkpoint_and_gives_the_log_probabilities_of_its_canary(bench: Bench, dtype: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(bench.base, dtype=getattr(torch, dtype))
    save(model, AutoTokenizer.from_pretrained(bench.base), base, Stamp(run="tiny", step=0, num_tokens=0, settings={}))
    served = Bench(root=tmp_path, base=str(base), examples=bench.examples)
    training = Training.model_validate({"steps": 3, "batch_size": 8, "max_length": 200, "learning_rate": 1e-2, "warmup_share": 0})
    task = served.task("r", training, steps=(3,))
    train(task, here(torch.device("cpu")))
    directory = step_directory(Path(task.directory), 3)
    manifest = read_manifest(directory)
    loaded = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
    assert loaded.dtype == getattr(torch, dtype)
    ids = torch.tensor([manifest.canary.ids])
    with torch.no_grad():
        logprobs = torch.log_softmax(loaded(input_ids=ids).logits[0, :-1].float(), dim=-1).gather(1, ids[0, 1:, None])[:, 0]
    assert logprobs.tolist() == pytest.approx(manifest.canary.logprobs, abs=1e-5)
    before = read_manifest(base).canary.logprobs
    assert logprobs.tolist() != pytest.approx(before, abs=1e-3), "otherwise nothing was learned"
