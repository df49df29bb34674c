"""A small sweep file as tests change it: two data sets, one tiny model, no download."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ray_study.config import Study

RAW: dict[str, Any] = {
    "name": "small",
    "question": "Does written thinking help with sums?",
    "seed": 1,
    "problems": {
        "sums": {"source": "arithmetic", "num_problems": 64, "options": {"digits": 2}},
        "held_out": {"source": "arithmetic", "num_problems": 16, "seed": 3, "options": {"digits": 2, "split": "heldout"}},
    },
    "teachers": {"solver": {"by": "solver"}},
    "datasets": {
        "cot": {"problems": "sums", "teacher": "solver"},
        "nocot": {"problems": "sums", "teacher": "solver", "transform": "drop_thinking"},
    },
    "models": {"tiny": {"scratch": {"hidden_size": 64, "num_layers": 2, "positions": 256}, "dtype": "float32"}},
    "sweep": {"model": "tiny", "dataset": ["cot", "nocot"], "seed": [0]},
    "training": {"steps": 8, "batch_size": 8, "learning_rate": 1e-3, "max_length": 128, "precision": "fp32"},
    "checkpoints": {"steps": [2, 8]},
    "evaluation": {
        "sampling": {"max_tokens": 32},
        "benchmarks": {"sums": {"problems": "held_out", "group": "in_domain"}},
    },
}


def changed(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The small sweep file with values set at keys written as paths (`training/steps`); `...` takes a key out."""
    raw = copy.deepcopy(RAW)
    for dotted, value in (changes or {}).items():
        *path, last = dotted.split("/")
        place: Any = raw
        for part in path:
            place = place.setdefault(part, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return raw


def study(changes: Mapping[str, Any] | None = None) -> Study:
    """The small study with values set at keys written as paths (`training/steps`)."""
    return Study.model_validate(changed(changes))


def sweep_file(directory: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """The path of the small sweep file, changed, as YAML."""
    path = directory / "sweep.yaml"
    path.write_text(yaml.safe_dump(changed(changes), sort_keys=False))
    return path
