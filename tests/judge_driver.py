"""A driver that does nothing but ask a judge: to be killed, and to go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from studies import study

from ray_study.engines import Engines
from ray_study.evaluate.judges import ask_judge
from ray_study.evaluate.questions import Question
from ray_study.materials import Lab
from ray_study.store import Store


def ask(url: str, root: Path) -> None:
    """Returns when the judge at `url` has answered three shards of four questions."""
    endpoint = {"url": url, "model": "judge-1", "requests_at_once": 2}
    settings = study({"judges": {"policy": {"endpoint": endpoint, "rubric": "policy"}}})
    store = Store(str(root), "small")
    lab = Lab(study=settings, store=store, engines=cast(Engines, None), cache=root, progress=lambda line: None)
    shards = {
        f"{shard:06d}": [Question(id=f"p{shard}-{item}/0/answer", request="How?", reply=f"So {shard} {item}.") for item in range(4)]
        for shard in range(3)
    }
    ask_judge(lab, "policy", shards, store.workspace("judgements", "x"))


if __name__ == "__main__":
    ask(sys.argv[1], Path(sys.argv[2]))
