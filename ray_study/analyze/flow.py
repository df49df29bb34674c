"""How attempts at the same items flow between right, wrong and unfinished over checkpoints, and what becomes of them in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import polars as pl

from ray_study.analyze.layout import run_labels
from ray_study.analyze.study_tables import StudyTables, frame
from ray_study.analyze.trajectories import benchmark_cards, find_attempts
from ray_study.rows import GradedAttempt, Run, Verdict

State = Literal["right", "wrong", "no_answer", "unfinished", "unjudged", "missing"]
"""Where a line is at a checkpoint. `missing`: it was not asked there, or its attempt is not stored."""
STATES: tuple[State, ...] = get_args(State)

Fate = Literal[
    "always_right",
    "forgotten_and_regained",
    "forgotten",
    "learned_and_kept",
    "learned_after_setbacks",
    "learned_and_lost",
    "never_right",
    "unknown",
]
"""What becomes of a line over its judged checkpoints; each line has one.

Begins right: `always_right`; `forgotten_and_regained`, right at the last; `forgotten`, not right at the last. Begins not right:
`learned_and_kept`, right from some checkpoint on; `learned_after_setbacks`, right at the last but not right after having been right;
`learned_and_lost`, not right at the last; `never_right`. `unknown`: judged at fewer than two checkpoints.
"""
FATES: tuple[Fate, ...] = get_args(Fate)

_STATE_OF: dict[Verdict, State] = {
    "correct": "right",
    "wrong": "wrong",
    "no_answer": "no_answer",
    "unfinished": "unfinished",
    "timeout": "unjudged",
    "error": "unjudged",
}

Line = tuple[str, int]
"""Problem id, number of the sample. Sample 3 at one step is no continuation of sample 3 at the step before: it is another draw for the same
item, so that a flow between two checkpoints has the mean that one sample an item would give, with less noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The lines of one run on one benchmark: where each is at each step."""

    run: str
    label: str
    benchmark: str
    steps: tuple[int, ...]
    lines: Mapping[Line, tuple[State, ...]]
    """One state a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRow:
    """How many lines go from one state to another between two neighbouring checkpoints."""

    run: str
    label: str
    benchmark: str
    step_before: int
    step_after: int
    state_before: str
    state_after: str
    num_attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FateRow:
    """How many lines of one run on one benchmark have a fate, and which share of those whose fate is known."""

    run: str
    label: str
    benchmark: str
    fate: str
    num_attempts: int
    share: float | None
    """Of the lines judged at two checkpoints or more; None for `unknown`, and where there is none."""


def state_of(attempt: GradedAttempt | None) -> State:
    """Where an attempt stands, by its verdict; one right though it was cut is right."""
    return "missing" if attempt is None else _STATE_OF[attempt.verdict]


def transitions(before: Sequence[GradedAttempt], after: Sequence[GradedAttempt]) -> Counter[tuple[State, State]]:
    """State before, state after -> how many lines, over those that either side has."""
    sides = [{(each.problem_id, each.sample): each for each in graded} for graded in (before, after)]
    return Counter((state_of(sides[0].get(line)), state_of(sides[1].get(line))) for line in sides[0].keys() | sides[1].keys())


def examined_steps(study: StudyTables) -> dict[tuple[str, str], tuple[int, ...]]:
    """Run id, benchmark -> the steps with attempts, step 0 of a shared base model among them, for each run that did not fail."""
    attempts = find_attempts(study)
    steps: dict[str, set[int]] = {run.id: set() for run in study.runs if run.status != "failed"}
    for run, step in [(each.run, each.step) for each in study.checkpoints] + [(each.run, each.step) for each in study.attempts]:
        if run in steps:
            steps[run].add(step)
    named = [card.benchmark for card in benchmark_cards(study)]
    benchmarks = dict.fromkeys([*named, *(each.benchmark for each in study.attempts)])
    found = {
        (run, benchmark): tuple(step for step in sorted(own) if attempts(run, step, benchmark))
        for benchmark in benchmarks
        for run, own in steps.items()
    }
    return {cell: steps for cell, steps in found.items() if steps}


def shown_runs(study: StudyTables) -> list[Run]:
    """The runs that did not fail: a failed one is in no comparison, whatever it left behind."""
    return [run for run in study.runs if run.status != "failed"]


def flows(study: StudyTables) -> list[Flow]:
    """The flow of each run on each benchmark with attempts at two steps or more, by benchmark."""
    labels = run_labels(shown_runs(study))
    attempts = find_attempts(study)
    return [
        follow({step: attempts(run, step, benchmark) or () for step in steps}, run=run, label=labels[run], benchmark=benchmark)
        for (run, benchmark), steps in examined_steps(study).items()
        if len(steps) > 1
    ]


def follow(by_step: Mapping[int, Sequence[GradedAttempt]], *, run: str, label: str, benchmark: str) -> Flow:
    """The lines through the attempts of each step; where a step lacks one it is missing there, not gone."""
    steps = tuple(sorted(by_step))
    columns: list[dict[Line, State]] = [{(each.problem_id, each.sample): state_of(each) for each in by_step[step]} for step in steps]
    lines = sorted(set().union(*columns))
    states = {line: tuple(column.get(line, "missing") for column in columns) for line in lines}
    return Flow(run=run, label=label, benchmark=benchmark, steps=steps, lines=states)


def counted(flow: Flow, columns: Sequence[int]) -> list[Counter[tuple[State, State]]]:
    """The transitions between each two neighbours of the columns, given by number."""
    return [Counter((states[before], states[after]) for states in flow.lines.values()) for before, after in pairwise(columns)]


def fate_of(states: Iterable[State]) -> Fate:
    """What becomes of one line. Checkpoints at which it is unjudged or missing say nothing."""
    known = [state == "right" for state in states if state not in ("unjudged", "missing")]
    if len(known) < 2:
        return "unknown"
    turns = sum(before != after for before, after in pairwise(known))
    if known[0]:
        return "always_right" if not turns else "forgotten_and_regained" if known[-1] else "forgotten"
    if not turns:
        return "never_right"
    if not known[-1]:
        return "learned_and_lost"
    return "learned_and_kept" if turns == 1 else "learned_after_setbacks"


def fates(flow: Flow) -> dict[Fate, int]:
    """How many lines have each fate, none left out."""
    counts = Counter(fate_of(states) for states in flow.lines.values())
    return {fate: counts[fate] for fate in FATES}


def fate_rows(found: Sequence[Flow]) -> list[FateRow]:
    """The fates of each flow as rows."""
    rows: list[FateRow] = []
    for each in found:
        counts = fates(each)
        known = sum(counts.values()) - counts["unknown"]
        for fate, count in counts.items():
            share = count / known if known and fate != "unknown" else None
            rows.append(
                FateRow(run=each.run, label=each.label, benchmark=each.benchmark, fate=fate, num_attempts=count, share=share),
            )
    return rows


def flow_table(found: Sequence[Flow]) -> pl.DataFrame:
    """Every transition between neighbouring checkpoints that some line made, with its count."""
    return frame([row for each in found for row in _flow_rows(each)], FlowRow)


def _flow_rows(each: Flow) -> list[FlowRow]:
    return [
        FlowRow(
            run=each.run,
            label=each.label,
            benchmark=each.benchmark,
            step_before=each.steps[number],
            step_after=each.steps[number + 1],
            state_before=before,
            state_after=after,
            num_attempts=counts[before, after],
        )
        for number, counts in enumerate(counted(each, range(len(each.steps))))
        for before in STATES
        for after in STATES
        if counts[before, after]
    ]
