"""Made-up studies whose scores come from made-up attempts by the real `summarize`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, TrainingRow
from ray_study.rows import BenchmarkCard, Checkpoint, GradedAttempt, Run, Score, Verdict

CARDS = (
    ("math-500", "in_domain", "math", 2),
    ("countdown", "in_domain", "countdown", 1),
    ("gsm8k-hard", "out_of_domain", "number", 1),
    ("gpqa-diamond", "out_of_domain", "choice", 2),
    ("mmlu-pro", "general", "choice", 1),
    ("advbench", "safety", "refusal", 1),
)
DATASETS = ("math-cot", "math-nocot", "numina", "countdown")
CAP = 4096


def make_card(name: str, num_items: int) -> BenchmarkCard:
    group, kind, num_samples = next((group, kind, samples) for card, group, kind, samples in CARDS if card == name)
    refusal = kind == "refusal"
    return BenchmarkCard(
        benchmark=name,
        group=group,
        kind=kind,
        metric="share_refused" if refusal else "accuracy",
        num_items=num_items,
        num_samples=num_samples,
        note="phrase match, not judged" if refusal else "",
    )


def make_attempt(item: int = 0, sample: int = 0, verdict: Verdict = "correct", **changes: Any) -> GradedAttempt:
    cut = verdict == "unfinished"
    values: dict[str, Any] = {
        "problem_id": f"p{item:04d}",
        "sample": sample,
        "asked_of": "f",
        "text": "So the answer is \\boxed{7}.",
        "num_tokens": CAP if cut else 100,
        "finish_reason": "length" if cut else "stop",
        "cap": CAP,
        "seed": 1,
        "thinking_opened": False,
        "prompt_hash": "0" * 16,
        "explanation": "",
        "conditions": '{"accelerator": "cpu", "engine": "0.29.0"}',
        "kind": "math",
        "cluster": f"p{item:04d}",
        "verdict": verdict,
        "answer": "7" if verdict in ("correct", "wrong") else None,
        "lenient_verdict": verdict if verdict != "no_answer" else "wrong",
    }
    return GradedAttempt(**(values | changes))


def make_run(dataset: str = "math-cot", model: str = "qwen3-1.7b", seed: int = 0, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": f"{model}/{dataset}/{seed}",
        "name": f"{model} on {dataset}, seed {seed}",
        "stage": "sft",
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "settings": '{"lr": 5e-05}',
        "status": "finished",
        "error": "",
    }
    return Run(**(values | changes))


def make_checkpoint(run: Run, step: int) -> Checkpoint:
    fingerprint = f"base of {run.model}" if step == 0 else f"{run.id}@{step}"
    return Checkpoint(run=run.id, step=step, path="", num_tokens=step * 1000, fingerprint=fingerprint, canary="{}")


def _attempts(rng: np.random.Generator, card: BenchmarkCard, share: float, length: float) -> tuple[GradedAttempt, ...]:
    difficulty = np.random.default_rng(len(card.benchmark)).normal(0, 0.15, card.num_items)
    attempts = []
    for item in range(card.num_items):
        for sample in range(card.num_samples):
            tokens = int(rng.lognormal(np.log(length), 0.5)) + 1
            right = rng.random() < share + difficulty[item]
            verdict: Verdict = "unfinished" if tokens > CAP else "correct" if right else "wrong" if rng.random() < 0.8 else "no_answer"
            attempts.append(make_attempt(item, sample, verdict, num_tokens=min(tokens, CAP), kind=card.kind))
            if verdict == "no_answer" and rng.random() < 0.5:
                attempts[-1] = replace(attempts[-1], lenient_verdict="correct")
    return tuple(attempts)


def make_study(  # noqa: PLR0913 - each one is a way in which studies differ
    *,
    models: Sequence[str] = ("qwen3-1.7b",),
    datasets: Sequence[str] = ("math-cot", "math-nocot"),
    steps: Sequence[int] = (0, 10, 20, 40, 80, 160, 320, 640),
    benchmarks: Sequence[str] = tuple(card for card, *_ in CARDS),
    num_items: int = 40,
    missing: Sequence[tuple[int, str]] = (),
    failed: Sequence[str] = (),
    with_attempts: bool = True,
) -> StudyTables:
    """A study in which reasoning dips and recovers; `missing` names cells (step, benchmark) that the first run lacks."""
    rng = np.random.default_rng(5)
    runs = [
        make_run(data, model, status="failed" if data in failed else "finished", error="loss is not finite" if data in failed else "")
        for model in models
        for data in datasets
    ]
    cards = [make_card(name, num_items) for name in benchmarks]
    scores: list[Score] = []
    cells: list[ScoredAttempts] = []
    training: list[TrainingRow] = []
    scored: set[tuple[str, str]] = set()
    checkpoints = [make_checkpoint(run, step) for run in runs for step in steps]
    for number, run in enumerate(runs):
        size = 0.1 * list(models).index(run.model)
        training += [
            (run.id, step, "loss", 1.6 / (1 + step / 90) ** 0.3 + 0.05 * float(rng.random())) for step in range(1, max(steps) + 1, 5)
        ]
        for step in steps:
            dip = 0.18 * np.exp(-(((np.log2(step + 1) - 5) / 1.5) ** 2)) if step else 0.0
            for place, card in enumerate(cards):
                fingerprint = run.model if step == 0 else f"{run.id}@{step}"
                if (fingerprint, card.benchmark) in scored or (number == 0 and (step, card.benchmark) in missing):
                    continue
                scored.add((fingerprint, card.benchmark))
                gain = (0.02 + 0.015 * datasets.index(run.dataset)) * np.log2(step + 1)
                share = float(np.clip(0.45 - 0.06 * place + size + gain - dip, 0.02, 0.98))
                graded = _attempts(rng, card, share, 350 + 6000 * float(dip) * (run.dataset != "math-nocot"))
                scores += summarize(
                    graded,
                    run=run.id,
                    step=step,
                    benchmark=card.benchmark,
                    group=card.group,
                    num_samples=card.num_samples,
                    expected_items=num_items,
                )
                cells.append(ScoredAttempts(run=run.id, step=step, benchmark=card.benchmark, attempts=graded))
    return StudyTables(
        runs=runs,
        checkpoints=checkpoints,
        scores=scores,
        benchmarks=cards,
        attempts=cells if with_attempts else [],
        training=training,
        facts=make_facts(),
    )


def make_facts() -> dict[str, Any]:
    return {
        "name": "quickstart",
        "question": "Does reasoning SFT on mathematics carry over to other tasks, and does it fall first?",
        "sweep": "# Does it carry over?\nname: quickstart\nmodels: [qwen3-1.7b]\n",
        "versions": {"ray": "2.60.0", "vllm": "0.29.0"},
        "seeds": [0],
        "git_commit": "0123abc",
        "stages": {"train": 125.2, "evaluate": 64.0},
        "device": "cpu, 2 cores",
        "datasets": [
            {
                "name": "math-cot",
                "examples": 900,
                "teacher": "long-division",
                "problems": "additions",
                "verdicts": {"correct": 900, "wrong": 80, "timeout": 2},
                "num_dropped": 18,
            }
        ],
        "owed": ["qwen3-1.7b on math-cot, step 640, mmlu-pro"],
    }


@pytest.fixture(name="make_study")
def make_study_fixture() -> Callable[..., StudyTables]:
    return make_study


@pytest.fixture(name="make_attempt")
def make_attempt_fixture() -> Callable[..., GradedAttempt]:
    return make_attempt


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[..., Run]:
    return make_run


@pytest.fixture(name="make_checkpoint")
def make_checkpoint_fixture() -> Callable[..., Checkpoint]:
    return make_checkpoint
