"""How long the whole report of a study of the size of `sweeps/laptop.yaml` takes: 8 runs, 42 checkpoints, 4 benchmarks.

    python benchmarks/report.py [--rounds 3] [--profile FILE]

The attempts are made up, with a dip, cut answers and thinking; scores, statistics, figures, tables and the page are the real code's, and
so is writing them. Each round is a process of its own, as `ray-study report` is; loading the library counts. No engine and no cluster
is started. The last line is JSON. `ratio` is 20 seconds / measured (the median round); 1.0 or more is the goal.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ray_study.rows import BenchmarkCard, Checkpoint, GradedAttempt, Run, Verdict

GOAL = 1.0
MOST_SECONDS = 20.0
CAP = 128
STEPS = (0, 32, 64, 128, 256, 512)
MODELS, DATASETS, SEEDS = ("tiny-0.2m", "tiny-0.9m"), ("long", "short"), (0, 1)
SUITE = (
    ("sums", "in_domain", "exact", 96),
    ("other_tasks", "out_of_domain", "exact", 96),
    ("general_tasks", "general", "exact", 96),
    ("marked_requests", "safety", "refusal", 64),
)
"""Those of the laptop study: name, group, kind, items; each asked once."""


def cards() -> list[BenchmarkCard]:
    """The laptop study's benchmarks."""
    return [
        BenchmarkCard(
            benchmark=name,
            group=group,  # type: ignore[arg-type]
            kind=kind,  # type: ignore[arg-type]
            metric="share_refused" if kind == "refusal" else "accuracy",
            num_items=num_items,
            num_samples=1,
            note="",
        )
        for name, group, kind, num_items in SUITE
    ]


def made_up_runs() -> list[Run]:
    """Two models on two data sets with two seeds."""
    return [
        Run(
            id=f"{model}-{dataset}-{seed}",
            name=f"{model} on {dataset}, seed {seed}",
            stage="sft",
            model=model,
            dataset=dataset,
            seed=seed,
            settings="{}",
            status="finished",
            error="",
        )
        for model in MODELS
        for dataset in DATASETS
        for seed in SEEDS
    ]


def attempts_at(card: BenchmarkCard, run: Run, place: int) -> tuple[GradedAttempt, ...]:
    """One checkpoint's attempts at one benchmark: a dip in the middle, where answers also become long."""
    rng = np.random.default_rng([*f"{run.id} {card.benchmark}".encode(), place])
    ability = np.random.default_rng(len(card.benchmark)).beta(2, 2, card.num_items)
    dip = (0.0, 0.25, 0.2, 0.1, 0.0, 0.0)[place]
    lengths = np.minimum(rng.lognormal(3.2 + 4 * dip + 0.5 * (run.dataset == "long"), 0.6, card.num_items).astype(int) + 1, CAP)
    right = rng.random(card.num_items) < ability + 0.05 * place - dip

    def one(item: int) -> GradedAttempt:
        cut = bool(lengths[item] == CAP)
        verdict: Verdict = "unfinished" if cut else "correct" if right[item] else "wrong"
        body = "let me check: " + "1 + 2 = 3 and carry " * (int(lengths[item]) // 8)
        return GradedAttempt(
            problem_id=f"{card.benchmark}-{item:04d}",
            sample=0,
            asked_of=f"{run.id}-{place}",
            text=f"<think>{body}" if cut else f"<think>{body}</think>The answer is 3.",
            num_tokens=int(lengths[item]),
            finish_reason="length" if cut else "stop",
            cap=CAP,
            seed=item,
            thinking_opened=False,
            prompt_hash="0" * 16,
            explanation="",
            conditions='{"accelerator": "cpu"}',
            kind=card.kind,
            cluster=f"{card.benchmark}-{item:04d}",
            verdict=verdict,
            answer=None if cut else "3",
            lenient_verdict=verdict,
        )

    return tuple(one(item) for item in range(card.num_items))


def made_up_study() -> Any:
    """A study as `ray_study.results` would hand it over, its scores by `summarize`."""
    # Loading the library is part of what one waits for.
    from ray_study.analyze import ScoredAttempts, StudyTables, summarize  # noqa: PLC0415

    runs = made_up_runs()
    checkpoints = [
        Checkpoint(
            run=run.id,
            step=step,
            path="",
            num_tokens=step * 900,
            canary="{}",
            fingerprint=f"{run.model} base" if step == 0 else f"{run.id}@{step}",
        )
        for run in runs
        for step in STEPS
    ]
    cells, scores = [], []
    for run in runs:
        for place, step in enumerate(STEPS):
            # A base model is scored once, for the first of its runs.
            if step == 0 and run != next(each for each in runs if each.model == run.model):
                continue
            for card in cards():
                graded = attempts_at(card, run, place)
                cells.append(ScoredAttempts(run=run.id, step=step, benchmark=card.benchmark, attempts=graded))
                scores += summarize(
                    graded,
                    run=run.id,
                    step=step,
                    benchmark=card.benchmark,
                    group=card.group,
                    num_samples=1,
                    expected_items=card.num_items,
                )
    training = [
        (run.id, step, "loss", (2.0 - 0.1 * place) / (1 + step) ** 0.2)
        for place, run in enumerate(runs)
        for step in range(1, STEPS[-1] + 1)
    ]
    return StudyTables(
        runs=runs,
        checkpoints=checkpoints,
        scores=scores,
        benchmarks=cards(),
        attempts=cells,
        training=training,
        facts={
            "name": "laptop",
            "question": "As laptop.yaml asks.",
            "seeds": list(SEEDS),
            "parameters": dict(zip(MODELS, (200_000, 900_000), strict=True)),
        },
    )


def one_round(profile: str, results: multiprocessing.Queue[dict[str, float]]) -> None:
    """Puts the seconds and peak resident memory of one report, made in this process from nothing, into `results`."""
    start = time.perf_counter()
    from ray_study.analyze import write_report  # noqa: PLC0415

    loaded, cpu_loaded = time.perf_counter(), time.process_time()
    study = made_up_study()
    made, cpu_made = time.perf_counter(), time.process_time()
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    with tempfile.TemporaryDirectory() as root:
        page = write_report(Path(root), study)
        seconds = time.perf_counter() - made + (loaded - start)
        cpu_seconds = time.process_time() - cpu_made + cpu_loaded
        found = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "page_kilobytes": page.stat().st_size / 1000,
            "num_attempts": sum(len(cell.attempts) for cell in study.attempts),
            "num_cells": len(study.attempts),
        }
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    results.put(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default="", help="where to write what cProfile saw of the last round")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rounds = []
    for _ in range(options.rounds):
        results = context.Queue()
        process = context.Process(target=one_round, args=(options.profile, results))
        process.start()
        rounds.append(results.get(timeout=600))
        process.join()
        assert process.exitcode == 0
    seconds = sorted(each["seconds"] for each in rounds)
    middle = seconds[len(seconds) // 2]
    found = {
        "name": "report",
        "ratio": round(MOST_SECONDS / middle, 2),
        "goal": GOAL,
        "seconds": round(middle, 2),
        "fastest_seconds": round(seconds[0], 2),
        "slowest_seconds": round(seconds[-1], 2),
        "fastest_cpu_seconds": round(min(each["cpu_seconds"] for each in rounds), 2),
        "num_attempts": int(rounds[0]["num_attempts"]),
        "num_cells": int(rounds[0]["num_cells"]),
        "page_kilobytes": round(rounds[0]["page_kilobytes"]),
        "peak_megabytes": round(max(each["peak_megabytes"] for each in rounds)),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
