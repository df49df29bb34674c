from __future__ import annotations

import json
from pathlib import Path

import pytest
from labs import make_lab

from ray_study.materials import UNJUDGEABLE, load_problems

ROWS = [
    {"prompt": "What is 1 + 1?", "answer": "2"},
    {"prompt": "Which one?", "answer": "no number at all"},
    {"prompt": "What is 2 + 3?", "answer": "5"},
]


def changes(directory: Path, *, drop: bool) -> dict[str, object]:
    path = directory / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    return {"problems/own": {"source": "jsonl", "drop_unjudgeable": drop, "options": {"kind": "number", "path": str(path)}}}


def test_a_gold_that_no_verifier_reads_stops_the_set_with_the_row_named_and_the_mend(tmp_path: Path) -> None:
    lab = make_lab(tmp_path, changes(tmp_path, drop=False))
    with pytest.raises(ValueError, match=r"1 gold answers cannot be judged.*drop_unjudgeable: true(.|\n)*no number at all"):
        load_problems(lab, "own")


def test_such_rows_are_left_out_and_counted_where_the_file_says_so(tmp_path: Path) -> None:
    result, rows = load_problems(make_lab(tmp_path, changes(tmp_path, drop=True)), "own")
    assert [row.answer for row in rows] == ["2", "5"] or [row.answer for row in rows] == ["5", "2"]
    assert result.record["num_rows"] == 2
    assert result.record["dropped"][UNJUDGEABLE] == 1
    assert "no number at all" in result.record["unjudgeable"][0]


def test_a_file_whose_content_changed_is_read_again(tmp_path: Path) -> None:
    made = changes(tmp_path, drop=True)
    first, _ = load_problems(make_lab(tmp_path, made), "own")
    again, _ = load_problems(make_lab(tmp_path, made), "own")
    assert again.made == first.made
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"prompt": "What is 4 + 4?", "answer": "8"}))
    other, rows = load_problems(make_lab(tmp_path, made), "own")
    assert other.made != first.made
    assert len(rows) == 3


def test_a_balanced_part_is_stored_with_the_manifest_of_its_items(tmp_path: Path) -> None:
    rows = [
        {"question_id": number, "question": f"{number}?", "options": ["a", "b"], "answer": "A", "category": f"c{number % 3}"}
        for number in range(30)
    ]
    path = tmp_path / "mmlu.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    part = {"source": "mmlu_pro", "options": {"path": str(path), "balanced": 9}}
    result, chosen = load_problems(make_lab(tmp_path, {"problems/part": part}), "part")
    assert result.record["manifest"]["num_by_category"] == {"c0": 3, "c1": 3, "c2": 3}
    assert sorted(one for ids in result.record["manifest"]["ids"].values() for one in ids) == sorted(problem.id for problem in chosen)
    whole = {"source": "mmlu_pro", "options": {"path": str(path)}}
    assert "manifest" not in load_problems(make_lab(tmp_path, {"problems/whole": whole}), "whole")[0].record
