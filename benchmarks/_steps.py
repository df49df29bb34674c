"""Checkpoints of one model, a step apart."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from ray_study import model_files
from ray_study.manifests import read_manifest


def step_away(base: Path, directory: Path, *, seed: int = 0) -> Path:
    """The directory of another checkpoint of the same model: every weight moved by about one part in a hundred."""
    manifest = read_manifest(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, manifest.dtype))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.01 * torch.randn_like(parameter))
    stamp = model_files.Stamp(run=manifest.run, step=1, num_tokens=0, settings={})
    model_files.save_step(model, base, directory, stamp)
    return directory
