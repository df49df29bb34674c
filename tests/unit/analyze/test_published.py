"""What the paper prints is in the package as it was read, with its doubts, and our intervals beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from ray_study.analyze import published
from ray_study.analyze.published import Published, cells, exams, interval, numbers, table
from ray_study.benchmarks import BENCHMARKS, num_items
from ray_study.benchmarks.definition import PAPER_SAMPLING

QWEN = "Qwen/Qwen3-{}-Base"
COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"


def found(model: str, dataset: str, step: int, benchmark: str, **more: object) -> list[Published]:
    wanted = {"model": model, "dataset": dataset, "step": step, "benchmark": benchmark} | more
    return [row for row in cells() if all(getattr(row, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize(
    ("model", "dataset", "step", "benchmark", "value"),
    [
        ("1.7B", COT, 40, "math500", 42.9),
        ("1.7B", COT, 640, "ifeval", 33.7),
        ("1.7B", NOCOT, 480, "math500", 61.3),
        ("4B", COT, 20, "math500", 62.9),
        ("4B", "jasonrqh/Countdown-CoT-20k", 640, "mmlu_pro", 60.3),
        ("8B", "jasonrqh/NuminaMath-20k", 640, "livecodebench_v2", 7.9),
        ("8B", "", 0, "aime2024", 12.0),
        ("14B", NOCOT, 640, "alpaca_eval", 2.11),
    ],
)
def test_cells_read_by_eye_stand_in_the_file(model: str, dataset: str, step: int, benchmark: str, value: float) -> None:
    (row,) = found(QWEN.format(model), dataset, step, benchmark, **({"judge": ALPACA} if benchmark == "alpaca_eval" else {}))
    assert (row.value, row.doubt) == (value, "")


ALPACA = "allenai/Llama-3.1-8B-Instruct-RM-RB2"


def test_a_number_that_two_tables_print_is_one_cell_that_names_both() -> None:
    (row,) = found(QWEN.format("14B"), COT, 640, "math500", batch_size=256)
    assert (row.value, row.share, row.table) == (95.1, 0.951, "Table 2, Table 1")
    assert row.read_by == "independent reader 1; independent reader 2"
    assert sum((each.benchmark, each.value) == ("math500", 95.1) for each in numbers()) == 2


def test_the_file_has_as_many_numbers_as_the_tables_do() -> None:
    counts = Counter(row.table for row in numbers())
    assert counts == {
        "Table 5 (v1)": 8 * 9 + 9,
        "Table 2": 3 * 5 * 9 - 3,
        "Table 1": 3 * 9,
        "Table 4": 4 + 4,
        "Table 6": 9 * 6,
        "Table 7": 6,
        "Table 9": 9 * 9,
        "Table 10": 6,
        "Table 11": 9,
        "not said which": 2 * 7 * 2,
    }


def test_columns_of_the_tables_have_the_sums_that_were_added_by_hand() -> None:
    by_step = [row.value for row in numbers() if row.table == "Table 6" and row.benchmark == "math500"]
    assert sum(by_step) == pytest.approx(58.9 + 55.7 + 53.5 + 42.9 + 49.6 + 51.6 + 56.5 + 59.1 + 56.2)
    base = [row.value for row in numbers() if row.table == "Table 5 (v1)" and row.benchmark == "math500"]
    assert sum(base) == pytest.approx(529.1)


@pytest.mark.parametrize(
    ("model", "dataset", "step", "benchmark", "why"),
    [
        ("internlm/internlm2_5-20b", NOCOT, 640, "mmlu_pro", "repeats"),
        (QWEN.format("14B"), "", 0, "gpqa_diamond", "44.1 in Table 2 and as 41.8"),
        (QWEN.format("8B"), "", 0, "gpqa_diamond", "39.7 in Table 2 and as 37.5"),
        (QWEN.format("14B"), COT, 80, "math500", "only the difference"),
    ],
)
def test_a_doubtful_cell_says_why(model: str, dataset: str, step: int, benchmark: str, why: str) -> None:
    assert [why in row.doubt for row in found(model, dataset, step, benchmark)] == [True]


def test_what_is_derived_is_marked_and_is_its_difference_added_to_the_base() -> None:
    assert {(row.benchmark, row.value) for row in numbers() if row.derived} == {
        ("math500", 90.5),
        ("aime2024", 44.4),
        ("ifeval", 54.4),
        ("truthful_qa", 79.3),
    }
    assert all(row.unit != "points_over_base" for row in cells())


def test_no_cell_stands_twice() -> None:
    keys = [tuple(getattr(row, name) for name in published._IDENTIFYING) for row in cells()]
    assert len(keys) == len(set(keys)) == len(cells())


def test_the_exams_are_those_of_the_named_benchmarks_by_the_papers_protocol() -> None:
    for name, exam in exams().items():
        protocol = BENCHMARKS["halueval_qa" if name == "halueval" else name].protocols["paper"]
        sampling = dict(PAPER_SAMPLING) | dict(protocol.sampling)
        assert {key: getattr(exam, key) for key in sampling} == sampling, name
        assert exam.num_samples == protocol.num_samples, name
        assert name == "halueval" or exam.num_items == num_items(name, "paper"), name


def test_an_interval_is_over_answers_and_holds_the_number() -> None:
    (row,) = found(QWEN.format("14B"), COT, 640, "aime2024", batch_size=256)
    bounds = interval(row)
    # Wilson's on 198 of 300 answers.
    assert bounds == (pytest.approx(0.6047, abs=1e-4), pytest.approx(0.7112, abs=1e-4))
    assert interval(found(QWEN.format("14B"), NOCOT, 640, "alpaca_eval")[0]) is None
    shown = table().filter(pl.col("our_low").is_not_null())
    assert shown.select(((pl.col("our_low") <= pl.col("value")) & (pl.col("value") <= pl.col("our_high"))).all()).item()


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "published_exams.csv").write_text("benchmark,num_items\nmath500,500\n")
    with pytest.raises(ValueError, match="found the columns"):
        published.read_rows(tmp_path / "published_exams.csv", published.PublishedExam)


def test_the_data_files_are_named_as_part_of_the_package() -> None:
    root = Path(published.__file__).parents[2]
    assert '"analyze/published*.csv"' in (root / "pyproject.toml").read_text()
