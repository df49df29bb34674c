"""What a sweep file declares of its models, data sets and exams, by name: for whoever sets one study beside another."""

from __future__ import annotations

from typing import Any

from ray_study.config import Study
from ray_study.exam_literals import benchmark_literal
from ray_study.grid import dataset_literal


def declared(study: Study) -> dict[str, Any]:
    """`models`, `datasets` and `benchmarks`, each name with what identifies what it stands for, as JSON."""
    return {
        "models": {name: _model(study, name) for name in study.models},
        "datasets": {name: dataset_literal(study, name) for name in study.datasets},
        "benchmarks": {name: _benchmark(study, name) for name in study.evaluation.benchmarks},
    }


def _model(study: Study, name: str) -> dict[str, Any]:
    model = study.models[name]
    return model.model_dump(mode="json", exclude={"pretrain"}, exclude_none=True) | {"pretrained_here": model.pretrain is not None}


def _benchmark(study: Study, name: str) -> dict[str, Any]:
    """How an exam is asked and judged; judges by the model that judges, not by what the file calls them."""
    benchmark = study.evaluation.benchmarks[name]
    judges = [_judge(study, judge) for judge in benchmark.judge]
    said = {key: getattr(benchmark, key) for key in ("benchmark", "protocol", "reads")}
    return benchmark_literal(study, name) | said | {"judges": judges}


def _judge(study: Study, name: str) -> dict[str, Any]:
    judge = study.judges[name]
    model = judge.endpoint.model if judge.endpoint is not None else _weights(study, judge.model or "")
    return {"model": model, "rubric": judge.rubric}


def _weights(study: Study, name: str) -> str:
    model = study.models[name]
    return model.hub or model.path or model.asset or name
