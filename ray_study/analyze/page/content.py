"""What a section of the page is, and what all of them read, made once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from ray_study.analyze.asymmetry import PathPoint
from ray_study.analyze.bootstrap import ItemCurves, curves_of_attempts
from ray_study.analyze.dips import Dip, find_dip
from ray_study.analyze.findings import ByStep, Change, all_attempts_by_step, changes
from ray_study.analyze.layout import run_labels
from ray_study.analyze.sides import path_of
from ray_study.analyze.statistics import Estimate
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import benchmark_cards
from ray_study.rows import BenchmarkCard, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The runs that differ in nothing but their seed."""

    label: str
    """Out of what differs between arms."""
    model: str
    dataset: str
    settings: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """One arm at one benchmark, its seeds together: the same items at the steps that all of its scored runs share."""

    arm: Arm
    card: BenchmarkCard
    curves: ItemCurves
    dip: Dip | None
    last_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A study with what several sections need of it."""

    study: StudyTables
    cards: tuple[BenchmarkCard, ...]
    labels: Mapping[str, str]
    """Run id -> label, of the runs that did not fail."""
    changes: tuple[Change, ...]
    by_step: Mapping[tuple[str, str], ByStep]
    """(run id, benchmark) -> step -> attempts, where there are any."""
    arms: tuple[Arm, ...]
    pooled: tuple[Pooled, ...]
    paths: Mapping[str, Sequence[PathPoint]]
    """Label of an arm -> its path of reasoning gained and safety lost; arms that lack a side or a second step have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one section says."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """What its partial template reads, as `s`."""
    figures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)
    """File name -> what draws it; the template shows it by that name."""
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """File name -> table: written as CSV and Parquet, and into `report.json`."""
    long_tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """The same, but too long for `report.json`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path below the report's directory -> the text of a file beside the page."""
    write: Callable[[Path], tuple[Mapping[str, Any], list[str]]] | None = None
    """Writes pages of its own below the report's directory, before the page itself: further values, and the names of what is in `data/`."""
    nothing: str = ""
    """Why there is nothing to say, in one line, which then is all that the section shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the page; `NAME.html` beside this file is its template."""

    name: str
    title: str
    make: Callable[[Material], Content]
    short: str = ""
    """Its title in the menu, where that is shorter."""


def gather(study: StudyTables) -> Material:
    """The material of a study."""
    by_step = all_attempts_by_step(study)
    found = changes(study, by_step)
    arms = _arms([run for run in study.runs if run.status != "failed" and any(change.run == run.id for change in found)])
    cards = tuple(benchmark_cards(study))
    return Material(
        study=study,
        cards=cards,
        labels=run_labels([run for run in study.runs if run.status != "failed"]),
        changes=tuple(found),
        by_step=by_step,
        arms=arms,
        pooled=tuple(_pooled(arms, cards, by_step, {(each.run, each.benchmark): each.dip for each in found})),
        paths=_paths(arms, cards, by_step),
    )


def _arms(runs: Sequence[Run]) -> tuple[Arm, ...]:
    """The arms of the fine-tuned runs, in their order; where labels do not tell two arms apart they are numbered."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.stage == "sft":
            groups.setdefault((run.model, run.dataset, run.settings), []).append(run)
    first = {key: found[0] for key, found in groups.items()}
    models, datasets = {key[0] for key in groups}, {key[1] for key in groups}
    parts = {key: [name for name, many in ((key[1], datasets), (key[0], models)) if len(many) > 1] for key in groups}
    labels = {key: ", ".join(found) or (first[key].name if len(groups) > 1 else "all runs") for key, found in parts.items()}
    # Runs that differ in their settings are told apart by their names.
    doubled = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    return tuple(
        Arm(
            label=first[key].name if labels[key] in doubled else labels[key],
            model=key[0],
            dataset=key[1],
            settings=key[2],
            runs=tuple(found),
        )
        for key, found in groups.items()
    )


def _pooled(
    arms: Sequence[Arm],
    cards: Sequence[BenchmarkCard],
    by_step: Mapping[tuple[str, str], ByStep],
    dips: Mapping[tuple[str, str], Dip | None],
) -> list[Pooled]:
    """Every arm at every benchmark at which a run of it has attempts at two steps or more."""
    found = []
    for card in cards:
        for arm in arms:
            scored = [(run, by_step[run.id, card.benchmark]) for run in arm.runs if len(by_step.get((run.id, card.benchmark), {})) > 1]
            steps = sorted(set.intersection(*(set(each) for _, each in scored))) if scored else []
            if len(steps) < 2:
                continue
            curves = curves_of_attempts([{step: each[step] for step in steps} for _, each in scored])
            if not curves.items:
                continue
            # One seed's dip is that of its run, which is found already.
            whole = len(scored) == 1 and len(steps) == len(scored[0][1])
            dip = dips.get((scored[0][0].id, card.benchmark)) if whole else find_dip(curves) if steps[0] == 0 else None
            found.append(Pooled(arm=arm, card=card, curves=curves, dip=dip, last_step=steps[-1]))
    return found


def _paths(arms: Sequence[Arm], cards: Sequence[BenchmarkCard], by_step: Mapping[tuple[str, str], ByStep]) -> dict[str, list[PathPoint]]:
    found = {}
    for arm in arms:
        of_arm = {card.benchmark: [each for run in arm.runs if (each := by_step.get((run.id, card.benchmark)))] for card in cards}
        found[arm.label] = path_of({name: same_steps(each) for name, each in of_arm.items() if each}, cards)
    return {label: path for label, path in found.items() if path}


def same_steps(by_seed: Sequence[ByStep]) -> list[ByStep]:
    """The steps that all seeds share, one mapping a seed."""
    steps = sorted(set.intersection(*(set(each) for each in by_seed)))
    return [{step: each[step] for step in steps} for each in by_seed]


def flat(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """An estimate as three columns: its value and the ends of its 95 % interval."""
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
