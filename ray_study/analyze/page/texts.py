"""What stands in the texts: how often procedures show, and a few responses as they came."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import polars as pl

from ray_study.analyze.grids import Series, note, series_grid
from ray_study.analyze.page.content import Content, Material, flat
from ray_study.analyze.procedures import LEXICON, REPEATS, procedures_by_step
from ray_study.rows import GradedAttempt

SHOWN_CHARACTERS = 1600
"""Longer texts are shown by their beginning and end; the tables hold the whole."""
SAMPLES_PER_BENCHMARK = 2
MOST_TEXTS = 300
"""Texts of one checkpoint at one benchmark that are searched: those of the first samples, in the order of a hash of their ids."""
NAMES = (*LEXICON, "repetition")


def procedures(material: Material) -> Content:
    """How often attempts backtrack, verify, set subgoals and repeat themselves, by step, in the benchmarks that ask for reasoning."""
    groups = [group for group in ("in_domain", "out_of_domain", "general") if any(card.group == group for card in material.cards)]
    names = {card.benchmark for card in material.cards if groups and card.group == groups[0] and card.kind not in ("refusal", "judged")}
    rows = [row for arm in material.arms for row in _of_arm(material, [run.id for run in arm.runs], arm.label, names)]
    if not rows:
        return Content(nothing="There are no texts of attempts at a benchmark of reasoning, so no procedure was looked for.")
    plain = [{key: value for key, value in row.items() if key not in ("share", "examples")} | flat("share", row["share"]) for row in rows]
    for row, whole in zip(plain, rows, strict=True):
        row["phrases"] = "; ".join(f"{phrase} ({count})" for phrase, count in whole["examples"])
    return Content(
        values={
            "ends": _ends(rows),
            "benchmarks": sorted(names),
            "lexicon": {name: list(patterns) for name, patterns in LEXICON.items()},
            "repeats": REPEATS,
            "most": MOST_TEXTS,
        },
        figures={"procedures": partial(_figure, material, rows)},
        tables={"procedures": pl.DataFrame(plain, infer_schema_length=None)},
    )


def _of_arm(material: Material, runs: Sequence[str], label: str, benchmarks: set[str]) -> list[dict[str, Any]]:
    """A row a step and procedure, all seeds and benchmarks of the arm together."""
    by_step: dict[int, list[GradedAttempt]] = {}
    for (run, benchmark), found in material.by_step.items():
        if run in runs and benchmark in benchmarks:
            for step, graded in found.items():
                # Items of two benchmarks or seeds are two items.
                by_step.setdefault(step, []).extend(_renamed(_some(graded), f"{run} {benchmark}"))
    return [
        {"arm": label, "run": runs[0], "step": each.step, "procedure": each.procedure, "share": each.share}
        | {"per_thousand_words": each.per_thousand_words, "examples": each.examples, "num_texts": len(by_step[each.step])}
        for each in procedures_by_step(by_step)
    ]


def _some(graded: Sequence[GradedAttempt]) -> list[GradedAttempt]:
    if len(graded) <= MOST_TEXTS:
        return list(graded)
    return sorted(graded, key=lambda each: (each.sample, hashlib.sha256(each.problem_id.encode()).digest()))[:MOST_TEXTS]


def _renamed(graded: Sequence[GradedAttempt], where: str) -> list[GradedAttempt]:
    return [replace(each, problem_id=f"{where} {each.problem_id}") for each in graded]


def _ends(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row an arm and procedure: its first and its last step."""
    ends = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        for name in NAMES:
            own = [row for row in rows if row["arm"] == arm and row["procedure"] == name]
            ends.append({"arm": arm, "procedure": name, "first": own[0], "last": own[-1]})
    return ends


def _figure(material: Material, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The share of attempts that show each procedure over steps, a panel a procedure and a line an arm."""
    panels: dict[tuple[str, str], list[Series]] = {}
    for name in NAMES:
        key = ("", name)
        panels[key] = []
        for run in dict.fromkeys(row["run"] for row in rows):
            own = [row for row in rows if (row["run"], row["procedure"]) == (run, name)]
            values, low, high = ([getattr(row["share"], side) for row in own] for side in ("value", "low", "high"))
            panels[key].append(Series(key=run, steps=[row["step"] for row in own], values=values, low=low, high=high))
    figure = series_grid(material.study, panels, y_label="share of attempts", labels={row["run"]: row["arm"] for row in rows})
    note(figure, "phrases of a lexicon: descriptive, a sign of a procedure and not the procedure")
    return figure


def samples(material: Material) -> Content:
    """A few problems of each benchmark as one run answered them at its first and at its last step, those that changed verdict first."""
    shown: list[dict[str, Any]] = []
    for (run, benchmark), by_step in material.by_step.items():
        if any(sample["benchmark"] == benchmark for sample in shown) or not by_step:
            continue
        steps = sorted({min(by_step), max(by_step)})
        first = {step: _first_samples(by_step[step]) for step in steps}
        for problem in _interesting(first[steps[0]], first[steps[-1]])[:SAMPLES_PER_BENCHMARK]:
            sides = [{"step": step, "attempt": _shown(first[step][problem])} for step in steps]
            shown.append({"benchmark": benchmark, "label": material.labels[run], "problem": problem, "sides": sides})
    return Content(values={"samples": shown}) if shown else Content(nothing="No attempts were kept.")


def _first_samples(graded: Sequence[GradedAttempt]) -> dict[str, GradedAttempt]:
    return {attempt.problem_id: attempt for attempt in sorted(graded, key=lambda attempt: -attempt.sample)}


def _interesting(first: Mapping[str, GradedAttempt], last: Mapping[str, GradedAttempt]) -> list[str]:
    """The problems at both steps by id, one that was gained and one that was lost in front: neither side is picked to please."""
    both = sorted(set(first) & set(last))
    gained = [item for item in both if first[item].verdict != "correct" and last[item].verdict == "correct"][:1]
    lost = [item for item in both if first[item].verdict == "correct" and last[item].verdict != "correct"][:1]
    return [*gained, *lost, *(item for item in both if item not in (*gained, *lost))]


def _shown(attempt: GradedAttempt) -> dict[str, Any]:
    left_out = len(attempt.text) - SHOWN_CHARACTERS
    half = SHOWN_CHARACTERS // 2
    text = attempt.text if left_out <= 0 else f"{attempt.text[:half]}\n[… {left_out:,} characters left out …]\n{attempt.text[-half:]}"
    return asdict(attempt) | {"text": text}
