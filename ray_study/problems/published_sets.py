"""Published sets of problems with gold answers, each a few words: where it is, which columns it has, and how a row is read.

All are read from the hub at the commit of a revision, or with `path` from a local Parquet or JSONL file or a directory in the hub's
layout. Column names are those of the sets' own pages; another layout is an error that names the columns expected and found.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_study.problems.draws import digest, subset
from ray_study.problems.formats import Request, last_box, with_request
from ray_study.problems.reading import Place, Row, assistant_turn, identity, open_rows, user_turn
from ray_study.problems.source import Options, Source, SourceSpec
from ray_study.rows import Kind, Problem

logger = logging.getLogger(__name__)


class PublishedOptions(Options):
    """Which revision of the set, or which local copy of it."""

    request: Request = "long"
    revision: str = "main"
    """A branch, tag or commit of the hub."""
    path: str | None = None
    """A local Parquet or JSONL file, or a local directory, in place of the hub."""
    name: str | None = None
    """The hub's `owner/name` of another set in the same layout; the set's own where it is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a row says of its problem."""

    prompt: str
    answer: str
    solution: str = ""
    name: str = ""
    """The set's own id; one is made of the prompt where it is empty."""
    cluster: str = ""
    is_whole: bool = False
    """Whether the prompt already asks for a format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """One published set."""

    hub: str
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Found | str]
    """A row as a problem, or why it is none: such rows are left out and counted by reason."""
    kind: Kind
    licence: str
    subset: str | None = None
    split: str = "train"

    def place(self, options: PublishedOptions) -> Place:
        """Where the options say that it is."""
        name = options.path or options.name or self.hub
        return Place(name=name, revision=options.revision, subset=None if options.path else self.subset, split=self.split)

    def load(self, spec: SourceSpec[PublishedOptions]) -> list[Problem]:
        """The subset that was asked for; rows that are equal problems count once.

        Raises:
            ValueError: the set is not there or has other columns, a row has no answer, or two rows have one id and different problems.
        """
        rows, _ = open_rows(self.place(spec.options), self.columns, "give a set in this layout, or use `hub` or `parquet` with `columns`")
        return subset(self._problems(rows, spec), spec.num_problems, spec.seed)

    def _problems(self, rows: Iterable[Row], spec: SourceSpec[PublishedOptions]) -> list[Problem]:
        problems: dict[str, Problem] = {}
        places: dict[str, str] = {}
        prompts: set[str] = set()
        left_out: Counter[str] = Counter()
        for where, row in rows:
            found = self.read(row)
            if isinstance(found, str):
                left_out[found] += 1
                continue
            problem = self._problem(where, found, spec)
            if problem.prompt in prompts:
                left_out["the same question again"] += 1
                continue
            if problem.id in problems:
                raise ValueError(
                    f"{where} has the id of {places[problem.id]} and another question; ids must be unique: mend one of the rows"
                )
            prompts.add(problem.prompt)
            problems[problem.id], places[problem.id] = problem, where
        if left_out:
            counts = ", ".join(f"{count} x {reason}" for reason, count in left_out.most_common())
            logger.info("%s: %d problems, %d rows left out: %s", spec.source, len(problems), sum(left_out.values()), counts)
        if not problems:
            raise ValueError(f"{spec.source}: none of {sum(left_out.values())} rows is a problem with an answer ({dict(left_out)})")
        return list(problems.values())

    def _problem(self, where: str, found: Found, spec: SourceSpec[PublishedOptions]) -> Problem:
        prompt = found.prompt.strip()
        if not prompt or not found.answer.strip():
            missing = "question" if not prompt else "answer"
            raise ValueError(f"{where} has no {missing}; every row needs one: mend it, or leave the row out of the file")
        name = f"{spec.source}-{found.name or digest(self.kind, prompt)[:16]}"
        return Problem(
            id=name,
            source=spec.source,
            kind=self.kind,
            prompt=prompt if found.is_whole else with_request(prompt, self.kind, spec.options.request),
            answer=found.answer.strip(),
            cluster=found.cluster or name,
            solution=found.solution,
        )

    @property
    def source(self) -> Source[PublishedOptions]:
        """The set as an entry of `SOURCES`."""
        return Source(
            options=PublishedOptions,
            load=self.load,
            kinds=(self.kind,),
            identify=lambda options: identity(self.place(options)),
            check=lambda options: _check_path(options.path),
            pin=self._pinned,
            licence=self.licence,
            has_solutions=True,
        )

    def _pinned(self, options: PublishedOptions) -> PublishedOptions:
        return options.model_copy(update={"revision": identity(self.place(options)).get("commit", options.revision)})


def _check_path(path: str | None) -> None:
    if path is not None:
        place = Place(name=path)
        if place.is_file:
            return
        identity(place)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _openr1(row: Mapping[str, Any]) -> Found | str:
    return _gold(row, name=_text(row["uuid"]))


_NO_ANSWER = frozenset({"", "proof", "notfound", "not found", "none"})


def _gold(row: Mapping[str, Any], name: str = "") -> Found | str:
    """A row in NuminaMath's columns, where an answer may be a word that says that there is none."""
    answer = _text(row["answer"])
    if answer.lower() in _NO_ANSWER:
        return f"no answer to check ({answer or 'empty'})"
    return Found(prompt=_text(row["problem"]), answer=answer, solution=_text(row["solution"]), name=name)


def _numina(row: Mapping[str, Any]) -> Found | str:
    if _text(row["problem_is_valid"]) not in ("Yes", "True"):
        return f"problem_is_valid is {_text(row['problem_is_valid']) or 'empty'}"
    return _gold(row)


def _countdown(row: Mapping[str, Any]) -> Found | str:
    numbers, target = [int(number) for number in row["nums"]], int(row["target"])
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    return Found(
        prompt=f"Use each of the numbers {listed} exactly once, with +, -, * and /, to make {target}.",
        answer=json.dumps({"numbers": numbers, "target": target}, sort_keys=True),
    )


def _luffy(row: Mapping[str, Any]) -> Found | str:
    # The system turn asks for thinking in tags, which is the student's template's to say.
    prompt, trace, reward = user_turn(row["prompt"]), assistant_turn(row["target"]), row["reward_model"]
    answer = _text(reward.get("ground_truth")) if isinstance(reward, Mapping) else ""
    if prompt is None:
        return "no user's turn in prompt"
    return Found(prompt=prompt, answer=answer, solution=trace or "")


def _competition(row: Mapping[str, Any]) -> Found | str:
    answer = last_box(_text(row["solution"]))
    if not answer:
        return "no boxed answer in the solution"
    return Found(prompt=_text(row["problem"]), answer=answer, solution=_text(row["solution"]))


def _grade_school(row: Mapping[str, Any]) -> Found | str:
    worked, marked, gold = _text(row["answer"]).rpartition("####")
    if not marked:
        return "no '####' before its answer"
    answer = gold.strip().replace(",", "")
    reasoning = re.sub(r"<<.*?>>", "", worked).strip()
    return Found(prompt=_text(row["question"]), answer=answer, solution=f"{reasoning}\nThe answer is \\boxed{{{answer}}}.")


def _authors(row: Mapping[str, Any]) -> Found | str:
    prompt = user_turn(row["message"])
    if prompt is None:
        return "no user's turn in message"
    return Found(prompt=prompt, answer=_text(row["answer"]), solution=_text(row["response"]), is_whole=True)


NUMINA_COLUMNS = ("problem", "answer", "solution")

PUBLISHED: dict[str, PublishedSet] = {
    "openr1_math": PublishedSet(
        hub="open-r1/OpenR1-Math-220k",
        columns=(*NUMINA_COLUMNS, "uuid"),
        read=_openr1,
        kind="math",
        licence="Apache-2.0; problems of NuminaMath 1.5",
        subset="default",
    ),
    "numina_math": PublishedSet(
        hub="AI-MO/NuminaMath-1.5",
        columns=(*NUMINA_COLUMNS, "problem_is_valid"),
        read=_numina,
        kind="math",
        licence="Apache-2.0",
    ),
    "countdown_tasks": PublishedSet(
        hub="Jiayi-Pan/Countdown-Tasks-3to4-Unique",
        columns=("nums", "target"),
        read=_countdown,
        kind="countdown",
        licence="not stated on its page",
    ),
    "luffy_r1": PublishedSet(
        hub="Elliott/Openr1-Math-46k-8192",
        columns=("prompt", "target", "reward_model"),
        read=_luffy,
        kind="math",
        licence="not stated on its page; problems of NuminaMath 1.5, traces of DeepSeek-R1 (MIT)",
    ),
    "math_train": PublishedSet(
        hub="nlile/hendrycks-MATH-benchmark",
        columns=("problem", "solution"),
        read=_competition,
        kind="math",
        licence="MIT; subject to a takedown: read, never redistribute",
    ),
    "gsm8k_train": PublishedSet(
        hub="openai/gsm8k", columns=("question", "answer"), read=_grade_school, kind="number", licence="MIT", subset="main"
    ),
    "authors_data": PublishedSet(
        hub="jasonrqh/Math-CoT-20k",
        columns=("answer", "message", "response"),
        read=_authors,
        kind="math",
        licence="as its page says; problems of OpenR1-Math, responses of Qwen3-32B (Apache-2.0)",
    ),
}
