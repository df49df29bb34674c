"""What identifies a judge's replies, and verdicts that were made of them. Pure: status and a second run name the same results."""

from __future__ import annotations

from typing import Any

from ray_study.config import Study
from ray_study.grid import model_literal
from ray_study.verify.rubrics.judged import REWARD, RUBRICS


def judge_literal(study: Study, name: str) -> dict[str, Any]:
    """Who is asked, in which words and how. Where a server stands, its key and its budget say nothing about a reply."""
    judge = study.judges[name]
    literal: dict[str, Any] = {
        "rubric": judge.rubric,
        "words": RUBRICS[judge.rubric].hash if judge.rubric in RUBRICS else "",
        "sampling": judge.sampling.model_dump(mode="json"),
        "thinking": judge.thinking,
        "most_characters": judge.most_characters,
    }
    if judge.endpoint is not None:
        return {**literal, "endpoint": judge.endpoint.model}
    assert judge.model is not None
    if judge.rubric == REWARD:
        # Its files are a source of its scores; nothing is sampled.
        exact = {"model": study.models[judge.model].model_dump(mode="json"), "max_model_len": study.models[judge.model].max_model_len}
        return {"rubric": REWARD, "most_characters": judge.most_characters, **exact}
    return {**literal, "model": model_literal(study, judge.model), "max_model_len": study.models[judge.model].max_model_len}


def judging_literal(study: Study, benchmark: str) -> dict[str, Any]:
    """By whom a benchmark's answers are judged; empty where its problems' own kind decides."""
    settings = study.evaluation.benchmarks[benchmark]
    if not settings.judge:
        return {}
    judges = [{**judge_literal(study, name), "validate_on": list(study.judges[name].validate_on)} for name in settings.judge]
    return {"judges": judges, "thought": settings.judge_thought}
