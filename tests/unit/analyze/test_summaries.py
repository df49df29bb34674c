from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest

from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, write_tables
from ray_study.analyze.summaries import summarize_table
from ray_study.rows import BenchmarkCard, GradedAttempt, Score

MakeAttempt = Callable[..., GradedAttempt]
MakeStudy = Callable[..., StudyTables]


def assert_equal(found: list[Score], expected: list[Score]) -> None:
    assert [(each.run, each.step, each.benchmark, each.metric) for each in found] == [
        (each.run, each.step, each.benchmark, each.metric) for each in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for field in fields(Score):
            value, wanted = getattr(one, field.name), getattr(other, field.name)
            assert value == (pytest.approx(wanted, abs=1e-9) if isinstance(wanted, float) else wanted), (one, field.name)


def table_of(directory: Path, cells: list[ScoredAttempts]) -> Path:
    write_tables(directory, StudyTables(attempts=cells))
    return directory / "attempts.parquet"


def test_the_table_path_gives_the_numbers_of_the_row_path(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(steps=(0, 40, 640), num_items=30)
    found = summarize_table(table_of(tmp_path, list(study.attempts)), study.benchmarks)
    assert_equal(found, sorted(study.scores, key=lambda each: (each.run, each.step, each.benchmark)))


def test_clusters_unjudged_ones_refusals_and_early_caps_are_treated_alike(make_attempt: MakeAttempt, tmp_path: Path) -> None:
    graded = [
        make_attempt(
            item,
            sample,
            ("correct", "wrong", "no_answer", "unfinished", "timeout", "error")[(item * 5 + sample) % 6],
            cluster=f"c{item // 3}",
            num_tokens=37 * (item + 3 * sample) % 4000 + 1,
        )
        for item in range(24)
        for sample in range(3)
    ]
    # An item of which nothing was judged, an attempt that was never asked, caps that differ.
    graded[:3] = [replace(each, verdict="timeout") for each in graded[:3]]
    graded[5] = replace(graded[5], finish_reason="refused", verdict="error", num_tokens=0)
    graded[8] = replace(graded[8], finish_reason="length", verdict="unfinished", cap=600, num_tokens=600)
    graded[9] = replace(graded[9], lenient_verdict="timeout")
    safety = [make_attempt(item, kind="refusal", verdict="wrong") for item in range(6)]
    cards = [
        BenchmarkCard(benchmark="a", group="general", kind="math", metric="accuracy", num_items=24, num_samples=3, note=""),
        BenchmarkCard(benchmark="b", group="safety", kind="refusal", metric="share_refused", num_items=6, num_samples=1, note=""),
    ]
    cells = [
        ScoredAttempts(run="r", step=5, benchmark="a", attempts=tuple(graded)),
        ScoredAttempts(run="r", step=5, benchmark="b", attempts=tuple(safety)),
    ]
    expected = [
        *summarize(graded, run="r", step=5, benchmark="a", group="general", num_samples=3, expected_items=24),
        *summarize(safety, run="r", step=5, benchmark="b", group="safety", num_samples=1, expected_items=6),
    ]
    assert_equal(summarize_table(table_of(tmp_path, cells), cards), expected)


def test_several_files_are_one_table(make_attempt: MakeAttempt, tmp_path: Path) -> None:
    card = BenchmarkCard(benchmark="a", group="general", kind="math", metric="accuracy", num_items=4, num_samples=1, note="")
    whole = [make_attempt(item, verdict="correct" if item % 2 else "wrong") for item in range(4)]
    paths = [
        table_of(tmp_path / name, [ScoredAttempts(run="r", step=1, benchmark="a", attempts=tuple(part))])
        for name, part in (("x", whole[:2]), ("y", whole[2:]))
    ]
    assert summarize_table(paths, [card])[0].value == 0.5


def test_a_shortfall_a_double_and_a_benchmark_without_a_card_raise(make_attempt: MakeAttempt, tmp_path: Path) -> None:
    """Trap E7."""
    card = BenchmarkCard(benchmark="a", group="general", kind="math", metric="accuracy", num_items=3, num_samples=2, note="")
    graded = [make_attempt(item, sample) for item in range(3) for sample in range(2)]
    for name, part, what in (
        ("short", graded[:-1], "found 5 attempts at 3 items, expected 6"),
        ("lacking", graded[:-2], "found 4 attempts at 2 items, expected 6"),
        ("twice", [*graded[:-1], graded[0]], "1 attempts stand twice"),
    ):
        path = table_of(tmp_path / name, [ScoredAttempts(run="r", step=1, benchmark="a", attempts=tuple(part))])
        with pytest.raises(ValueError, match=f"a, step 1 of r: {what}"):
            summarize_table(path, [card])
    path = table_of(tmp_path / "whole", [ScoredAttempts(run="r", step=1, benchmark="a", attempts=tuple(graded))])
    with pytest.raises(ValueError, match="give its card too"):
        summarize_table(path, [replace(card, benchmark="b")])
    assert summarize_table(path, [card])[0].value == 1.0


def test_texts_are_never_read(make_attempt: MakeAttempt, tmp_path: Path) -> None:
    card = BenchmarkCard(benchmark="a", group="general", kind="math", metric="accuracy", num_items=2, num_samples=1, note="")
    path = table_of(tmp_path, [ScoredAttempts(run="r", step=1, benchmark="a", attempts=(make_attempt(0), make_attempt(1)))])
    without = tmp_path / "without.parquet"
    pl.read_parquet(path).drop("text", "explanation", "prompt_hash", "conditions").write_parquet(without)
    assert summarize_table(without, [card]) == summarize_table(path, [card])


def test_followed_instructions_are_counted_alike(make_attempt: MakeAttempt, tmp_path: Path) -> None:
    def following(item: int, strict: list[bool], loose: list[bool], **changes: object) -> GradedAttempt:
        details = json.dumps({"instructions": ["x:y"] * len(strict), "strict": strict, "loose": loose})
        verdict = "correct" if all(strict) else "wrong"
        facts = {"kind": "instructions", "verdict": verdict, "lenient_verdict": "correct", "answer": None, "details": details}
        return make_attempt(item, **{**facts, **changes})

    graded = [following(item, [item % 2 == 0] * (1 + item % 3), [True] * (1 + item % 3), cluster=f"c{item % 6}") for item in range(12)]
    graded.append(following(12, [], [], verdict="timeout", lenient_verdict="timeout", details=""))
    card = BenchmarkCard(benchmark="ifeval", group="general", kind="instructions", metric="accuracy", num_items=13, num_samples=1, note="")
    found = summarize_table(table_of(tmp_path, [ScoredAttempts(run="r", step=3, benchmark="ifeval", attempts=tuple(graded))]), [card])
    assert_equal(found, summarize(graded, run="r", step=3, benchmark="ifeval", group="general", num_samples=1, expected_items=13))
    assert "lenient_instruction_accuracy" in {each.metric for each in found}
