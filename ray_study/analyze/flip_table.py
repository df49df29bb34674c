"""Flips as a table: those of any two checkpoints for a notebook, and the rows that a report keeps of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ray_study.analyze.flipping import FlipKind, Flips, Item, RunStep, attempts_shown, between
from ray_study.analyze.flow import State, shown_runs, state_of
from ray_study.analyze.layout import run_labels
from ray_study.analyze.study_tables import StudyTables, frame
from ray_study.analyze.trajectories import find_attempts
from ray_study.rows import GradedAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipRow:
    """One item that flipped, as a row: how often it was right, finished and answered before and after, and the attempts that show it."""

    benchmark: str
    reason: str
    run_before: str
    step_before: int
    run_after: str
    step_after: int
    problem_id: str
    outcome: str
    kind: str
    num_right_before: int
    num_samples_before: int
    num_right_after: int
    num_samples_after: int
    sample_before: int
    sample_after: int
    verdict_before: str
    verdict_after: str
    answer_before: str | None
    answer_after: str | None


def flip_rows(found: Flips) -> list[FlipRow]:
    """A row for each item and each way in which it flipped; the texts are in the table of attempts."""
    return [_row(found, item, kind) for item in found.items for kind in item.kinds]


def _row(found: Flips, item: Item, kind: FlipKind) -> FlipRow:
    first, last = attempts_shown(item, kind)
    return FlipRow(
        benchmark=found.benchmark,
        reason=found.reason,
        run_before=found.before.run,
        step_before=found.before.step,
        run_after=found.after.run,
        step_after=found.after.step,
        problem_id=item.problem_id,
        outcome=item.outcome,
        kind=kind,
        num_right_before=num_in(item.before, "right"),
        num_samples_before=len(item.before),
        num_right_after=num_in(item.after, "right"),
        num_samples_after=len(item.after),
        sample_before=first.sample,
        sample_after=last.sample,
        verdict_before=first.verdict,
        verdict_after=last.verdict,
        answer_before=first.answer,
        answer_after=last.answer,
    )


def num_in(attempts: Sequence[GradedAttempt], state: State) -> int:
    """How many of an item's samples are in a state."""
    return sum(state_of(attempt) == state for attempt in attempts)


def flips(study: StudyTables, *, before: tuple[str, int], after: tuple[str, int], benchmark: str | None = None) -> pl.DataFrame:
    """The items that flipped between two checkpoints, each a run (its id, name or label) and a step, with the two texts that show it.

    A row for each item and way of flipping, on one benchmark or on all that both sat. ValueError where one of them has no attempts.
    """
    attempts = find_attempts(study)
    sides = [_side(study, *checkpoint) for checkpoint in (before, after)]
    named = [benchmark] if benchmark is not None else list(dict.fromkeys(each.benchmark for each in study.attempts))
    rows: list[FlipRow] = []
    texts: list[tuple[str, str]] = []
    looked = 0
    for name in named:
        graded = [attempts(side.run, side.step, name) for side in sides]
        if graded[0] and graded[1]:
            looked += 1
            found = between(name, (sides[0], graded[0]), (sides[1], graded[1]))
            rows += flip_rows(found)
            shown = [attempts_shown(item, kind) for item in found.items for kind in item.kinds]
            texts += [(first.text, last.text) for first, last in shown]
    if not looked:
        raise ValueError(f"found no benchmark out of {named} with attempts at both {before} and {after}; expected steps that were examined")
    columns = pl.DataFrame(texts, schema={"text_before": pl.String, "text_after": pl.String}, orient="row")
    return pl.concat([frame(rows, FlipRow), columns], how="horizontal")


def _side(study: StudyTables, run: str, step: int) -> RunStep:
    labels = run_labels(shown_runs(study))
    matches = [each.id for each in shown_runs(study) if run in (each.id, each.name, labels[each.id])]
    if len(set(matches)) != 1:
        raise ValueError(f"found {len(matches)} runs called {run!r}, expected one: take an id out of {sorted(labels)}")
    return RunStep(run=matches[0], label=labels[matches[0]], step=step)
