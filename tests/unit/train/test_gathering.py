"""Under ZeRO-3 no worker ever holds the model's weights whole a second time: a checkpoint is copied tensor by tensor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NUM_WORKERS = 2

_WORKER = """
import json, sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from ray_study.config import Training
from ray_study.train.checkpoints import copy_weights
from ray_study.train.parallel import here, make_engine

rank, num_workers, port, base, target = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=int(num_workers))
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
training = Training(steps=1, batch_size=2, max_length=64, precision="fp32", engine="deepspeed", zero_stage=3)
engine = make_engine(model, training, here(torch.device("cpu")))
ids = torch.arange(32)[None]
batch = {"input_ids": ids, "labels": ids.roll(-1, 1), "weights": torch.ones(ids.shape), "attention_mask": torch.ones_like(ids)}
engine.accumulate(batch, last=True)
engine.step(0.0)  # Some weights stay gathered after a step.
served = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
for parameter in served.parameters():
    parameter.data.zero_()  # Else its pages are the file's, and are counted when they are written.

def whole():
    return sum(each.ds_numel for each in model.parameters() if each.ds_status == ZeroParamStatus.AVAILABLE)

def memory(key):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024

def watched():
    for name, tensor in engine.weights():
        seen.append((whole(), tensor.numel()))
        yield name, tensor

seen = []
for _ in engine.weights():  # What is allocated at the first time only is not what is measured.
    pass
Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
before = memory("VmRSS")
copy_weights(watched(), served)
grown = memory("VmHWM") - before
Path(target).write_text(json.dumps({"seen": seen, "grown": grown, "left": whole()}))
if rank == "0":
    served.save_pretrained(Path(target).with_suffix(".copy"))
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_a_checkpoint_is_gathered_one_tensor_at_a_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 8, "num_key_value_heads": 8}
    config = Qwen3Config(vocab_size=4096, head_dim=64, max_position_embeddings=64, tie_word_embeddings=True, **sizes)
    model = AutoModelForCausalLM.from_config(config)
    base = tmp_path / "base"
    model.save_pretrained(base)
    num_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
    largest = max(parameter.numel() for parameter in model.parameters())
    found = _run(base, tmp_path)
    for worker in found:
        assert len(worker["seen"]) == len(list(model.parameters())), "a tied tensor comes once, every other one too"
        assert all(whole == size for whole, size in worker["seen"]), "another tensor was whole beside the one that is copied"
        assert worker["left"] < largest / 10, "between steps only small weights, as those of norms, stay whole"
        # The tensor that is gathered, and what is sent for it; not the 170 MB of the model.
        assert worker["grown"] < num_bytes / 4, f"{worker['grown'] / 1e6:.0f} MB more while {num_bytes / 1e6:.0f} MB were copied"
    assert 4 * largest < num_bytes / 16, "the test would tell nothing of a model whose one tensor is a large share of it"
    copied = AutoModelForCausalLM.from_pretrained(tmp_path / "worker-0.copy")
    for (name, expected), weight in zip(model.named_parameters(), copied.parameters(), strict=True):
        assert torch.equal(expected, weight), name


def _run(base: Path, root: Path) -> list[dict[str, object]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    targets = [root / f"worker-{rank}.json" for rank in range(NUM_WORKERS)]
    workers = []
    for rank, target in enumerate(targets):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(NUM_WORKERS), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _WORKER, str(rank), str(NUM_WORKERS), port, str(base), str(target)]
        workers.append(subprocess.Popen(command, env={**os.environ, **ranks}))
    try:
        assert [worker.wait(timeout=400) for worker in workers] == [0] * NUM_WORKERS
    finally:
        for worker in workers:
            worker.kill()
    return [json.loads(target.read_text()) for target in targets]
