r"""The audit of a file in the layout of the authors' Math-CoT-20k, on rows of the kinds that are in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.verify.audit import ALL_VERIFY, BAD_INPUT, SOME_DO_NOT, main

RIGHT = [
    # (gold, what stands in the last box): equations up to a factor, moved terms, and plain answers
    ("2x+3y=6", "4x+6y=12"),
    (r"\frac{x^{2}}{4}-y^{2}=1", "x^2-4y^2=4"),
    ("x-2y+3=0", "-x+2y-3=0"),
    ("y=2x+1", "2x-y+1=0"),
    ("x^{2}+y^{2}=9", "y^2=9-x^2"),
    ("x=5", "5"),
    ("y=3x", "y=3x"),
    (r"\frac{7}{2}", "3.5"),
    ("50 %", r"50\%"),
    (r"(-\infty,1)\cup(2,+\infty)", r"(-\infty, 1) \cup (2, \infty)"),
    (r"a_{n}=2^{n}", "2^n"),
    ("B", r"\text{B}"),
]
WRONG = ("y=2x", "y=3x")


def response(answer: str) -> str:
    return rf"<think>Let me see. It may be \boxed{{0}}. No.</think>We solve it. The answer is $\boxed{{{answer}}}$."


def written(path: Path, pairs: list[tuple[str, str]], **columns: pa.Array) -> Path:
    golds, answers = [gold for gold, _ in pairs], [response(answer) for _, answer in pairs]
    table = {
        "data_source": ["openr1"] * len(pairs),
        "question": [f"Question {number}?" for number in range(len(pairs))],
        "answer": golds,
        "message": [[{"role": "user", "content": "Question?"}]] * len(pairs),
        "response": answers,
        "response_length": [len(answer) for answer in answers],
        "advantage": [1.0] * len(pairs),
    }
    pq.write_table(pa.table(table | columns), path, row_group_size=5)
    return path


def test_a_file_whose_rows_all_verify_is_fine_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(written(tmp_path / "good.parquet", RIGHT))]) == ALL_VERIFY
    assert capsys.readouterr().out == f"{len(RIGHT)} rows: {len(RIGHT)} correct\n"


def test_a_row_that_does_not_verify_is_named_with_gold_answer_and_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "bad.parquet", [*RIGHT, WRONG])
    assert main([str(file)]) == SOME_DO_NOT
    out = capsys.readouterr().out
    assert f"row {len(RIGHT)}: wrong (compared by math-verify)" in out
    assert "gold:     y=2x\n  answer:   y=3x" in out
    assert out.endswith(f"{len(RIGHT) + 1} rows: {len(RIGHT)} correct, 1 wrong\n")


def test_rows_that_were_expected_not_to_verify_are_no_failure_and_others_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "bad.parquet", [WRONG, *RIGHT, WRONG])
    assert main([str(file), "--expect", "0", str(len(RIGHT) + 1)]) == ALL_VERIFY
    assert main([str(file), "--expect", "0"]) == SOME_DO_NOT
    assert main([str(file), "--expect", "0", "1", str(len(RIGHT) + 1)]) == ALL_VERIFY
    assert "verified (or not in the file): [1]" in capsys.readouterr().out


def test_the_columns_may_have_other_names_and_more_rows_than_are_held_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.parquet"
    pq.write_table(pa.table({"q": ["?"] * 1200, "gold": ["1"] * 1199 + ["2"], "text": [response("1")] * 1200}), file)
    assert main([str(file), "--question", "q", "--answer", "gold", "--response", "text"]) == SOME_DO_NOT
    out = capsys.readouterr().out
    assert "row 1199: wrong" in out
    assert out.endswith("1200 rows: 1199 correct, 1 wrong\n")


def test_what_could_not_be_judged_is_named_as_that_and_not_as_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "slow.parquet", [("1", "((((10!)!)!)!)!"), (r"\frac{1}{", "1")])
    assert main([str(file), "--timeout", "1"]) == SOME_DO_NOT
    out = capsys.readouterr().out
    assert "row 0: timeout" in out or "row 0: error" in out
    assert "row 1: error (the gold answer" in out


def test_bad_input_is_said_with_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.parquet")]) == BAD_INPUT
    assert "none.parquet" in capsys.readouterr().err
    (tmp_path / "text.parquet").write_text("no Parquet", encoding="utf-8")
    assert main([str(tmp_path / "text.parquet")]) == BAD_INPUT
    assert "as Parquet" in capsys.readouterr().err
    file = written(tmp_path / "good.parquet", RIGHT)
    assert main([str(file), "--answer", "gold"]) == BAD_INPUT
    err = capsys.readouterr().err
    assert "no columns ['gold']" in err
    assert "'response_length'" in err
    assert main([str(file), "--answer", "advantage"]) == BAD_INPUT
    assert "holds double" in capsys.readouterr().err
    empty = written(tmp_path / "empty.parquet", RIGHT[:2], answer=pa.array(["1", None]))
    assert main([str(empty)]) == BAD_INPUT
    assert "row 1 of" in capsys.readouterr().err


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    file = written(tmp_path / "bad.parquet", [("1", "1"), WRONG])
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-m", "ray_study.verify.audit", str(file), "--expect", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("2 rows: 1 correct, 1 wrong\n")
