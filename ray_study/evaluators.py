"""Which models the replicas of `resources.evaluate` serve: those of the sweep, and the judges and reward models that an exam asks."""

from __future__ import annotations

from collections.abc import Iterator

from ray_study.config import ServeResources, Study


def judge_models(study: Study) -> frozenset[tuple[str, bool]]:
    """The models that are served here for judges of some benchmark: the name, and whether it only scores."""
    asked = {name for benchmark in study.evaluation.benchmarks.values() for name in benchmark.judge}
    judges = [study.judges[name] for name in asked]
    return frozenset((judge.model, judge.rubric == "reward") for judge in judges if judge.model is not None)


def num_identities(study: Study) -> int:
    """How many different models the evaluators will be asked for, at most: some may share their engines.

    Where there is no sweep, one model is scored after the other, each beside the judges; one alone has been answered whole when its judges
    are first asked, and each has all replicas.
    """
    judges = judge_models(study)
    if "sweep" not in study.model_fields_set:
        scored = study.models.keys() - {name for name, _ in judges}
        return 1 + len(judges) if len(scored) > 1 else 1
    return len(judges | {(name, False) for name in study.sweep.model})


def engine_lines(study: Study) -> Iterator[str]:
    """What a plan says of engines that come and go: how many there are, and on what, with those that are otherwise for one model."""
    for stage, section in (("generate", study.resources.generate), ("evaluate", study.resources.evaluate)):
        if section.comes_and_goes:
            yield f"  {stage}: {_engines(section)}" + "".join(f"; {name}: {_engines(section.of(name))}" for name in section.by_model)


def _engines(serve: ServeResources) -> str:
    gpus = serve.gpus_per_replica
    each = f"{gpus} accelerator{'s' if gpus > 1 else ''}" if gpus else "no accelerator"
    return f"{serve.idle_replicas} to {serve.replicas} replicas of {each}"
