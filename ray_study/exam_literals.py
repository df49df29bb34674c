"""The literals that identify an exam, a checkpoint's answers at it, and the verdicts on these. Pure, as `grid`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_study.chosen import items_literal
from ray_study.config import Study
from ray_study.grid import problems_literal
from ray_study.rows import Reads

ANSWERS_VERSION = 3
"""Raised by hand when the meaning of an answer's row changes. 2: an answer says how long it took and how likely it was. 3: its seed does
not depend on what the benchmark is called."""


def benchmark_literal(study: Study, name: str) -> dict[str, Any]:
    """What identifies an exam: the same for every checkpoint."""
    benchmark = study.evaluation.benchmarks[name]
    sampling = benchmark.sampling or study.evaluation.sampling
    return {
        "problems": problems_literal(study.problems[benchmark.problems]),
        "items": items_literal(benchmark.items),
        "num_samples": benchmark.num_samples,
        "sampling": sampling.model_dump(mode="json"),
        "thinking": benchmark.thinking,
        "seed": study.seed,
    }


def exam_seed(study: Study, name: str) -> tuple[object, ...]:
    """What the seeds of an exam's attempts come from, beside the item and the sample: nothing but what identifies the exam.

    Its name is for people: two names of one exam share their attempts, and so they must have the same seeds. Nor do `items` and
    `num_samples` have a say, so that a larger exam asks what a smaller one asked.
    """
    return (study.seed, "benchmark", study.problems[study.evaluation.benchmarks[name].problems].source)


def answers_literal(study: Study, benchmark: str, checkpoint: str, model: str) -> dict[str, Any]:
    """What identifies the answers of a checkpoint, by its fingerprint, at a benchmark."""
    return {
        "checkpoint": checkpoint,
        "benchmark": benchmark_literal(study, benchmark),
        "max_model_len": study.models[model].max_model_len,
    }


def verdicts_literal(
    answers: str, verify_version: int, reads: Reads = "answer", judging: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What identifies the verdicts on answers, by their fingerprint.

    Where another part than the answer is read, that too; `judging` says by whom, where judge models are asked.
    """
    read = {} if reads == "answer" else {"reads": reads}
    return {"attempts": answers, "verify": verify_version, **read, **({"judging": dict(judging)} if judging else {})}
