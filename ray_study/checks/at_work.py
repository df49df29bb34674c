"""The first act of `run`: the checks on a study at work, when a driver has its claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ray_study import materials
from ray_study.checks import line, look, summary
from ray_study.checks.finding import Finding, Subject
from ray_study.checks.subjects import is_loaded_here, renderings
from ray_study.evaluate import Exam
from ray_study.materials import Lab


def before_spending(lab: Lab, suite: Sequence[Exam]) -> list[Finding]:
    """What the checks found about a study that is about to begin; what failed is told.

    Raises:
        ValueError: something failed that would spend for nothing; a line for each.
    """
    findings = look(at_work(lab, suite))
    for finding in findings:
        if finding.state == "fail":
            lab.progress(line(finding))
    stopping = [line(finding) for finding in findings if finding.state == "fail" and finding.stops]
    if stopping:
        raise ValueError("\n".join(stopping))
    lab.progress(summary(findings))
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
    exams = {exam.name: exam.items for exam in suite}
    return Subject(study=lab.study, store=lab.store, exams=exams, sets=sets, renderings=asked, missing=missing, progress=lab.progress)
