"""GPQA, MMLU-Pro and the AIME in their published layouts, made by hand; trap E1: everybody sits the same exam."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.problems import SOURCES, check, load, load_resolved
from ray_study.problems.formats import LONG, LONG_CHOICE, choice_request, without_request
from ray_study.problems.mmlu_pro import main
from ray_study.rows import Problem

ROOT = Path(__file__).parents[3]
CATEGORIES = [f"category {number}" for number in range(14)]


def gpqa(number: int) -> dict[str, Any]:
    return {
        "Record ID": f"rec{number:05d}",
        "Question": f"Which particle has number {number}?",
        "Correct Answer": f"the right one {number}",
        **{f"Incorrect Answer {each}": f"a wrong one {number}, {each}" for each in (1, 2, 3)},
        "Subdomain": "Physics (general)" if number % 2 else "Genetics",
        "High-level domain": "Physics",
    }


def mmlu_pro(number: int, category: str, num_options: int = 10) -> dict[str, Any]:
    return {
        "question_id": number,
        "question": f"What is {number} plus {number}?",
        "options": [str(2 * number + offset) for offset in range(num_options)],
        "answer": "ABCDEFGHIJ"[number % num_options],
        "answer_index": number % num_options,
        "cot_content": "",
        "category": category,
        "src": "made",
    }


def written(directory: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    path = directory / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(source: str, path: str, **options: object) -> list[Problem]:
    return load(source, num_problems=None, seed=0, options={"path": path, **options})


def right_option(problem: Problem) -> str:
    """The text behind the gold letter."""
    lines = without_request(problem.prompt).splitlines()
    return next(line[3:] for line in lines if line.startswith(f"{problem.answer}. "))


def test_a_row_of_gpqa_is_a_question_whose_gold_letter_stands_before_its_right_answer(tmp_path: Path) -> None:
    for problem in read("gpqa_diamond", written(tmp_path, [gpqa(number) for number in range(40)])):
        assert right_option(problem).startswith("the right one")
        assert problem.prompt.startswith("Question:\nWhich particle")
        assert problem.prompt.endswith(f"\n{LONG_CHOICE}")
        assert problem.cluster in {"Physics (general)", "Genetics"}
        assert problem.kind == "choice"


def test_the_authors_layout_has_the_options_in_running_text(tmp_path: Path) -> None:
    (problem,) = read("gpqa_diamond", written(tmp_path, [gpqa(1)]), layout="running", ids="column")
    assert problem.prompt.startswith("Problem: Which particle has number 1?\nOptions: A) ")
    assert f"{problem.answer}) the right one 1" in problem.prompt
    assert problem.id == "gpqa_diamond-rec00001"


def test_e1_gold_letters_of_gpqa_are_near_uniform(tmp_path: Path) -> None:
    number = 4000
    letters = Counter(problem.answer for problem in read("gpqa_diamond", written(tmp_path, [gpqa(each) for each in range(number)])))
    assert set(letters) == set("ABCD")
    # Four standard deviations of a fair draw.
    assert all(abs(count - number / 4) < 4 * (number * 3 / 16) ** 0.5 for count in letters.values()), letters


SHOW = """
import json, sys
from ray_study.problems import load
found = load("gpqa_diamond", num_problems=None, seed=0, options={"path": sys.argv[1]})
print(json.dumps([[one.id, one.prompt, one.answer] for one in found]))
"""


def test_e1_two_processes_with_other_hash_salts_build_the_same_exam(tmp_path: Path) -> None:
    path = written(tmp_path, [gpqa(number) for number in range(60)])
    shown = [
        subprocess.run(
            [sys.executable, "-c", SHOW, path],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=120,
        ).stdout
        for salt in ("1", "2")
    ]
    assert shown[0] == shown[1]
    here = [[one.id, one.prompt, one.answer] for one in read("gpqa_diamond", path)]
    assert json.loads(shown[0]) == here
    backwards = read("gpqa_diamond", written(tmp_path, [gpqa(number) for number in reversed(range(60))], "backwards.jsonl"))
    assert sorted(here) == sorted([one.id, one.prompt, one.answer] for one in backwards), "the order of the rows has no say"


def test_the_order_in_which_wrong_answers_are_published_has_no_say(tmp_path: Path) -> None:
    row = gpqa(3)
    turned = {**row, "Incorrect Answer 1": row["Incorrect Answer 3"], "Incorrect Answer 3": row["Incorrect Answer 1"]}
    assert read("gpqa_diamond", written(tmp_path, [row])) == read("gpqa_diamond", written(tmp_path, [turned], "turned.jsonl"))


def test_a_row_of_gpqa_with_equal_options_is_refused_with_its_place(tmp_path: Path) -> None:
    broken = {**gpqa(1), "Incorrect Answer 2": "the right one 1"}
    with pytest.raises(ValueError, match=r"line 2 of .*: expected four different options"):
        read("gpqa_diamond", written(tmp_path, [gpqa(0), broken]))


@pytest.mark.parametrize("source", ["gpqa_diamond", "mmlu_pro", "aime2024", "aime2025"])
def test_another_layout_is_refused_with_the_columns_expected_and_found(tmp_path: Path, source: str) -> None:
    with pytest.raises(ValueError, match=r"has no columns \[.*\]; expected those of .*, found \['text'\]"):
        check(source, {"path": written(tmp_path, [{"text": "?"}], "rows.parquet")})


def test_a_gated_set_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"Idavidrein/gpqa is gated: accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa"):
        load("gpqa_diamond", num_problems=None, seed=0, options={"name": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_row_of_mmlu_pro_has_up_to_ten_options_and_is_asked_for_one_of_their_letters(tmp_path: Path, name: str) -> None:
    rows = [mmlu_pro(9, "math"), mmlu_pro(13, "law", num_options=4)]
    problems = {problem.cluster: problem for problem in read("mmlu_pro", written(tmp_path, rows, name))}
    assert problems["math"].answer == "J"
    assert problems["math"].prompt.endswith(choice_request(10))
    assert "(A, B, C, D, E, F, G, H, I, or J)" in problems["math"].prompt
    assert problems["law"].prompt.endswith(f"D. 29\n{LONG_CHOICE}")
    assert problems["law"].id == "mmlu_pro-13"


def test_options_that_only_fill_the_list_up_are_left_out(tmp_path: Path) -> None:
    row = {**mmlu_pro(2, "math", num_options=4), "options": ["4", "N/A", "6", "N/A", "N/A"], "answer": "C"}
    (problem,) = read("mmlu_pro", written(tmp_path, [row]))
    assert (problem.answer, right_option(problem)) == ("C", "6")
    assert "D. " not in problem.prompt
    assert problem.prompt.endswith(choice_request(3))


@pytest.mark.parametrize("changed", [{"answer": "K"}, {"options": ["1"]}, {"options": "1, 2"}, {"answer": ""}, {"answer": "AB"}])
def test_a_row_of_mmlu_pro_without_a_letter_of_its_options_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"line 1 of .*: expected 2 to 10 options and the letter of one"):
        read("mmlu_pro", written(tmp_path, [{**mmlu_pro(2, "math"), **changed}]))


@pytest.fixture
def whole_set(tmp_path: Path) -> str:
    """1,900 rows of 14 categories, of which the largest has a third."""
    rows = [mmlu_pro(number, CATEGORIES[number % 14] if number % 3 else CATEGORIES[0]) for number in range(1900)]
    return written(tmp_path, rows, "mmlu-pro.parquet")


def test_a_balanced_part_has_as_many_of_each_category_and_is_the_beginning_of_a_larger_one(whole_set: str) -> None:
    chosen = read("mmlu_pro", whole_set, balanced=1000)
    counts = Counter(problem.cluster for problem in chosen)
    assert sum(counts.values()) == 1000
    assert set(counts.values()) == {71, 72}
    smaller = {problem.id for problem in read("mmlu_pro", whole_set, balanced=140)}
    assert smaller < {problem.id for problem in chosen}
    with pytest.raises(ValueError, match="5000 problems were asked for, but there are 1900"):
        read("mmlu_pro", whole_set, balanced=5000)


def test_a_part_comes_with_a_manifest_that_lists_its_ids_and_anybody_can_make_again(
    whole_set: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([whole_set, "1000"]) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    listed = sorted(one for ids in found["ids"].values() for one in ids)
    assert listed == sorted(problem.id for problem in read("mmlu_pro", whole_set, balanced=1000))
    assert (found["num_problems"], len(found["sha256"]), len(found["num_by_category"])) == (1000, 64, 14)
    assert main([whole_set]) == 0
    assert capsys.readouterr().out == first
    assert main([]) == 2


AIME2024 = {"id": 60, "problem": "Find x.", "solution": "It is 33.", "answer": "033", "url": "https://", "year": "2024"}


@pytest.mark.parametrize(
    ("source", "row", "answer"),
    [
        ("aime2024", AIME2024, "33"),
        ("aime2025", {"question": "Find x.", "answer": "588"}, "588"),
        ("aime2024", {**AIME2024, "answer": 0}, "0"),
    ],
)
def test_a_row_of_the_aime_is_a_problem_with_a_whole_number(tmp_path: Path, source: str, row: dict[str, Any], answer: str) -> None:
    (problem,) = read(source, written(tmp_path, [row]))
    assert (problem.kind, problem.answer, problem.prompt) == ("math", answer, f"Find x.\n{LONG}")
    assert SOURCES[source].has_solutions == bool(problem.solution)
    (spaced,) = read(source, written(tmp_path, [row]), request="spaced")
    assert spaced.prompt == f"Find x.\n {LONG}"
    assert without_request(spaced.prompt) == "Find x."


@pytest.mark.parametrize("answer", ["1000", "-3", "3.5", "x"])
def test_an_answer_that_no_aime_has_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 0 to 999 as answer"):
        load_resolved("aime2025", num_problems=None, seed=0, options={"path": written(tmp_path, [{"question": "?", "answer": answer}])})
