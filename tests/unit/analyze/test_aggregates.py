"""Parts as one number: weighed as stated, with the uncertainty of its parts, and in no count that they are in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from conftest import make_attempt

from ray_study.analyze.against import against_paper
from ray_study.analyze.aggregates import HALUEVAL, Aggregate, as_wholes, combined, together
from ray_study.analyze.findings import changes
from ray_study.analyze.page.content import gather
from ray_study.analyze.page.scores import final
from ray_study.analyze.report import build_context, render
from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables
from ray_study.rows import BenchmarkCard, Checkpoint, Run, Score

PARTS = tuple(HALUEVAL.sizes)
RIGHT = {"halueval_qa": (40, 30), "halueval_dialogue": (20, 40), "halueval_summarization": (25, 25)}
"""Right of 50 at step 0, and at step 640."""


def a_study(parts: tuple[str, ...] = PARTS, *, num_items: int = 50, **settings: Any) -> StudyTables:
    """One run that sat these parts at two steps."""
    run = Run(id="r", name="one", stage="sft", model="m", dataset="d", seed=0, settings="{}", status="finished", error="")
    cards, cells = [], []
    for part in parts:
        cards.append(
            BenchmarkCard(benchmark=part, group="general", kind="yes_no", metric="accuracy", num_items=num_items, num_samples=1, note="")
        )
        for step, right in zip((0, 640), RIGHT[part], strict=True):
            rows = [
                make_attempt(item, 0, "correct" if item < right else "wrong", problem_id=f"{part}{item}", cluster=f"{part}{item}")
                for item in range(num_items)
            ]
            cells.append(ScoredAttempts(run="r", step=step, benchmark=part, attempts=tuple(rows)))
    scores = [
        score
        for cell in cells
        for score in summarize(
            cell.attempts,
            run=cell.run,
            step=cell.step,
            benchmark=cell.benchmark,
            group="general",
            num_samples=1,
            expected_items=num_items,
        )
    ]
    declared = {part: {"benchmark": part, "protocol": "paper", "reads": "stripped", "num_samples": 1, **settings} for part in parts}
    points = [Checkpoint(run="r", step=step, path="", num_tokens=0, fingerprint=f"f{step}", canary="{}") for step in (0, 640)]
    return StudyTables(
        runs=[run], checkpoints=points, scores=scores, benchmarks=cards, attempts=cells, facts={"declared": {"benchmarks": declared}}
    )


def accuracy(study: StudyTables, benchmark: str, step: int) -> Score:
    (found,) = [each for each in study.scores if (each.benchmark, each.step, each.metric) == (benchmark, step, "accuracy")]
    return found


def test_the_whole_is_the_mean_of_its_parts_by_their_sizes_with_their_errors_combined() -> None:
    study = a_study()
    whole = accuracy(together(study), "halueval", 0)
    parts = [accuracy(study, part, 0) for part in PARTS]
    assert whole.value == pytest.approx((0.8 + 0.4 + 0.5) / 3)
    assert whole.standard_error == pytest.approx(math.sqrt(sum((each.standard_error or 0) ** 2 for each in parts)) / 3)
    assert (whole.num_items, whole.group, whole.metric) == (150, "general", "accuracy")
    assert whole.low is not None
    assert whole.high is not None
    assert whole.value is not None
    assert whole.value - whole.low == pytest.approx(math.sqrt(sum(((p.value or 0) - (p.low or 0)) ** 2 for p in parts)) / 3)
    # Narrower than any part, and about as wide as a normal interval.
    assert whole.high - whole.low == pytest.approx(2 * 1.96 * (whole.standard_error or 0), rel=0.05)


def test_weights_are_of_the_published_sets_and_not_of_what_was_asked() -> None:
    study = a_study()
    few = replace(accuracy(study, PARTS[0], 0), num_items=3)
    scores = {part: accuracy(study, part, 0) for part in PARTS} | {PARTS[0]: few}
    assert combined("halueval", HALUEVAL, scores).value == pytest.approx((0.8 + 0.4 + 0.5) / 3)
    uneven = Aggregate(name="halueval", sizes={PARTS[0]: 2, PARTS[1]: 1, PARTS[2]: 1})
    assert combined("halueval", uneven, scores).value == pytest.approx((2 * 0.8 + 0.4 + 0.5) / 4)


def test_a_part_without_a_value_leaves_the_whole_without_one_and_one_without_an_error_without_error() -> None:
    scores = {part: accuracy(a_study(), part, 0) for part in PARTS}
    unknown = scores | {PARTS[1]: replace(scores[PARTS[1]], value=None, standard_error=None, low=None, high=None)}
    found = combined("halueval", HALUEVAL, unknown)
    assert (found.value, found.standard_error, found.low, found.high) == (None, None, None, None)
    found = combined("halueval", HALUEVAL, scores | {PARTS[1]: replace(scores[PARTS[1]], standard_error=None, low=None, high=None)})
    assert (found.value, found.standard_error, found.low) == (pytest.approx((0.8 + 0.4 + 0.5) / 3), None, None)


def test_two_of_three_parts_are_no_whole_nor_are_parts_that_are_asked_differently() -> None:
    assert together(a_study(PARTS[:2])).benchmarks == []
    study = a_study()
    declared = dict(study.facts["declared"]["benchmarks"])
    declared[PARTS[0]] = {**declared[PARTS[0]], "protocol": "standard"}
    assert together(replace(study, facts={"declared": {"benchmarks": declared}})).scores == []
    assert as_wholes(a_study(PARTS[:2])) == a_study(PARTS[:2])


def test_a_checkpoint_that_did_not_sit_all_parts_has_no_whole() -> None:
    study = a_study()
    left = [score for score in study.scores if (score.benchmark, score.step) != (PARTS[2], 640)]
    assert {score.step for score in together(replace(study, scores=left)).scores} == {0}


def test_the_report_shows_the_whole_once_and_counts_it_nowhere_else() -> None:
    study = a_study()
    material = gather(study)
    content = final(material)
    rows = content.tables["together"].to_dicts()
    assert [(row["benchmark"], row["step"], row["num_items"]) for row in rows] == [("halueval", 0, 150), ("halueval", 640, 150)]
    assert {row["benchmark"] for row in content.tables["final"].to_dicts()} == set(PARTS)
    assert {change.benchmark for change in changes(study)} == set(PARTS)
    page = render(build_context(study))
    assert "Parts as one number" in page
    assert "halueval_qa 0.333, halueval_dialogue 0.333, halueval_summarization 0.333: by the items of their published sets" in page
    assert "Parts as one number" not in render(build_context(a_study(PARTS[:2])))


def test_beside_the_papers_number_stands_the_whole_and_no_part() -> None:
    sampling = {"temperature": 0.6, "top_p": 1.0, "top_k": 0, "max_tokens": 32768}
    study = a_study(sampling=sampling)
    whole = [replace(card, num_items=10_000) for card in study.benchmarks]
    models = {"m": {"hub": "Qwen/Qwen3-14B-Base", "max_model_len": 40960, "pretrained_here": False}}
    facts = {"declared": {"models": models, "datasets": {}, "benchmarks": study.facts["declared"]["benchmarks"]}}
    found = against_paper(replace(study, benchmarks=whole, facts=facts))
    (row,) = found.rows
    assert (row.benchmark, row.step, row.published) == ("halueval", 0, pytest.approx(0.547))
    assert row.ours == pytest.approx((0.8 + 0.4 + 0.5) / 3)
    assert "weighs them by their sizes" in row.note
    assert found.num_scores == 2, "no part is counted beside its whole"
    fewer = against_paper(replace(study, facts=facts))
    assert fewer.rows == ()
    assert "other items: 150 of halueval, not 30000" in dict(fewer.reasons)


def test_a_part_alone_is_set_beside_nothing_and_says_why() -> None:
    found = against_paper(a_study(PARTS[:1]))
    assert found.rows == ()
    assert dict(found.reasons)["a part of halueval, of which the paper prints one number over all parts"] == 2
