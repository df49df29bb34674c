from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from labs import CONDITIONS, answer, attempts, make_datasets, make_exams, make_lab

from ray_study import runs
from ray_study.analyze import report
from ray_study.analyze.page.content import gather
from ray_study.analyze.page.lengths import clipped
from ray_study.chat import Chat
from ray_study.evaluate import Cell, Exam
from ray_study.grid import planned
from ray_study.materials import Lab, base_directory
from ray_study.results import Findings, Found, findings, score_cell
from ray_study.rows import Checkpoint
from ray_study.runs import as_row, checkpoint_at
from ray_study.store import Result

SMALL = {"models/tiny/scratch/hidden_size": 32, "models/tiny/scratch/num_layers": 1, "training/max_length": 256, "sweep/dataset": "cot"}
OTHER = '{"accelerator": "other"}'


class Sat:
    """A study of one run whose exams are sat by hand: at step 0, and at a step 8 that has step 0's files under another name."""

    def __init__(self, directory: Path, **changes: object) -> None:
        self.lab: Lab = make_lab(directory, {**SMALL, **{key.replace("__", "/"): value for key, value in changes.items()}})
        self.datasets: dict[str, Result] = make_datasets(self.lab)
        (self.exam,) = make_exams(self.lab)
        (self.run,) = planned(self.lab.study)
        runs._prepare(self.lab, [self.run], self.datasets, None)
        self.start = checkpoint_at(base_directory(self.lab, "tiny"), self.run.id, step=0)
        self.end = replace(self.start, step=8, fingerprint="0" * 16)
        self.cells: list[Cell] = []

    def sit(self, checkpoint: Checkpoint, texts: Sequence[str], *, cap: int | None = None, conditions: str = CONDITIONS) -> Cell:
        rows = attempts(self.exam, texts, asked_of=checkpoint.fingerprint, cap=cap, conditions=conditions)
        self.cells.append(answer(self.lab, self.exam, checkpoint, rows))
        return self.cells[-1]

    def findings(self) -> Findings:
        found = Found(runs=[as_row(self.run, status="finished")], checkpoints=[self.start, self.end], cells=self.cells)
        return findings(self.lab, found, [self.exam], self.datasets, "name: small")

    def page(self) -> str:
        return report.render(report.build_context(self.findings().tables))


def right(exam: Exam) -> list[str]:
    return [f"It is \\boxed{{{item.answer}}}." for item in exam.items]


def half_right(exam: Exam) -> list[str]:
    """Some right, some wrong, some without an answer, one unfinished."""
    texts = right(exam)
    texts[1::4] = ["It is \\boxed{-1}."] * len(texts[1::4])
    texts[2::4] = ["I do not know."] * len(texts[2::4])
    texts[3] = "<think> and so on"
    return texts


@pytest.mark.parametrize("allowed", [False, True])
def test_a_curve_of_mixed_measuring_conditions_is_refused_unless_the_sweep_file_allows_it(tmp_path: Path, allowed: bool) -> None:
    """Trap E18."""
    sat = Sat(tmp_path, evaluation__allow_mixed_conditions=allowed)
    sat.sit(sat.start, half_right(sat.exam))
    sat.sit(sat.end, right(sat.exam), conditions=OTHER)
    found = sat.findings()
    assert {score.step for score in found.tables.scores} == ({0, 8} if allowed else set())
    sentence = f"sums of {sat.run.name!r}: its points were measured under different conditions ({CONDITIONS} | {OTHER})"
    assert any(sentence in line for line in found.owed) != allowed
    assert found.tables.facts["mixed_conditions"] == {f"{sat.run.id} sums": [CONDITIONS, OTHER]}, "it is marked either way"
    assert ("mixed conditions" in sat.page()) == allowed


def test_a_curve_of_one_measuring_condition_is_drawn(tmp_path: Path) -> None:
    sat = Sat(tmp_path)
    sat.sit(sat.start, half_right(sat.exam))
    sat.sit(sat.end, right(sat.exam))
    found = sat.findings()
    assert {score.step for score in found.tables.scores} == {0, 8}
    assert found.owed == ()
    assert found.tables.facts["mixed_conditions"] == {}


def test_judging_stored_attempts_again_gives_exactly_equal_scores(tmp_path: Path) -> None:
    """Trap E11."""
    sat = Sat(tmp_path)
    first = sat.sit(sat.start, half_right(sat.exam))
    before = score_cell(first, sat.exam)
    assert first.verdicts is not None
    assert len({row.verdict for row in before[1]}) == 4
    shutil.rmtree(first.verdicts.path)
    again = answer(sat.lab, sat.exam, sat.start, attempts(sat.exam, half_right(sat.exam), asked_of=sat.start.fingerprint))
    assert again.verdicts is not None
    assert again.verdicts.made != first.verdicts.made, "they were judged again"
    assert score_cell(again, sat.exam) == before


def test_the_ids_that_end_an_answer_are_recorded_with_it_and_shown(tmp_path: Path) -> None:
    """Trap E13."""
    sat = Sat(tmp_path)
    cell = sat.sit(sat.start, right(sat.exam))
    expected = list(Chat(sat.start.path).stop_ids)
    assert expected
    assert cell.verdicts is not None
    answers = sat.lab.store.recall("answers", cell.verdicts.record["inputs"]["attempts"])
    assert answers is not None
    assert answers.record["stop_ids"] == expected
    assert sat.findings().tables.facts["stop_ids"] == {"tiny": expected}
    assert "stop_ids" in sat.page()


def test_attempts_whose_cap_was_clipped_to_the_models_positions_are_counted_for_each_benchmark(tmp_path: Path) -> None:
    sat = Sat(tmp_path)
    sat.sit(sat.start, right(sat.exam))
    sat.sit(sat.end, right(sat.exam), cap=24)
    assert clipped(gather(sat.findings().tables)) == [{"benchmark": "sums", "max_tokens": 32, "num_attempts": 32, "num_clipped": 16}]
    assert "clipped to the model's positions" in sat.page()
    assert '<span class="warn">16</span>' in sat.page()


def test_a_checkpoint_that_runs_share_counts_once_among_the_clipped(tmp_path: Path) -> None:
    sat = Sat(tmp_path)
    cell = sat.sit(sat.start, right(sat.exam), cap=24)
    sat.cells.append(replace(cell, checkpoint=sat.end))
    assert clipped(gather(sat.findings().tables))[0]["num_clipped"] == 16


def test_rows_dropped_and_cut_and_template_differences_are_in_the_report(tmp_path: Path) -> None:
    """Traps T2 and T3."""
    sat = Sat(tmp_path, training__max_length=185)
    facts = sat.findings().tables.facts
    learned = facts["learned"][sat.run.id]
    assert learned["num_dropped"] > 0
    page = sat.page()
    assert f'<td class="n">{learned["num_rows"]}</td><td class="n">{learned["num_dropped"]}</td><td class="n">0</td>' in page
    (difference,) = facts["template_differences"]["cot as tiny"]
    assert "ends the response with" in difference
    assert "ends the response with" in page
