"""How many answers change when the same requests share other batches: measured once, for docs/decisions/0012.

    python benchmarks/_batch_effect.py [--dtype float32|bfloat16] [--problems 64]

Asks one offline engine the same requests (same prompts, caps and seeds) one at a time, and 32 at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from _offline import SMALL, TINY, Offline, work_of

from ray_study import model_files, problems
from ray_study.assets import cache_directory
from ray_study.chat import Chat
from ray_study.config import Sampling
from ray_study.generate import Asking


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    model = (TINY if options.tiny else SMALL).model_copy(update={"dtype": options.dtype})
    directory = Path(model_files.prepare(model, "measured", cache_directory()))
    rows = problems.load("arithmetic", num_problems=options.problems, seed=0, options={"digits": 2})
    base = Asking(
        num_samples=1, sampling=Sampling(), positions=512, seed_parts=("effect",), worked_examples=(), thinking=None
    )  # fmt: skip
    for label, sampling in (("greedy", {"temperature": 0.0, "top_p": 1.0, "top_k": 0}), ("seeded", {"temperature": 0.6})):
        asking = replace(base, sampling=Sampling(**sampling, max_tokens=options.tokens))
        offline = Offline(directory, model, asking.sampling)
        found: dict[str, list[list[int]]] = {}
        for name, size in (("one", 1), ("many", 32), ("again", 32)):
            found[name] = []
            for start in range(0, len(rows), size):
                found[name] += offline.run(work_of(rows[start : start + size], Chat(directory), asking, texts=True))["ids"]
        offline.close()
        differ = sum(one != many for one, many in zip(found["one"], found["many"], strict=True))
        again = sum(one != many for one, many in zip(found["again"], found["many"], strict=True))
        print(
            json.dumps({"kind": label, "dtype": options.dtype, "answers": len(rows), "differ_1_32": differ, "differ_32_32": again}),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
