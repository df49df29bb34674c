"""Problems that ask for a program: HumanEval, MBPP and LiveCodeBench, their golds judged by the verifier that will judge answers."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_study.problems import check, load, load_resolved
from ray_study.problems.livecodebench import pickled_text, read_private
from ray_study.problems.overlap import without_request
from ray_study.rows import Attempt, Problem
from ray_study.verify import check_gold, grade, judge, sandbox_fault
from ray_study.verify.code_tests import read_tests

needs_sandbox = pytest.mark.skipif(sandbox_fault() != "", reason=sandbox_fault())


@needs_sandbox
@pytest.mark.parametrize(("source", "size"), [("humaneval", 164), ("mbpp", 500)])
def test_reference_solutions_pass_their_own_tests(source: str, size: int) -> None:
    problems = load(source, num_problems=None, seed=0, options={})
    assert len(problems) == size
    check_gold(problems)
    sample = problems[:20]  # of a seeded order
    graded = grade([Attempt.of_text(one.id, one.solution) for one in sample], {one.id: one for one in sample}, num_workers=2)
    assert {row.problem_id: row.explanation for row in graded if row.verdict != "correct"} == {}
    swapped = [Attempt.of_text(one.id, other.solution) for one, other in zip(sample, sample[1:] + sample[:1], strict=True)]
    assert {row.verdict for row in grade(swapped, {one.id: one for one in sample}, num_workers=2)} == {"wrong"}


@needs_sandbox
def test_a_helper_of_the_task_need_not_be_repeated_and_a_set_up_follows_the_program() -> None:
    functions = {one.id: one for one in load("humaneval", num_problems=None, seed=0, options={})}
    encode = functions["humaneval-38"]
    own = encode.solution.partition("def decode_cyclic")[2]
    assert judge("code", f"```python\ndef decode_cyclic{own}", encode.answer).verdict == "correct"
    setups = [one for one in load("mbpp", num_problems=None, seed=0, options={}) if one.id == "mbpp-367"]
    assert judge("code", setups[0].solution, setups[0].answer).verdict == "correct"


def test_a_prompt_asks_for_a_fenced_program_and_for_no_box() -> None:
    (problem,) = load("mbpp", num_problems=1, seed=0, options={})
    assert problem.prompt.startswith("You are an expert Python programmer.")
    assert problem.prompt.endswith("starts with ```python and ends with ```.")
    assert "boxed" not in problem.prompt
    assert without_request(problem.prompt).startswith("Task:")


def row(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "question_title": f"Sum {number}",
        "question_content": f"Print the sum of two numbers, {number}.",
        "platform": "atcoder",
        "question_id": f"abc300_{number}",
        "contest_id": "abc300",
        "contest_date": "2023-05-06T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": json.dumps([{"input": "5 6\n", "output": "11\n", "testtype": "stdin"}]),
        "metadata": "{}",
        **changed,
    }


def packed(content: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(content))).decode()


FUNCTIONAL = row(
    3,
    platform="leetcode",
    contest_id="weekly-1",
    difficulty="hard",
    starter_code="class Solution:\n    def join(self, words: List[str], word: str) -> List[str]:\n        ",
    public_test_cases=json.dumps([{"input": '["a"]\n"b"', "output": '["a", "b"]', "testtype": "functional"}]),
    private_test_cases=packed(json.dumps([{"input": '[]\n"b"', "output": '["b"]', "testtype": "functional"}])),
    metadata=json.dumps({"func_name": "join"}),
)


def written(directory: Path, *rows: dict[str, Any]) -> dict[str, object]:
    """The two files of release_v2, the first with all rows but the last."""
    (directory / "test.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows[:-1]))
    (directory / "test2.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows[-1:]))
    return {"path": str(directory), "ids": "column"}


def lcb(directory: Path, *rows: dict[str, Any]) -> dict[str, Problem]:
    found = load("livecodebench", num_problems=None, seed=0, options=written(directory, *rows))
    return {one.id: one for one in found}


def test_both_files_of_livecodebench_are_read_with_public_and_private_tests(tmp_path: Path) -> None:
    long = json.dumps([{"input": f"{number} 1\n", "output": f"{number + 1}\n", "testtype": "stdin"} for number in range(2000)])
    problems = lcb(tmp_path, row(1), row(2, private_test_cases=packed(long)), FUNCTIONAL)
    assert sorted(problems) == ["livecodebench-abc300_1", "livecodebench-abc300_2", "livecodebench-abc300_3"]
    assert {one.cluster for one in problems.values()} == {"atcoder-abc300", "leetcode-weekly-1"}
    first = problems["livecodebench-abc300_1"]
    assert "standard input" in first.prompt
    assert [(case.input, case.output) for case in read_tests(first.answer).cases] == [("1 2\n", "3\n"), ("5 6\n", "11\n")]
    many = problems["livecodebench-abc300_2"].answer
    assert len(many) < len(long) / 2
    assert len(read_tests(many).cases) == 2001
    called = problems["livecodebench-abc300_3"]
    assert "class Solution:" in called.prompt
    assert "standard input" not in called.prompt
    tests = read_tests(called.answer)
    assert (tests.style, tests.entry_point, tests.seconds, len(tests.cases)) == ("functional", "join", 6, 2)


@needs_sandbox
def test_livecodebench_programs_are_judged_with_its_imports(tmp_path: Path) -> None:
    problems = lcb(tmp_path, row(1), FUNCTIONAL)
    check_gold(problems.values())
    right = "class Solution:\n    def join(self, words: List[str], word: str) -> List[str]:\n        return list(chain(words, [word]))"
    assert judge("code", f"```python\n{right}\n```", problems["livecodebench-abc300_3"].answer).verdict == "correct"
    program = "```python\nprint(sum(map(int, sys.stdin.readline().split())))\n```"
    assert judge("code", program, problems["livecodebench-abc300_1"].answer).verdict == "correct"


def test_a_difficulty_can_be_chosen(tmp_path: Path) -> None:
    options = {**written(tmp_path, row(1), FUNCTIONAL), "difficulties": ["hard"]}
    found = load_resolved("livecodebench", num_problems=None, seed=0, options=options)
    assert [one.id for one in found.problems] == ["livecodebench-abc300_3"]
    assert found.dropped["difficulty easy"] == 1
    with pytest.raises(ValueError, match=r"option 'difficulties.0'.*found 'harder'"):
        check("livecodebench", {"difficulties": ["harder"]})


def broken(**changed: Any) -> dict[str, Any]:
    return {key: value for key, value in row(1, **changed).items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metadata": None}, r"no columns \['metadata'\].*expected those of livecodebench.*found"),
        ({"private_test_cases": "?"}, "neither JSON nor base64 of zlib"),
        ({"private_test_cases": '{"a": 1}'}, "expected a list of private tests"),
        ({"private_test_cases": json.dumps([{"input": "1"}])}, "test 1 is .*expected an object with texts"),
        ({"public_test_cases": "[", "private_test_cases": "[]"}, "column 'public_test_cases' is no JSON"),
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, r"found tests of types \[\]"),
        (
            {**{key: FUNCTIONAL[key] for key in ("public_test_cases", "private_test_cases")}, "metadata": "{}"},
            "expected an object with `func_name`",
        ),
        ({"private_test_cases": packed(["a list"])}, "not run"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        lcb(tmp_path, broken(**changed), FUNCTIONAL)
    assert "test.jsonl" in str(caught.value)


def test_a_missing_file_of_livecodebench_is_named(tmp_path: Path) -> None:
    options = written(tmp_path, row(1), FUNCTIONAL)
    (tmp_path / "test2.jsonl").unlink()
    with pytest.raises(ValueError, match=r"no file at .*test2\.jsonl"):
        load("livecodebench", num_problems=None, seed=0, options=options)


class Runs:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, command: Callable[..., object], *given: object) -> None:
        self.how = (command, given)

    def __reduce__(self) -> Any:
        return self.how


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("mark", ["hostile", "a" * 300, "ä" * 70000, "line\nline \\ \x00"])
def test_a_pickled_text_is_read_in_every_protocol(protocol: int, mark: str) -> None:
    assert pickled_text(pickle.dumps(mark, protocol=protocol)) == mark


def hostile(mark: Path) -> list[bytes]:
    command = f"touch '{mark}'"
    return [
        *(pickle.dumps(Runs(os.system, command), protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
        pickle.dumps(Runs(open, str(mark), "w")),
        pickle.dumps(["text", Runs(os.system, command)]),
        b"cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        b"\x80\x02\x8c\x04text0cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        b"Ptext\n.",
        pickle.dumps(b"bytes"),
        pickle.dumps(7),
        pickle.dumps(None),
        pickle.dumps(("text", "text")),
        pickle.dumps("text")[:-1],
        b"",
        b"\xff" * 20,
        b".",
    ]


def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "was run"
    for pickled in hostile(mark):
        with pytest.raises(ValueError, match=r"pickle"):
            pickled_text(pickled)
        text = base64.b64encode(zlib.compress(pickled)).decode()
        with pytest.raises(ValueError, match=r"pickle|JSON"):
            read_private(text)
    assert not mark.exists()
