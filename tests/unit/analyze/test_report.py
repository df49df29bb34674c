from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from ray_study.analyze.answer import sentence
from ray_study.analyze.findings import BESIDE, beside, changes, final_table
from ray_study.analyze.page.first import card_note
from ray_study.analyze.page.sections import SECTIONS
from ray_study.analyze.report import build_context, make_contents, render, write_report
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, read_study, schema_of
from ray_study.rows import GradedAttempt, Run, Score

MakeStudy = Callable[..., StudyTables]


class Page(HTMLParser):
    """What a browser would see: the tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.sections: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.sections += [value or "" for name, value in attrs if tag == "section" and name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(study: StudyTables) -> Page:
    """The page without its pictures, which are drawn elsewhere and take seconds."""
    return Page(render(build_context(study)))


def with_text(study: StudyTables, text: str) -> StudyTables:
    cells = [
        ScoredAttempts(
            run=cell.run,
            step=cell.step,
            benchmark=cell.benchmark,
            attempts=tuple(replace(each, text=text, answer=text) for each in cell.attempts),
        )
        for cell in study.attempts
    ]
    return replace(study, attempts=cells)


@pytest.fixture
def small(make_study: MakeStudy) -> StudyTables:
    return make_study(benchmarks=("math-500", "advbench"), steps=(0, 20, 640), num_items=20, missing=[(20, "math-500")])


def test_the_report_is_written_whole_and_read_back_equal(small: StudyTables, tmp_path: Path) -> None:
    page = write_report(tmp_path, small)
    assert page == tmp_path / "report" / "index.html"
    found = Page(page.read_text(encoding="utf-8"))
    assert found.sections == [section.name for section in SECTIONS]
    links = [value for name, value in found.attributes if name == "href" and not value.startswith("#")]
    assert links
    assert all((page.parent / link).exists() for link in links)
    summary = json.loads((page.parent / "report.json").read_text())
    assert summary["final"][0]["benchmark"] == "math-500"
    assert len(summary["missing"]) == 1

    again = read_study(tmp_path)
    for name in ("runs", "checkpoints", "scores", "benchmarks", "attempts", "training"):
        assert list(getattr(again, name)) == list(getattr(small, name)), name
    assert again.facts == small.facts


def test_the_page_needs_no_network_and_no_script(small: StudyTables, tmp_path: Path) -> None:
    found = Page(write_report(tmp_path, small).read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "srcset", "action")]
    assert all(value.startswith(("data:image/svg+xml;base64,", "#", "figures/", "data/", "flips/")) for value in addresses)
    assert "viewport" in [value for name, value in found.attributes if name == "name"]
    assert "prefers-color-scheme" in found.text
    assert not any(name.startswith("on") for name, _ in found.attributes)


def test_a_script_in_a_completion_is_text(small: StudyTables) -> None:
    """Trap O5."""
    evil = '</pre><script src="https://evil.example/x.js">alert(1)</script><img src=x onerror=alert(1)>'
    found = page_of(with_text(small, evil))
    assert "script" not in found.tags
    assert evil in found.text
    assert not any("evil.example" in value or name == "onerror" for name, value in found.attributes)


def test_a_script_in_facts_errors_and_labels_is_text(small: StudyTables) -> None:
    evil = "<script>alert(1)</script>"
    facts = {
        "name": evil,
        "question": evil,
        "sweep": evil,
        "owed": [evil],
        "datasets": [{"name": evil, "odd": evil}],
        "versions": {evil: evil},
    }
    runs = [replace(small.runs[0], dataset=evil, name=evil), replace(small.runs[1], status="failed", error=evil)]
    found = page_of(replace(small, facts=facts, runs=runs))
    assert "script" not in found.tags
    assert found.text.count(evil) >= 8


def test_a_missing_score_is_called_missing_and_never_zero(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("math-cot",), steps=(0, 40), missing=[(40, "math-500")])
    (change,) = changes(study)
    assert change.last is None
    assert change.num_missing == 1
    assert "missing at step 40" in sentence(change)
    assert final_table(study)["last_value"].to_list() == [None]
    assert "not scored" in page_of(study).text


def test_the_answer_says_whether_intervals_overlap_and_what_pairing_finds(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("numina", "countdown"), steps=(0, 640), num_items=200)
    for change in changes(study):
        assert change.first is not None
        assert change.last is not None
        apart = (change.last.low or 0) > (change.first.high or 0)
        text = sentence(change)
        assert ("do not overlap" in text) == apart
        assert f"{change.first.value:.3f} [" in text
        assert "On the same 200 items" in text


def test_step_zero_of_a_run_that_never_had_its_own_is_compared_through_its_weights(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), steps=(0, 640))
    second = changes(study)[1]
    assert second.first is not None
    assert second.first.run == study.runs[0].id
    assert second.difference is not None


def test_a_failed_run_is_listed_with_its_error_and_in_no_table(make_study: MakeStudy) -> None:
    """Trap T8."""
    study = make_study(benchmarks=("math-500",), failed=("math-nocot",), steps=(0, 10))
    contents = make_contents(study)
    assert [failure["error"] for failure in contents["failures"].values["failures"]] == ["loss is not finite"]
    assert {change.run for change in contents["final"].values["changes"]} == {study.runs[0].id}
    assert "loss is not finite" in page_of(study).text


def test_mixed_conditions_are_marked(small: StudyTables) -> None:
    """Trap E18."""
    assert not any(change.mixed_conditions for change in changes(small))
    cells = list(small.attempts)
    cells[-1] = replace(cells[-1], attempts=tuple(replace(each, conditions='{"accelerator": "other"}') for each in cells[-1].attempts))
    mixed = replace(small, attempts=cells)
    assert sum(change.mixed_conditions for change in changes(mixed)) == 1
    assert "mixed conditions" in page_of(mixed).text


def test_a_refusal_benchmark_says_that_it_is_a_phrase_match(small: StudyTables) -> None:
    assert "phrase match, not judged" in page_of(small).text
    refusal = replace(small.benchmarks[1], note="200 prompts")
    assert card_note(refusal) == "phrase match, not judged; 200 prompts"
    assert card_note(small.benchmarks[1]) == "phrase match, not judged"


def test_the_facts_of_data_sets_and_stages_are_all_shown(small: StudyTables) -> None:
    card = {"name": "d", "verdicts": {"correct": 4321}, "surprise": "kept too"}
    text = page_of(replace(small, facts={"datasets": [card], "stages": [{"stage": "train", "seconds": 77}], "odd": [1, 2]})).text
    for expected in ("4,321", "kept too", '"seconds": 77', "[1, 2]"):
        assert expected in text


@pytest.mark.parametrize(
    "changes_of_study",
    [
        {"datasets": ("math-cot",)},
        {"models": ("s", "m", "l"), "datasets": ("math-cot", "math-nocot", "numina", "countdown"), "steps": (0, 10)},
        {"with_attempts": False},
        {"steps": (0,)},
        {"failed": ("math-cot", "math-nocot")},
    ],
    ids=["one run", "twelve runs", "no attempts", "only step 0", "failed runs only"],
)
def test_every_shape_of_study_has_a_page(changes_of_study: dict[str, object], make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "advbench"), num_items=8, **changes_of_study)
    assert len(page_of(study).sections) == len(SECTIONS)
    assert final_table(study).schema == final_table(StudyTables()).schema


def test_a_study_with_nothing_in_it_has_a_report_and_keeps_its_column_types(tmp_path: Path) -> None:
    """Trap V9."""
    write_report(tmp_path, StudyTables())
    data = tmp_path / "report" / "data"
    assert pl.read_parquet_schema(data / "scores.parquet") == schema_of(Score)
    assert pl.read_parquet_schema(data / "runs.parquet") == schema_of(Run)
    assert pl.Null not in pl.read_parquet_schema(data / "attempts.parquet").values()
    assert set(schema_of(GradedAttempt)) < set(pl.read_parquet_schema(data / "attempts.parquet"))
    assert read_study(tmp_path).runs == []


def test_reading_a_store_without_a_report_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no report in"):
        read_study(tmp_path)


def test_form_end_and_length_stand_beside_the_score_and_a_missing_value_is_no_zero(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("math-cot",), steps=(0, 10, 40), missing=[(40, "math-500")])
    (row,) = beside(study, changes(study))
    expected = {each.metric: each.value for each in study.scores if each.step == 0}
    for metric in BESIDE:
        assert row["metrics"][metric] == (expected[metric], None)
    assert expected["response_tokens"]
