from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import ray
import torch
from safetensors.torch import load_file

from ray_study import tables
from ray_study.config import Model, Scratch, Training, TrainResources
from ray_study.manifests import MANIFEST, read_manifest
from ray_study.model_files import prepare
from ray_study.ray_cluster import worker_environment
from ray_study.rows import Checkpoint, Example, Run
from ray_study.sweep import Job, give_up_without_memory, train
from ray_study.train.layout import FAILURE, METRICS, RESUME, write_failure

SCRATCH = Scratch(hidden_size=32, num_layers=2, num_heads=1, intermediate_size=64, positions=256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    root: Path
    base: str
    examples: str

    def job(self, run: str, *, steps: Sequence[int] = (2, 10), workers: int = 1, resume_seconds: float = 1e9, **training: object) -> Job:
        usual = {"steps": steps[-1], "batch_size": 8, "learning_rate": 1e-3, "max_length": 200, "precision": "fp32", "micro_batch_size": 4}
        return Job(
            run=Run(
                id=run, name=f"the run {run}", stage="sft", model="tiny", dataset="sums", seed=0, settings="{}", status="owed", error=""
            ),
            base=self.base,
            examples=self.examples,
            steps=tuple(steps),
            training=Training.model_validate({**usual, **training}),
            directory=str(self.root / run),
            resources=TrainResources(workers=workers, max_failures=1, resume_seconds=resume_seconds),
        )

    def train(self, *jobs: Job) -> list[Checkpoint | Run]:
        return list(train(jobs, storage=str(self.root / "ray"), progress=lambda line: None))

    def loss(self, run: str) -> list[float]:
        return [json.loads(line)["loss"] for line in (self.root / run / METRICS).read_text().splitlines()]

    def weights(self, run: str, step: int) -> dict[str, torch.Tensor]:
        return load_file(self.root / run / f"step-{step:06d}" / "model.safetensors")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root = tmp_path_factory.mktemp("sweep")
    base = prepare(Model(scratch=SCRATCH, dtype="float32"), "tiny", root)
    rows = []
    for index in range(40):
        thought = "<think>" + "again " * (index % 5) + "</think>"
        rows.append(Example(problem_id=f"p{index}", prompt=f"What is {index} + 7?", response=f"{thought}{index + 7}", num_tokens=0))
    tables.write(rows, root / "examples" / "all.parquet", Example)
    return Bench(root=root, base=str(base), examples=str(root / "examples"))


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray of its own, whatever else runs on the machine."""
    environment = {**worker_environment(ours=True), "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1"}
    ray.init(address="local", num_cpus=8, include_dashboard=True, log_to_driver=False, runtime_env={"env_vars": environment})
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_checkpoints_come_as_they_are_written_and_a_failed_run_stops_no_other(bench: Bench) -> None:
    jobs = [
        bench.job("good"),
        bench.job("too-large", batch_size=64),
        bench.job("diverges", learning_rate=1e30, max_grad_norm=1e30, warmup_share=0),
    ]
    lines: list[str] = []
    seen: list[tuple[str, int]] = []
    found: list[Checkpoint | Run] = []
    for event in train(
        jobs, storage=str(bench.root / "ray"), progress=lines.append, on_metrics=lambda run, row: seen.append((run, int(row["step"])))
    ):
        found.append(event)
        if isinstance(event, Checkpoint):
            assert read_manifest(Path(event.path)).fingerprint == event.fingerprint
    ended = {event.id: event for event in found if isinstance(event, Run)}
    assert {run: ended[run].status for run in ended} == {"good": "finished", "too-large": "failed", "diverges": "failed"}
    assert "40 rows are left to learn from, fewer than one batch of 64" in ended["too-large"].error
    assert "the run has diverged" in ended["diverges"].error
    of_good = [event for event in found if isinstance(event, Checkpoint) and event.run == "good"]
    assert [checkpoint.step for checkpoint in of_good] == [2, 10]
    assert found.index(ended["good"]) > found.index(of_good[-1])
    assert [step for run, step in seen if run == "good"] == list(range(1, 11))
    assert any(line.startswith("the run good: step 10 of 10, loss ") for line in lines)


def test_runs_that_have_everything_start_no_trial(bench: Bench) -> None:
    job = bench.job("there")
    directory = Path(job.directory)
    for step in job.steps:
        target = directory / f"step-{step:06d}"
        target.mkdir(parents=True, exist_ok=True)
        raw = json.loads((Path(bench.base) / MANIFEST).read_text())
        (target / MANIFEST).write_text(json.dumps({**raw, "run": "there", "step": step}))
    start = time.monotonic()
    found = bench.train(job)
    assert [event.step if isinstance(event, Checkpoint) else event.status for event in found] == [2, 10, "finished"]
    assert time.monotonic() - start < 5


def is_a_trial(command: Sequence[str]) -> bool:
    return " ".join(command).startswith("ray::ImplicitFunc.train")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_worker_is_replaced_and_the_run_ends_with_the_same_weights(bench: Bench) -> None:
    bench.train(bench.job("undisturbed", steps=(2, 150)))
    job = bench.job("killed", steps=(2, 150), resume_seconds=0)
    killed = False
    for _ in train([job], storage=str(bench.root / "ray"), progress=lambda line: None, on_metrics=None):
        if not killed:
            # A run of one worker trains in its trial's process. Asking Ray for it takes longer than the run has left.
            ours = {child.pid for child in psutil.Process().children(recursive=True)}
            trials = [each for each in psutil.process_iter(["cmdline"]) if each.pid in ours and is_a_trial(each.info["cmdline"] or [])]
            assert len(trials) == 1, "the run must be under way"
            trials[0].kill()
            killed = True
    assert len(bench.loss("killed")) == 150
    expected, found = bench.weights("undisturbed", 150), bench.weights("killed", 150)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not (bench.root / "killed" / RESUME).exists()


MODEL_CODE = """
import os
from pathlib import Path
import torch

with Path({log!r}).open("a") as log:
    log.write("a worker began\\n")
{end}
"""


def with_code(bench: Bench, run: str, directory: Path, end: str) -> tuple[Job, Path]:
    """A run whose model's own code, when a worker loads it, writes a line and then does what `end` says; and where it writes."""
    base, log = directory / run, directory / f"{run}.txt"
    shutil.copytree(bench.base, base)
    module = run.replace("-", "_")
    (base / f"{module}.py").write_text(MODEL_CODE.format(log=str(log), end=end))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": f"{module}.Deadly"}}))
    return replace(bench.job(run), base=str(base), trust_remote_code=True), log


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_run_whose_workers_die_is_tried_as_often_as_allowed_and_one_without_memory_once(bench: Bench, tmp_path: Path) -> None:
    # Nothing that Python can catch, and what torch says where there is no more memory.
    deadly, log = with_code(bench, "deadly", tmp_path, "os._exit(13)")
    hungry, log_of_hungry = with_code(bench, "hungry", tmp_path, "torch.empty(10**15)")
    hungry = replace(hungry, memory_estimate={"weights": 2 * 10**9, "gradients": 10**9})
    two, log_of_two = with_code(bench, "two-deadly", tmp_path, "os._exit(13)")
    two = replace(two, resources=TrainResources(workers=2, max_failures=1))
    ended = {event.id: event for event in bench.train(deadly, hungry, two, bench.job("beside")) if isinstance(event, Run)}
    assert {run: ended[run].status for run in ended} == {
        **{"deadly": "failed", "hungry": "failed", "two-deadly": "failed", "beside": "finished"}
    }
    assert "its workers failed 2 times" in ended["deadly"].error
    assert log.read_text().splitlines() == ["a worker began"] * 2, "max_failures is 1, so there are two attempts"
    assert "its workers failed 2 times" in ended["two-deadly"].error
    # The first of two that dies may take the other with it before that has begun.
    assert len(log_of_two.read_text().splitlines()) in (2, 3, 4)
    assert "out of memory: the plan estimates 3.00 GB a worker (weights 2.00, gradients 1.00)" in ended["hungry"].error
    assert log_of_hungry.read_text().splitlines() == ["a worker began"]


# What Ray 2.60 says where its monitor ended a process, and where it knows nothing but that one is gone.
MONITOR = "Task was killed due to the node running low on memory.\nMemory on the node was 15.2GB / 16.0GB (0.95), over the threshold."
GONE = (
    "The actor died unexpectedly before finishing this task.\nSome common causes include: (1) the process was killed by the OOM killer due "
    "to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV."
)


def test_a_worker_that_is_ended_for_memory_is_not_tried_again_and_the_estimate_stands_beside_what_was_used(tmp_path: Path) -> None:
    lines = [{"step": 1, "memory_bytes": 4e9}, {"step": 2, "memory_bytes": 7e9}, {"step": 3, "memory_bytes": 5e9}]
    (tmp_path / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 4, "mem')
    task = {"directory": str(tmp_path), "memory_estimate": {"weights": 2 * 10**9, "gradients": 10**9}}
    give_up_without_memory(task, GONE)
    assert not (tmp_path / FAILURE).exists(), "nobody knows what ended it, so it is tried again"
    give_up_without_memory(task, MONITOR)
    error = json.loads((tmp_path / FAILURE).read_text())["error"]
    assert error.startswith(
        "out of memory: the plan estimates 3.00 GB a worker (weights 2.00, gradients 1.00), it had used 7.00 GB at most;"
    )
    # What a worker said itself is the better reason.
    write_failure(tmp_path, "the worker's own words")
    give_up_without_memory(task, MONITOR)
    assert json.loads((tmp_path / FAILURE).read_text())["error"] == "the worker's own words"


def test_before_its_first_step_nobody_knows_what_a_worker_had_used(tmp_path: Path) -> None:
    give_up_without_memory({"directory": str(tmp_path), "memory_estimate": {}}, MONITOR)
    error = json.loads((tmp_path / FAILURE).read_text())["error"]
    assert error.startswith("out of memory: the plan has no estimate, what it had used is not known;")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_where_tune_itself_fails_every_run_is_a_row_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    jobs = [bench.job("unlucky"), bench.job("unlucky-too")]
    ended = [event for event in train(jobs, storage=str(tmp_path / "a-file" / "ray"), progress=lambda line: None) if isinstance(event, Run)]
    assert [(run.id, run.status) for run in ended] == [("unlucky", "failed"), ("unlucky-too", "failed")]
    assert all(run.error.startswith("the sweep stopped: ") for run in ended)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_learn_what_one_does(bench: Bench) -> None:
    found = [event for job in (bench.job("one"), bench.job("two", workers=2)) for event in bench.train(job)]
    assert [event.status for event in found if isinstance(event, Run)] == ["finished", "finished"]
    assert bench.loss("two") == pytest.approx(bench.loss("one"), rel=1e-5)
