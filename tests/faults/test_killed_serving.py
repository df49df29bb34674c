"""An engine's process, Serve's controller or a replica is killed while checkpoints sit exams: nothing is lost, nothing is scored twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import ray
from labs import make_exams, make_lab
from transformers import AutoModelForCausalLM

from ray_study.engines import Engines
from ray_study.evaluate import Cell, Exam, score_checkpoint
from ray_study.grid import planned
from ray_study.materials import Lab
from ray_study.model_files import Stamp, prepare, save_step
from ray_study.owed import answers_mark
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, Checkpoint
from ray_study.runs import checkpoint_at
from ray_study.serving.pool import Pool
from ray_study.store import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHANGES: dict[str, Any] = {
    # Two shards fill the replica, so that some are answered, some are under way and some wait when something is killed.
    "evaluation/shard_size": 4,
    "resources": {"evaluate": {"cpus_per_replica": 1, "max_num_seqs": 4, "kv_cache_megabytes": 16}},
    "evaluation/sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 192},
    "evaluation/benchmarks": {
        "sums": {"problems": "held_out", "group": "in_domain", "items": 8},
        "more": {"problems": "held_out", "group": "general", "items": 16},
    },
}
NUM_SHARDS = {"sums": 2, "more": 4}
PATIENCE_SECONDS = 300.0


@dataclass
class Sitting:
    """A checkpoint that sits its exams in a thread of its own."""

    lab: Lab
    checkpoint: Checkpoint
    exams: list[Exam]
    cells: list[Cell] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._sit, daemon=True)
        self._thread.start()

    def _sit(self) -> None:
        self.cells += score_checkpoint(self.lab, self.checkpoint, self.exams)

    def shards(self, exam: str) -> frozenset[str]:
        """The shards of an exam that are stored."""
        return frozenset(self._answers(exam).shards())

    def written(self, exam: str, shard: str) -> int:
        """When a shard was written, in nanoseconds."""
        return Path(f"{self._answers(exam).path}/rows/{shard}.parquet").stat().st_mtime_ns

    def num_stored(self) -> int:
        return sum(len(self.shards(exam)) for exam in NUM_SHARDS)

    def attempts(self, exam: str) -> list[Attempt]:
        """The attempts at an exam, when it is over."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it is still waited for answers"
        assert [cell.why for cell in self.cells] == [""] * len(NUM_SHARDS)
        answers = self._answers(exam)
        return [attempt for shard in sorted(answers.shards()) for attempt in answers.read(shard, Attempt)]

    def _answers(self, exam: str) -> Workspace:
        mark = answers_mark(self.lab.study, exam, self.checkpoint.fingerprint, "tiny")
        return Workspace(path=self.lab.store.path(f"answers-{mark}"))


Sit = Callable[[str, int], Sitting]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """One Ray and one engine for all tests of this file."""
    with connect(num_cpus=2, num_gpus=0):
        found = Engines(lambda line: None, shard_size=4, owner=str(tmp_path_factory.mktemp("owner")))
        try:
            yield found
        finally:
            found.close()


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A model before it is trained, and two checkpoints of it that answer otherwise."""
    root = tmp_path_factory.mktemp("checkpoints")
    lab = make_lab(root, CHANGES)
    start = Path(prepare(lab.study.models["tiny"], "tiny", root))
    made = {}
    for step in (2, 8):
        model = AutoModelForCausalLM.from_pretrained(start)
        for parameter in model.parameters():
            parameter.data.mul_(3.0 + step / 4 if parameter.ndim > 1 else 1.0)
        made[step] = root / f"step-{step:06d}"
        save_step(model, start, made[step], Stamp(run=planned(lab.study)[0].id, step=step, num_tokens=step, settings={}))
    return made


@pytest.fixture
def sit(engines: Engines, steps: dict[int, Path], tmp_path: Path) -> Sit:
    """Begins a sitting in a store of that name."""

    def begin(store: str, step: int) -> Sitting:
        lab = replace(make_lab(tmp_path / store, CHANGES), engines=engines)
        run = planned(lab.study)[0]
        lab.last_steps[run.id] = 8
        return Sitting(lab=lab, checkpoint=checkpoint_at(str(steps[step]), run.id), exams=make_exams(lab))

    return begin


def in_the_middle(*sittings: Sitting) -> None:
    """Returns when one has a shard that is stored."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(sitting.num_stored() for sitting in sittings):
        assert time.monotonic() < deadline, "no shard was answered"
        time.sleep(0.005)


def killed(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def pool_of(engines: Engines) -> Pool:
    (pool,) = engines.pools
    assert isinstance(pool, Pool)
    return pool


def processes(engines: Engines) -> tuple[int, ...]:
    """Of the replica and of its engine."""
    found: tuple[int, ...] = pool_of(engines).handle.replicas.processes.remote().result()
    return found


def as_asked(rows: list[Attempt]) -> list[tuple[str, int, int, str]]:
    return [(row.problem_id, row.sample, row.seed, row.text) for row in rows]


def test_a_killed_engine_loses_no_shard_and_none_is_answered_twice(sit: Sit, engines: Engines, caplog: pytest.LogCaptureFixture) -> None:
    undisturbed = sit("undisturbed", 8)
    expected = {exam: as_asked(undisturbed.attempts(exam)) for exam in NUM_SHARDS}
    replica, *ranks = processes(engines)
    sitting = sit("killed", 8)
    in_the_middle(sitting)
    killed(ranks[0])
    stored = {exam: sitting.shards(exam) for exam in NUM_SHARDS}
    assert sum(map(len, stored.values())) < sum(NUM_SHARDS.values()), "it was over before the engine was killed"
    for exam in NUM_SHARDS:
        rows = sitting.attempts(exam)
        assert as_asked(rows) == expected[exam], "an attempt was lost, made twice, or is another"
        assert {row.asked_of for row in rows} == {sitting.checkpoint.fingerprint}
    again, *other_ranks = processes(engines)
    assert again == replica, "its replica started another engine, and no other replica came"
    assert not set(other_ranks) & set(ranks)
    lost = [line for line in caplog.messages if "was lost with its replica" in line]
    assert lost, "nobody was told"
    for line in lost:
        assert any(f"a shard of {exam} of {sitting.checkpoint.path} from " in line for exam in NUM_SHARDS)
        assert any(repr(row.problem_id) in line for exam in NUM_SHARDS for row in sitting.attempts(exam))


def test_a_restarted_controller_loses_no_shard_and_none_is_answered_twice(sit: Sit, engines: Engines) -> None:
    expected = {step: as_asked(sit(f"undisturbed-{step}", step).attempts("more")) for step in (2, 8)}
    was = processes(engines)
    controller = ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
    first = ray.get(controller.get_pid.remote())
    # One engine, two checkpoints: the second waits for the first, and so for a count of replicas that nobody can give for a while.
    sittings = {step: sit("killed", step) for step in (2, 8)}
    in_the_middle(*sittings.values())
    killed(first)
    assert sum(sitting.num_stored() for sitting in sittings.values()) < 2 * sum(NUM_SHARDS.values()), "it was over before"
    assert {step: as_asked(sitting.attempts("more")) for step, sitting in sittings.items()} == expected
    assert processes(engines) == was, "an engine was started again"
    assert ray.get(controller.get_pid.remote()) != first
    assert pool_of(engines).num_live() == 1, "the new controller knows the replica that it found"


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_replica_leaves_no_engine_and_its_shards_are_answered_once_by_another(sit: Sit, engines: Engines) -> None:
    undisturbed = sit("undisturbed", 8)
    expected = {exam: as_asked(undisturbed.attempts(exam)) for exam in NUM_SHARDS}
    replica, *ranks = processes(engines)
    sitting = sit("killed", 8)
    in_the_middle(sitting)
    killed(replica)
    stored = {(exam, shard): sitting.written(exam, shard) for exam in NUM_SHARDS for shard in sitting.shards(exam)}
    assert 0 < len(stored) < sum(NUM_SHARDS.values()), "it was over before the replica was killed"
    for exam in NUM_SHARDS:
        assert as_asked(sitting.attempts(exam)) == expected[exam], "an attempt was lost, made twice, or is another"
    assert {(exam, shard): sitting.written(exam, shard) for exam, shard in stored} == stored, "what was stored was made again"
    again, *_ = processes(engines)
    assert again != replica
    assert not [process for process in (replica, *ranks) if is_alive(process)], "an engine outlived its replica"
