"""The card of a data set: where its rows come from, what became of the others, how long they are, and five of them to look at."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray_study import problems
from ray_study.analyze.histogram import bins_of, lengths_png, quantile
from ray_study.config import Study
from ray_study.grid import counting_model, selection_seed
from ray_study.rows import Example
from ray_study.selection import draw
from ray_study.store import Result, Store, Workspace

FILES = ("card.md", "card.json", "lengths.png")
SHOWN_ROWS = 5
MOST_CHARACTERS = 6000
"""Of a text that the card shows; the row itself is whole."""

STEPS = (
    ("num_problems", "problems, or rows that were read"),
    ("num_attempts", "attempts"),
    ("correct", "correct"),
    ("wrong", "wrong"),
    ("no_answer", "no answer"),
    ("unfinished", "unfinished"),
    ("num_unjudged", "unjudged"),
    ("num_overlapping", "problems that also stand in a benchmark"),
    ("num_removed_by_overlap", "of these removed"),
    ("num_attempts_removed_by_overlap", "attempts removed with them"),
    ("num_outside_limits", "of the arm, with fewer or more tokens than wanted"),
    ("num_eligible", "eligible"),
    ("num_eligible_problems", "problems with an eligible attempt"),
    ("num_distinct_eligible", "different ones, at most `per_problem` a problem"),
    ("num_selected", "selected"),
    ("num_dropped_by_transform", "dropped, nothing of the response was left"),
    ("num_rows", "examples"),
)
"""The counts of a card in the order of the work, with what each one counts."""


class Tally:
    """What a card says about the rows, taken up one by one while they are written."""

    def __init__(self, seed: int) -> None:
        """Begins with no row; the seed decides which rows are shown."""
        self._seed = seed
        self._hash = hashlib.sha256()
        self._shown: list[tuple[str, Example]] = []
        self.tokens: Counter[int] = Counter()
        self.characters: Counter[int] = Counter()
        self.num_rows = 0
        self.num_dropped = 0

    def count(self, example: Example | None) -> bool:
        """Whether it is a row of the data set; None is one that was dropped."""
        if example is None:
            self.num_dropped += 1
            return False
        self.num_rows += 1
        self._hash.update(json.dumps([example.problem_id, example.prompt, example.response]).encode() + b"\n")
        self.tokens[example.num_tokens] += 1
        self.characters[len(example.response)] += 1
        self._shown.append((draw(self._seed, "card", example.problem_id, example.sample), example))
        if len(self._shown) > SHOWN_ROWS:
            self._shown.remove(max(self._shown, key=lambda row: row[0]))
        return True

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of what a student learns from, in order: equal rows, equal digest."""
        return self._hash.hexdigest()[:16]

    @property
    def shown(self) -> list[Example]:
        """Random rows, the same for the same rows and seed."""
        return [example for _, example in sorted(self._shown, key=lambda row: row[0])]

    @property
    def lengths(self) -> tuple[Counter[int], str]:
        """How many responses have each length, and in what: characters where not all were counted in tokens."""
        return (self.characters, "characters") if self.tokens[0] else (self.tokens, "tokens")


def card(study: Study, store: Store, name: str, facts: Mapping[str, Any], tally: Tally, made_from: Mapping[str, Result]) -> dict[str, Any]:
    """All that a reader of a data set should know, as JSON.

    Args:
        study: whose data set it is.
        store: where what it is made from is.
        name: of the data set.
        facts: of its record.
        tally: of its rows.
        made_from: the results that it is made from: `problems` and `verdicts` where it was made, `overlap`.
    """
    dataset = study.datasets[name]
    lengths, unit = tally.lengths
    bins = bins_of(lengths)
    return {
        "name": name,
        "study": study.name,
        "content": facts["content"],
        "sources": _sources(study, name, facts, made_from),
        "teacher": _teacher(study, store, name, made_from),
        "counts": counts(facts),
        "verdicts": facts.get("verdicts", {}),
        "select": dataset.select.model_dump(mode="json") | {"seed": selection_seed(study, name)},
        "form": dataset.transform if dataset.truncate_thinking is None else f"truncate_thinking {dataset.truncate_thinking}",
        "decontaminate": dataset.decontaminate.model_dump(mode="json") | dict(facts["overlaps"]),
        "warning": facts["warning"],
        "tokens_by": counting_model(study, name),
        "lengths": {
            "unit": unit,
            "median": quantile(lengths, 0.5),
            "p95": quantile(lengths, 0.95),
            "least": min(lengths),
            "most": max(lengths),
            **asdict(bins),
        },
        "rows": [asdict(row) for row in tally.shown],
    }


def counts(facts: Mapping[str, Any]) -> dict[str, int]:
    """How many there were at each step; a step that this data set does not have is not there, and is no zero."""
    verdicts: Mapping[str, int] | None = facts.get("verdicts")
    known = dict(facts)
    if verdicts is not None:
        known |= {verdict: verdicts.get(verdict, 0) for verdict in ("correct", "wrong", "no_answer", "unfinished")}
        known["num_unjudged"] = verdicts.get("timeout", 0) + verdicts.get("error", 0)
    return {key: int(known[key]) for key, _ in STEPS if key in known}


def _sources(study: Study, name: str, facts: Mapping[str, Any], made_from: Mapping[str, Result]) -> list[dict[str, Any]]:
    dataset = study.datasets[name]
    if dataset.problems is None:
        wanted = {"read": dataset.read, "name": dataset.name, "revision": dataset.revision, "split": dataset.split}
        return [{**wanted, "resolved": facts["resolved"], "licence": "not stated here: look at the data set's own card"}]
    settings = study.problems[dataset.problems]
    record = made_from["problems"].record
    left_out = {"rows_left_out": record["dropped"]} if record.get("dropped") else {}
    return [
        {
            "name": dataset.problems,
            "source": settings.source,
            "resolved": record["resolved"],
            **left_out,
            "licence": problems.licence(settings.source, settings.options),
        }
    ]


def _teacher(study: Study, store: Store, name: str, made_from: Mapping[str, Result]) -> dict[str, Any] | None:
    teacher = study.datasets[name].teacher
    if teacher is None:
        return None
    settings = study.teachers[teacher].model_dump(mode="json", exclude_none=True)
    made = [source for source in made_from["verdicts"].record.get("sources", {}) if source.startswith("attempts-")]
    record = (store.read_json(f"{made[0]}/record.json") if made else None) or {}
    known = {key: value for key, value in record.items() if key.startswith("num_") or key in ("conditions", "model_fingerprint")}
    return {"name": teacher, **settings, "attempts": known}


def write(workspace: Workspace, found: Mapping[str, Any], tally: Tally) -> None:
    """Writes the card beside the rows: for people, for programs, and the picture."""
    lengths, unit = tally.lengths
    workspace.write_beside("lengths.png", lengths_png(lengths, unit, f"data set {found['name']}"))
    workspace.write_beside("card.json", json.dumps(found, indent=1, ensure_ascii=False).encode(errors="replace"))
    workspace.write_beside("card.md", markdown(found).encode(errors="replace"))


def markdown(found: Mapping[str, Any]) -> str:
    """The card as Markdown. Texts of models and of data sets are quoted so that nothing in them can end the quotation."""
    return "\n".join([*_head(found), *_numbers(found), *_rows(found["rows"])]) + "\n"


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Data set {inline(found['name'])}\n"
    yield f"{found['counts']['num_rows']} examples of study {inline(found['study'])}; content {inline(found['content'])}.\n"
    if found["warning"]:
        yield f"**Warning:** {escaped(found['warning'])}\n"
    yield "## Sources and licences\n"
    for source in found["sources"]:
        yield f"- {inline(source['name'])}, {inline(source.get('source') or source.get('read'))}: {escaped(source['licence'])}"
        yield from (f"  - {inline(key)}: {inline(value)}" for key, value in source["resolved"].items())
    yield "\n## Teacher\n"
    yield fenced(json.dumps(found["teacher"], indent=1)) if found["teacher"] else "Read ready-made: nobody was asked.\n"
    yield "## Choice and form\n"
    yield fenced(json.dumps({key: found[key] for key in ("select", "form", "decontaminate", "tokens_by")}, indent=1))


def _numbers(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## What became of what was asked\n"
    yield "| step | count |\n|---|---|"
    words = dict(STEPS)
    yield from (f"| {words[key]} | {count} |" for key, count in found["counts"].items())
    if found["counts"]["num_overlapping"]:
        yield "\nWhat also stands in a benchmark is listed in `removed.parquet`, each with the item and the evidence.\n"
    lengths = found["lengths"]
    counted = f"by the tokenizer of {inline(found['tokens_by'])}" if found["tokens_by"] else "no tokenizer is known: `tokens_by` names one"
    yield "\n## Lengths\n\n![lengths of the responses](lengths.png)\n"
    yield f"In {lengths['unit']} ({counted}): median {lengths['median']}, 95 % have {lengths['p95']} or fewer, "
    yield f"from {lengths['least']} to {lengths['most']}.\n"


def _rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"## {len(rows)} random rows\n"
    for row in rows:
        chosen = f"{row['chosen']}" + (f", of {row['num_eligible']} eligible" if row["num_eligible"] is not None else "")
        yield f"### {inline(row['problem_id'])}\n"
        yield f"source {inline(row['source'])}; attempt {row['sample']} of {inline(row['asked_of'])}, {row['verdict']}; {escaped(chosen)}; "
        yield f"form {inline(row['form'])}; {row['num_tokens'] or 'uncounted'} tokens\n"
        yield fenced(row["prompt"])
        yield fenced(row["response"])


def fenced(text: str) -> str:
    """A block of code that shows the text; its fence is longer than any run of backticks in it, so the text cannot end it."""
    shown = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}\n[{len(text) - MOST_CHARACTERS} more characters]"
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}text\n{shown}\n{fence}\n"


def inline(value: object) -> str:
    """A piece of code in a line that shows a value; line breaks become spaces."""
    text = " ".join(str(value).split()) or " "
    ticks = "`" * (_longest_run(text) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"{ticks}{text}{ticks}"


def escaped(text: str) -> str:
    """Text in a line of which nothing is read as Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&$])", r"\\\1", " ".join(text.split()))


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
