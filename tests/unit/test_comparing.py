"""The verb `compare`: exit codes, what it writes and what it says of bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_study.__main__ import main
from ray_study.analyze.statistics import summarize
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables, write_tables
from ray_study.rows import BenchmarkCard, Checkpoint, GradedAttempt, Run

ITEMS = 60


def attempt(item: int, *, right: bool) -> GradedAttempt:
    return GradedAttempt(
        problem_id=f"p{item:03d}",
        sample=0,
        asked_of="f",
        text="",
        num_tokens=5,
        finish_reason="stop",
        cap=96,
        seed=0,
        thinking_opened=False,
        prompt_hash="0",
        explanation="",
        conditions="{}",
        kind="number",
        cluster=f"p{item:03d}",
        verdict="correct" if right else "wrong",
        answer="1",
        lenient_verdict="correct" if right else "wrong",
    )


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path) -> Path:
    """The results of a study of two runs, one right on 10 items of 60 and one on 50."""
    runs = [
        Run(id=data, name=f"m {data} seed=0", stage="sft", model="m", dataset=data, seed=0, settings="{}", status="finished", error="")
        for data in ("cot", "nocot")
    ]
    cells, scores = [], []
    for run, share in zip(runs, (10, 50), strict=True):
        graded = tuple(attempt(item, right=item < share) for item in range(ITEMS))
        cells.append(ScoredAttempts(run=run.id, step=4, benchmark="sums", attempts=graded))
        scores += summarize(graded, run=run.id, step=4, benchmark="sums", group="in_domain", num_samples=1, expected_items=ITEMS)
    card = BenchmarkCard(benchmark="sums", group="in_domain", kind="number", metric="accuracy", num_items=ITEMS, num_samples=1, note="")
    points = [Checkpoint(run=run.id, step=4, path="", num_tokens=1, fingerprint=run.id, canary="{}") for run in runs]
    study = StudyTables(runs=runs, checkpoints=points, scores=scores, benchmarks=[card], attempts=cells, facts={"name": "sums"})
    write_tables(tmp_path / "sums" / "report" / "data", study)
    return tmp_path / "sums"


def test_two_subsets_are_compared_printed_and_written(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = [str(store), str(store / "report"), "--runs-a", "dataset=cot", "--runs-b", "dataset=nocot", "--out", str(out)]
    assert main(["compare", *arguments]) == 0
    said = capsys.readouterr().out
    assert "+66.7" in said
    assert "sums at step 4: B is higher, 16.7 % in A and 83.3 % in B." in said
    assert said.splitlines()[-1] == f"comparison: {out / 'index.html'}"
    assert {path.name for path in out.iterdir()} == {"compare.csv", "compare.parquet", "compare.json", "figures", "index.html"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["STORE", "elsewhere"], "B: there is no elsewhere; expected a sweep file, or the directory of a study's results"),
        (["EMPTY", "STORE"], "holds no report"),
        (["STORE", "STORE"], "would be compared to itself; say with --runs-a and --runs-b"),
        (["STORE", "STORE", "--runs-a", "dataset=coat"], "A: no run that did not fail has dataset=coat; found cot, nocot"),
    ],
)
def test_bad_input_is_a_sentence_and_two(
    store: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"STORE": str(store), "EMPTY": str(tmp_path)}
    assert main(["compare", *(places.get(each, each) for each in arguments)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_sweep_file_whose_study_has_no_report_is_told_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(Path(__file__).parents[2] / "sweeps" / "laptop.yaml")
    text = Path(file).read_text()
    sweep = tmp_path / "laptop.yaml"
    sweep.write_text(f"{text}\nstorage: {tmp_path / 'none'}\n")
    assert main(["compare", str(sweep), str(sweep)]) == 2
    assert f"write it first: ray-study report {sweep}" in capsys.readouterr().err
