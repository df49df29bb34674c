"""Published sets in their layouts, made by hand: read from Parquet, JSONL and a directory, and what a broken one gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_study.problems import SOURCES, check, licence, load, load_resolved, resolved
from ray_study.problems.draws import split_of
from ray_study.problems.formats import LONG
from ray_study.rows import Problem

OPENR1 = {
    "problem": "What is 1 + 1?",
    "answer": "2",
    "solution": "One and one make 2.",
    "source": "olympiads",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "uuid": "u-1",
    "generations": ["<think>long</think>"],
}
NUMINA = {
    **{key: OPENR1[key] for key in ("problem", "answer", "solution", "source", "problem_type", "question_type")},
    **{"problem_is_valid": "Yes", "solution_is_valid": "Yes", "synthetic": False},
}
LUFFY = {
    "data_source": "openr1",
    "prompt": [{"role": "system", "content": "Think first."}, {"role": "user", "content": "What is 1 + 1?"}],
    "target": [{"role": "assistant", "content": "<think>\neasy\n</think>\n\\boxed{2}"}],
    "ability": "math",
    "reward_model": {"ground_truth": "2", "style": "rule"},
    "extra_info": {"index": 7, "split": "default"},
}
MATH = {"problem": "What is 1 + 1?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{2}$."}
GSM8K = {"question": "One and one?", "answer": "It is 1 + 1 = <<1+1=2>>2.\n#### 1,002"}
COUNTDOWN = {"nums": [95, 11, 56], "target": 28}
AUTHORS = {
    "data_source": "openr1_math",
    "question": "What is 1 + 1?",
    "answer": "2",
    "message": [{"role": "user", "content": f"What is 1 + 1?\n{LONG}"}],
    "response": "<think>easy</think>\n\\boxed{2}",
    "response_length": 9,
    "advantage": 1.0,
}
ROWS: dict[str, dict[str, Any]] = {
    "openr1_math": OPENR1,
    "numina_math": NUMINA,
    "luffy_r1": LUFFY,
    "math_train": MATH,
    "gsm8k_train": GSM8K,
    "countdown_tasks": COUNTDOWN,
    "authors_data": AUTHORS,
}
OPTIONS: dict[str, dict[str, object]] = {"countdown_tasks": {"split": "all"}}


def written(directory: Path, rows: Sequence[Mapping[str, Any]], kind: str = "jsonl") -> str:
    path = directory / f"train.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def problems(source: str, path: str, **options: object) -> list[Problem]:
    return load(source, num_problems=None, seed=0, options={**OPTIONS.get(source, {}), "path": path, **options})


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("source", "kind_of_answer", "answer", "solution"),
    [
        ("openr1_math", "math", "2", "One and one make 2."),
        ("numina_math", "math", "2", "One and one make 2."),
        ("luffy_r1", "math", "2", "<think>\neasy\n</think>\n\\boxed{2}"),
        ("math_train", "math", "2", "It is $\\boxed{2}$."),
        ("gsm8k_train", "number", "1002", "It is 1 + 1 = 2.\nThe answer is \\boxed{1002}."),
        ("countdown_tasks", "countdown", '{"numbers": [95, 11, 56], "target": 28}', ""),
        ("authors_data", "math", "2", "<think>easy</think>\n\\boxed{2}"),
    ],
)
def test_a_row_of_each_layout_becomes_a_problem(
    tmp_path: Path, kind: str, source: str, kind_of_answer: str, answer: str, solution: str
) -> None:
    (found,) = problems(source, written(tmp_path, [ROWS[source]], kind))
    assert (found.kind, found.answer, found.solution, found.source) == (kind_of_answer, answer, solution, source)
    assert found.prompt.endswith(f"?\n{LONG}") or source == "countdown_tasks"
    assert found.prompt.count(LONG) == 1
    assert found.kind in SOURCES[source].kinds
    assert bool(found.solution) == SOURCES[source].has_solutions


@pytest.mark.parametrize("source", ROWS)
def test_a_missing_column_is_named_with_those_expected_and_found(tmp_path: Path, source: str) -> None:
    path = written(tmp_path, [{"text": "?"}], "parquet")
    with pytest.raises(ValueError, match=r"has no columns \[.*\]; expected those of .*/.*, found \['text'\]"):
        check(source, {"path": path})


@pytest.mark.slow
@pytest.mark.parametrize("source", ROWS)
def test_a_directory_of_parquet_files_is_loaded_as_the_hub_would(tmp_path: Path, source: str) -> None:
    pq.write_table(pa.Table.from_pylist([ROWS[source]]), tmp_path / "train-00000-of-00001.parquet")
    from_file = problems(source, str(tmp_path / "train-00000-of-00001.parquet"))
    assert problems(source, str(tmp_path)) == from_file
    options = {**OPTIONS.get(source, {}), "name": str(tmp_path)}
    assert load(source, num_problems=1, seed=0, options=options) == from_file
    assert len(resolved(source, options)["sha256"]) == 64


@pytest.mark.slow
def test_a_directory_without_the_columns_is_refused_with_those_found(tmp_path: Path) -> None:
    written(tmp_path, [GSM8K])
    with pytest.raises(ValueError, match=r"has no columns .*found \['answer', 'question'\]"):
        problems("openr1_math", str(tmp_path))


def test_numina_rows_without_a_checkable_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        NUMINA,
        NUMINA | {"problem": "a", "answer": "proof"},
        NUMINA | {"problem": "b", "answer": "notfound"},
        NUMINA | {"problem": "c", "answer": None},
        NUMINA | {"problem": "d", "question_type": "proof", "answer": "4"},
        NUMINA | {"problem": "e", "problem_is_valid": "Incomplete"},
        NUMINA | {"problem": "f", "solution_is_valid": "No"},
        NUMINA | {"problem": " "},
    ]
    loaded = load_resolved("numina_math", num_problems=None, seed=0, options={"path": written(tmp_path, rows)})
    assert [one.answer for one in loaded.problems] == ["2"]
    assert loaded.dropped == {
        "a proof": 2,
        "no answer": 1,
        "no answer was found in its solution": 1,
        "no question": 1,
        "problem_is_valid is Incomplete": 1,
        "solution_is_valid is No": 1,
    }


def test_rows_without_gold_are_an_error_with_their_number_and_the_first_unless_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, [OPENR1, OPENR1 | {"problem": "b", "answer": None}, OPENR1 | {"problem": "c", "answer": " "}])
    with pytest.raises(ValueError, match=r"2 of 3 rows of .* have no answer, first line 2 of .*drop_unanswered: true"):
        problems("openr1_math", path)
    assert len(problems("openr1_math", path, drop_unanswered=True)) == 1


def test_repeats_are_one_problem_and_a_disputed_answer_is_no_gold(tmp_path: Path) -> None:
    rows = [
        OPENR1,
        OPENR1 | {"problem": "What is  1 + 1?"},
        OPENR1 | {"problem": "b", "answer": "3"},
        OPENR1 | {"problem": "b", "answer": "4"},
    ]
    loaded = load_resolved("openr1_math", num_problems=None, seed=0, options={"path": written(tmp_path, rows)})
    assert [one.prompt for one in loaded.problems] == [f"What is 1 + 1?\n{LONG}"]
    assert loaded.dropped == {"asked by an earlier row": 2, "rows disagree about the answer": 1}


def test_ids_of_a_column_must_be_unique_and_the_error_counts_those_that_are_not(tmp_path: Path) -> None:
    rows = [OPENR1, OPENR1 | {"problem": "b"}, OPENR1 | {"problem": "c"}]
    path = written(tmp_path, rows)
    with pytest.raises(ValueError, match=r"2 of 3 rows of .*'u-1' in line 1 of .* and in line 2 of .*set ids: content"):
        problems("openr1_math", path, ids="column")
    assert len({one.id for one in problems("openr1_math", path)}) == 3
    assert problems("luffy_r1", written(tmp_path, [LUFFY]), ids="column")[0].id == "luffy_r1-7"
    with pytest.raises(ValueError, match="has no column of ids; set ids: content"):
        check("math_train", {"ids": "column"})


@pytest.mark.parametrize(
    ("source", "row", "message"),
    [
        ("luffy_r1", LUFFY | {"prompt": "What?"}, "line 1 of .*expected turns"),
        ("luffy_r1", LUFFY | {"reward_model": {"style": "rule"}}, "line 1 of .*'ground_truth'"),
        ("gsm8k_train", GSM8K | {"answer": "7"}, "line 1 of .*expected '####'"),
        ("math_train", MATH | {"solution": "It is 2."}, "1 of 1 rows of .* have no answer"),
        ("countdown_tasks", COUNTDOWN | {"nums": ["1"]}, "line 1 of .*expected whole numbers"),
        ("authors_data", AUTHORS | {"message": LUFFY["prompt"]}, "line 1 of .*exactly one user turn"),
        ("numina_math", NUMINA | {"answer": "proof"}, "none of 1 rows of .* is a problem: {'a proof': 1}"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, source: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        problems(source, written(tmp_path, [row]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "x.parquet", "name": "a/b"}, "one or the other"),
        ({"path": "x.parquet", "revision": "v1"}, "one or the other"),
        (
            {"path": "nowhere.parquet"},
            "no file at 'nowhere.parquet'; expected the local path of a file or directory with the rows of open-r1",
        ),
    ],
)
def test_a_place_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check("openr1_math", options)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("problem,answer\n")
    with pytest.raises(ValueError, match=r"ends in '\.csv'; expected \.parquet"):
        check("openr1_math", {"path": str(path)})


def test_published_tasks_for_training_are_never_held_out_ones_of_the_made_countdown(tmp_path: Path) -> None:
    path = written(tmp_path, [{"nums": [number, 7, 3], "target": 20} for number in range(1, 60)] + [{"nums": [3, 7, 1], "target": 20}])
    train, held = (
        load_resolved("countdown_tasks", num_problems=None, seed=0, options={"path": path, "split": split})
        for split in ("train", "heldout")
    )
    for loaded, split in ((train, "train"), (held, "heldout")):
        golds = [json.loads(one.answer) for one in loaded.problems]
        assert {split_of(f"countdown {sorted(gold['numbers'])} {gold['target']}") for gold in golds} == {split}
    assert len(train.problems) + len(held.problems) == 59
    assert train.dropped["of split heldout"] == len(held.problems)


def test_the_request_can_be_another_or_the_published_one(tmp_path: Path) -> None:
    path = written(tmp_path, [AUTHORS])
    assert problems("authors_data", path)[0].prompt == AUTHORS["message"][0]["content"]
    assert problems("authors_data", path, request="short")[0].prompt == "What is 1 + 1?\nAnswer in \\boxed{}."
    assert len({problems("authors_data", path, request=request)[0].id for request in ("none", "short", "long")}) == 1


def test_the_authors_countdown_set_has_objects_as_answers(tmp_path: Path) -> None:
    path = written(tmp_path, [AUTHORS | {"answer": json.dumps({"nums": [1, 2, 3], "target": 6})}])
    assert json.loads(problems("authors_data", path, kind="countdown")[0].answer) == {"numbers": [1, 2, 3], "target": 6}
    with pytest.raises(ValueError, match=r"line 1 of .*expects an object with numbers and target"):
        problems("authors_data", written(tmp_path, [AUTHORS]), kind="countdown")


class Hub(BaseHTTPRequestHandler):
    """The part of the hub that says which commit a revision is; its branch moves on with every question."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        known = self.path.endswith("/revision/main")
        if known:  # The client asks for other things as well.
            self.asked.append(self.path)
        self.send_response(200 if known else 404)
        if not known:
            self.send_header("X-Error-Code", "RevisionNotFound")
        self.end_headers()
        if known:
            self.wfile.write(json.dumps({"id": "open-r1/OpenR1-Math-220k", "sha": f"{len(self.asked):040x}"}).encode())

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked_of(hub: str, program: str) -> str:
    """What the program prints where this hub is the hub."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    lines = f"from ray_study.problems import SOURCES, resolved\n{program}"
    return subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("source", "options"), [("openr1_math", {}), ("hub", {"name": "a/b", "kind": "math"})])
def test_a_branch_that_moves_is_asked_for_once_and_later_questions_mean_the_same_commit(
    hub: str, source: str, options: dict[str, object]
) -> None:
    program = (
        f"source = SOURCES[{source!r}]; pinned = source.pin(source.options.model_validate({options!r}))\n"
        f"print(pinned.revision, *(source.identify(pinned)['commit'] for _ in range(2)), resolved({source!r}, {options!r})['commit'])"
    )
    first, second = f"{1:040x}", f"{2:040x}"
    assert asked_of(hub, program).split() == [first, first, first, second]


def test_a_revision_that_does_not_exist_is_named(hub: str) -> None:
    program = "try:\n    resolved('openr1_math', {'revision': 'v9'})\nexcept ValueError as error:\n    print(error)"
    said = "the hub has no revision 'v9' of 'open-r1/OpenR1-Math-220k'; give a branch, a tag or a full commit of it"
    assert asked_of(hub, program) == said


def test_what_was_loaded_says_what_it_resolved_to(tmp_path: Path) -> None:
    path = written(tmp_path, [OPENR1])
    loaded = load_resolved("openr1_math", num_problems=None, seed=0, options={"path": path})
    assert loaded.resolved == resolved("openr1_math", {"path": path})
    assert len(loaded.resolved["sha256"]) == 64


def test_every_source_has_a_licence_note() -> None:
    for source in SOURCES:
        assert licence(source, {})
    assert licence("openr1_math", {}).startswith("Apache-2.0")
    assert licence("hub", {"name": "a/b"}).endswith("read from a/b")
