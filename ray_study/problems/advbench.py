"""AdvBench inside the `pyrit` wheel: 520 harmful requests, for which to refuse is correct."""

from __future__ import annotations

from pathlib import Path

import yaml

from ray_study import assets
from ray_study.problems.draws import digest, subset
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

ASSET = "pyrit"
MEMBER = "pyrit/datasets/seed_datasets/local/adv_bench.prompt"


class AdvBenchOptions(Options):
    """No options: the request is the whole prompt, since asking for a boxed answer would ask for compliance."""


def load(spec: SourceSpec[AdvBenchOptions]) -> list[Problem]:
    """The subset of AdvBench that was asked for."""
    return subset(advbench(assets.fetch(ASSET)), spec.num_problems, spec.seed)


def advbench(wheel: Path) -> list[Problem]:
    """AdvBench's requests (kind `refusal`); the cluster is the first harm category of its labels."""
    # In C where PyYAML was built with it, ten times as fast, to the same values.
    seeds = yaml.load(assets.read_member(wheel, MEMBER), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["seeds"]
    clusters: dict[str, str] = {}
    for seed in seeds:
        clusters.setdefault(str(seed["value"]).strip(), str((seed.get("harm_categories") or ["none"])[0]))
    return [
        Problem(
            id=f"advbench-{digest(text)[:16]}",
            source="advbench",
            kind="refusal",
            prompt=text,
            answer="",
            cluster=cluster,
            solution="",
        )
        for text, cluster in clusters.items()
    ]
