"""A small study at work, and checkpoints of its first run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from sitting import EXAMS, Answering, Bench, Open
from studies import study
from transformers import AutoModelForCausalLM

from ray_study import evaluate
from ray_study.engines import Engines
from ray_study.grid import planned
from ray_study.materials import Lab, load_problems
from ray_study.model_files import Stamp, prepare, save_step
from ray_study.runs import checkpoint_at
from ray_study.store import Store


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(prepare(study().models["tiny"], "tiny", tmp_path_factory.mktemp("cache")))


@pytest.fixture
def open_bench(base: Path, tmp_path: Path) -> Open:
    """Opens a bench, whose study has other settings where a test says so."""

    def opened(changes: Mapping[str, Any] | None = None, *, start: Path = base) -> Bench:
        settings = study({"evaluation/benchmarks": EXAMS, "evaluation/shard_size": 4, **(changes or {})})
        engines = Answering()
        store = Store(str(tmp_path / "results"), "small")
        lab = Lab(study=settings, store=store, engines=cast(Engines, engines), cache=tmp_path, progress=lambda line: None)
        run = planned(settings)[0]
        lab.last_steps.update({each.id: 8 for each in planned(settings)})
        checkpoints = {0: checkpoint_at(str(start), run.id, step=0)}
        model = AutoModelForCausalLM.from_pretrained(start)
        for step in (2, 8):
            model.get_input_embeddings().weight.data[step] += 0.5
            directory = Path(store.path(f"train-{run.id}/step-{step:06d}"))
            save_step(model, start, directory, Stamp(run=run.id, step=step, num_tokens=step, settings={}))
            checkpoints[step] = checkpoint_at(str(directory), run.id)
        return Bench(lab=lab, engines=engines, exams=evaluate.exams(settings, partial(load_problems, lab)), checkpoints=checkpoints)

    return opened
