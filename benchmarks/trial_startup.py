"""How long a run takes from Tune's decision to its first step, against an empty `TorchTrainer.fit()` at Ray's defaults.

Each side has a Ray of its own in a process of its own, and they take turns. Ours is timed from the call that starts the sweep to the
first step's metrics: Tune, the trial's process, which trains by itself, its imports, the model, its rows and the step. The empty `fit()`
trains nothing, and is timed from its call to its return; `with_model` is the like for like: a `TorchTrainer` whose worker loads the same
model and takes one step of the same size, timed from the call to the end of that step.

    python benchmarks/trial_startup.py [--rounds 2]

The last line is JSON. `ratio` is (seconds of the empty `fit()`) / (ours), medians; the goal is 1.25, as ours is to take at most 0.8 of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOAL = 1.25
PARTS = {
    "to_trial": "Tune: the experiment, and the process of the trial",
    "to_loop": "Train's local mode, and what a worker imports",
    "loop": "the tokenizer, the rows, the model and the first step",
}


def model_and_rows(root: Path) -> tuple[Path, Path]:
    """Directories of a tiny model and of its examples; made in a process of their own, since the sides are to import by themselves."""
    from _training_rows import example, save_model  # noqa: PLC0415

    from ray_study import tables  # noqa: PLC0415
    from ray_study.rows import Example  # noqa: PLC0415

    base = save_model("qwen3-tiny", root / "base")
    tables.write([example(index, 128, 40) for index in range(16)], root / "examples" / "all.parquet", Example)
    return base, root / "examples"


def ours(root: Path, number: int) -> list[dict[str, float]]:
    """Runs one after the other in a cluster as a study starts it, each with the seconds of its parts."""
    from ray_study.config import Training, TrainResources  # noqa: PLC0415
    from ray_study.ray_cluster import connect  # noqa: PLC0415
    from ray_study.rows import Run  # noqa: PLC0415
    from ray_study.sweep import Job, train  # noqa: PLC0415
    from ray_study.train.layout import ATTEMPT, METRICS  # noqa: PLC0415

    training = Training(steps=1, batch_size=8, micro_batch_size=8, max_length=256, precision="fp32")
    found = []
    with connect(num_cpus=1, num_gpus=0):
        for index in range(number):
            name = f"run-{time.time_ns()}"
            run = Run(id=name, name=name, stage="sft", model="m", dataset="d", seed=index, settings="{}", status="owed", error="")
            job = Job(
                run=run,
                base=str(root / "base"),
                examples=str(root / "examples"),
                steps=(1,),
                training=training,
                directory=str(root / name),
                resources=TrainResources(workers=1),
            )
            began = time.time()
            (*_, end) = train([job], storage=str(root / "ray"), progress=lambda line: None)
            assert isinstance(end, Run), end
            assert end.status == "finished", end.error
            # By the files that it leaves: its attempt when the trial's function begins, its metrics when the first step has ended.
            tried = (root / name / ATTEMPT).stat().st_mtime
            stepped = (root / name / METRICS).stat().st_mtime
            told = json.loads((root / name / METRICS).read_text())
            loop = told["seconds"]
            found.append({"seconds": stepped - began, "to_trial": tried - began, "to_loop": stepped - loop - tried, "loop": loop})
    return found


def plain(root: Path, number: int) -> list[dict[str, float]]:
    """Empty fits, and fits with a model and a step, in a cluster as Ray starts it by itself."""
    import ray  # noqa: PLC0415
    from ray.train import RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    ray.init(address="local", num_cpus=8, log_to_driver=False)
    found = []
    for index in range(number):
        row = {}
        for name, function in (("empty", nothing), ("with_model", one_step)):
            directory = root / f"{name}-{index}-{time.time_ns()}"
            directory.mkdir()
            trainer = TorchTrainer(
                function,
                train_loop_config={"base": str(root / "base"), "directory": str(directory)},
                scaling_config=ScalingConfig(num_workers=1),
                run_config=RunConfig(name=directory.name, storage_path=str(root / "ray")),
            )
            began = time.time()
            trainer.fit()
            ended = directory / "stepped"
            row[name] = (ended.stat().st_mtime if ended.is_file() else time.time()) - began
        found.append(row)
    ray.shutdown()
    return found


def nothing(settings: dict[str, str]) -> None:
    """Trains nothing."""


def one_step(settings: dict[str, str]) -> None:
    """What a worker of one's own would do: load tokenizer and model, and take a step; a file tells when it has ended."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    AutoTokenizer.from_pretrained(settings["base"])
    model = AutoModelForCausalLM.from_pretrained(settings["base"])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(5, 261, (8, 128))
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    (Path(settings["directory"]) / "stepped").touch()


def in_a_process(side: str, root: Path, number: int) -> list[dict[str, float]]:
    """What a side finds in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--side", side, "--root", str(root), "--number", str(number)], stdout=-1, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--number", type=int, default=2, help="runs, and fits of each kind, in a round")
    parser.add_argument("--side", choices=["ours", "plain", "materials"], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "materials":
        model_and_rows(options.root)
        print("[]")
        return 0
    if options.side:
        print(json.dumps((ours if options.side == "ours" else plain)(options.root, options.number)))
        return 0
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    with tempfile.TemporaryDirectory() as directory:
        in_a_process("materials", Path(directory), 0)
        for round_ in range(options.rounds):
            for side in list(found)[:: 1 if round_ % 2 == 0 else -1]:
                rows = in_a_process(side, Path(directory), options.number)
                print(side, rows, flush=True)
                found[side] += rows
    print(json.dumps(summary(found)))
    return 0


def summary(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """The medians, and their ratio."""

    def median(side: str, key: str) -> float:
        return round(statistics.median(row[key] for row in found[side]), 2)

    mine, empty, with_model = median("ours", "seconds"), median("plain", "empty"), median("plain", "with_model")
    return {
        "name": "trial_startup",
        "ratio": round(empty / mine, 2),
        "goal": GOAL,
        "seconds": mine,
        "empty_fit_seconds": empty,
        "fit_to_first_step_seconds": with_model,
        "ratio_with_model": round(with_model / mine, 2),
        "parts": {what: median("ours", key) for key, what in PARTS.items()},
        "each": {side: [{key: round(value, 2) for key, value in row.items()} for row in rows] for side, rows in found.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
