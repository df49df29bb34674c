"""The first act of `run`: the checks on a study at work, when a driver has its claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ray_study import materials
from ray_study.checks import CHECKS, line, look, summary
from ray_study.checks.finding import Finding, JudgeModel, Subject
from ray_study.checks.subjects import is_loaded_here, judge_as_it_is, renderings
from ray_study.evaluate import Exam
from ray_study.grid import planned
from ray_study.hub import look_up
from ray_study.materials import Lab
from ray_study.owed import matrix


def before_spending(lab: Lab, suite: Sequence[Exam], *, scores: bool) -> list[Finding]:
    """What the checks found about a study that is about to begin; what failed is told.

    Args:
        lab: the study at work.
        suite: its exams.
        scores: whether this driver scores. One that only trains needs no judge, nor the key to one.

    Raises:
        ValueError: something failed that would spend for nothing; a line for each.
    """
    checks = {name: check for name, check in CHECKS.items() if scores or name != "judge_reachable"}
    findings = _told(lab, look(at_work(lab, suite), checks))
    lab.progress(summary(findings))
    return findings


def judges_are_there(lab: Lab, suite: Sequence[Exam]) -> None:
    """Returns when each judge of what is owed has been looked for: for whoever scores what was trained elsewhere, before anything is asked.

    Raises:
        ValueError: a judge cannot be had; the sentence names it.
    """
    subject = _subject(lab, suite)
    _told(lab, look(subject, {"judge_reachable": CHECKS["judge_reachable"]}))


def _told(lab: Lab, findings: list[Finding]) -> list[Finding]:
    """The findings, when those that failed are told.

    Raises:
        ValueError: something failed that would spend for nothing; a line for each.
    """
    for finding in findings:
        if finding.state == "fail":
            lab.progress(line(finding))
    stopping = [line(finding) for finding in findings if finding.state == "fail" and finding.stops]
    if stopping:
        raise ValueError("\n".join(stopping))
    return findings


def at_work(lab: Lab, suite: Sequence[Exam]) -> Subject:
    """The study of a lab: its exams are made, and its base models are prepared, since all that follows needs them.

    Raises:
        ValueError: a model cannot be had.
    """
    missing: dict[str, str] = {}
    for dataset in lab.study.datasets.values():
        if dataset.problems is None or dataset.problems in lab.loaded:
            continue
        try:
            if is_loaded_here(lab.study.problems[dataset.problems]):
                materials.load_problems(lab, dataset.problems)
        except ValueError as error:
            # Its data set fails alone.
            missing[f"problems {dataset.problems!r}"] = str(error)
    sets = {name: rows for name, (_, rows) in lab.loaded.items()}
    asked = renderings(lab.study, lambda name: Path(materials.base_directory(lab, name)), missing)
    return replace(_subject(lab, suite), sets=sets, renderings=asked, missing=missing)


def _subject(lab: Lab, suite: Sequence[Exam]) -> Subject:
    """A study at work of which nothing is prepared yet but its exams."""
    return Subject(
        study=lab.study,
        store=lab.store,
        exams={exam.name: exam.items for exam in suite},
        sets={},
        renderings={},
        missing={},
        progress=lab.progress,
        judge_model=partial(_judge_model, lab),
        settled=_settled(lab),
    )


def _settled(lab: Lab) -> frozenset[str]:
    """The benchmarks of a study of which every cell is scored. What models without a study will be asked, the store cannot know."""
    if "sweep" not in lab.study.model_fields_set or _is_made_anew(lab):
        return frozenset()
    rows = matrix(lab.study, lab.store)
    asked = {name: [row.cells[name].state for row in rows if name in row.cells] for name in lab.study.evaluation.benchmarks}
    return frozenset(name for name, states in asked.items() if states and set(states) == {"scored"})


def _is_made_anew(lab: Lab) -> bool:
    """Whether a set of problems is newer than a run: then whatever was made of the older one will be made again."""
    made = [Path(result.path) for result, _ in lab.loaded.values()]
    runs = [Path(lab.store.path(f"train-{run.id}")) for run in planned(lab.study)]
    times = [[(path / "record.json").stat().st_mtime for path in paths if (path / "record.json").is_file()] for paths in (made, runs)]
    return all(times) and max(times[0]) > min(times[1])


def _judge_model(lab: Lab, name: str, rewards: bool) -> JudgeModel:
    """A model that judges, prepared as swept ones are; of one of the Hub that is not on this machine yet, its config is looked up.

    Its weights may be many times a student's, and are fetched when it is first asked: accelerators would wait for them here.

    Raises:
        ValueError: it cannot be had.
    """
    found, model = judge_as_it_is(lab.study, lab.cache, name, rewards), lab.study.models[name]
    if found.directory is not None:
        return found
    if model.hub is not None:
        look_up(model.hub, model.revision)
        return JudgeModel()
    return JudgeModel() if model.path is not None else JudgeModel(directory=Path(materials.base_directory(lab, name)))
