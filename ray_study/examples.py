"""Verdicts -> the examples of a data set: what also occurs in a benchmark is removed, one attempt is chosen, its form is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ray_study import problems, selection
from ray_study.attempts import grade_attempts
from ray_study.config import Dataset, Study
from ray_study.grid import dataset_literal
from ray_study.manifests import digest
from ray_study.materials import Lab, load_problems, local_file, verdict_counts
from ray_study.rows import Example, GradedAttempt, Problem
from ray_study.store import Result, Workspace, outside

VERSION = 1
"""Raised by hand when the meaning of a data set's rows changes."""


def make_dataset(lab: Lab, name: str, exam_items: Sequence[Problem]) -> Result:
    """The examples of a data set, without the problems that also occur in a benchmark of the study."""
    dataset = lab.study.datasets[name]
    inputs = dataset_literal(lab.study, name)
    if dataset.problems is None or dataset.teacher is None:
        files = local_file(dataset.read, dataset.name)
        return lab.store.make("dataset", inputs, lambda workspace: _read_examples(workspace, name, dataset), version=VERSION, sources=files)
    source, rows = load_problems(lab, dataset.problems)
    verdicts = grade_attempts(lab, dataset.problems, dataset.teacher)
    kept, overlaps = problems.decontaminate(rows, exam_items)
    # What is removed depends on the study's benchmarks, so it is a source: other overlaps make the data set again.
    removed = outside(f"overlap of {name}", digest(sorted(overlaps)))

    def build(workspace: Workspace) -> Mapping[str, object]:
        by_id = {row.id: row for row in kept}
        graded = [row for row in verdicts.rows(GradedAttempt) if row.problem_id in by_id]
        return _select(workspace, lab.study, name, graded, by_id) | {
            "num_removed_by_overlap": len(rows) - len(kept),
            "overlaps": sorted(overlaps)[:1000],
            "verdicts": verdict_counts(graded),
            "num_problems": len(rows),
        }

    return lab.store.make("dataset", inputs, build, version=VERSION, sources=[verdicts, source, removed])


def _select(
    workspace: Workspace, study: Study, name: str, graded: Sequence[GradedAttempt], by_id: Mapping[str, Problem]
) -> dict[str, object]:
    select, transform = study.datasets[name].select, study.datasets[name].transform
    try:
        chosen = selection.select(
            graded, by_id, policy=select.policy, per_problem=select.per_problem, num_examples=select.num_examples, seed=study.seed
        )
    except ValueError as error:
        raise ValueError(f"data set {name!r}: {error}") from error
    examples, num_dropped = selection.transform(chosen, transform)
    workspace.write("all", examples, Example)
    return {"num_rows": len(examples), "num_selected": len(chosen), "num_dropped_by_transform": num_dropped}


def _read_examples(workspace: Workspace, name: str, dataset: Dataset) -> Mapping[str, object]:
    assert dataset.read is not None
    assert dataset.name is not None
    examples, resolved = problems.read_examples(
        dataset.read, dataset.name, revision=dataset.revision, split=dataset.split, columns=dataset.columns
    )
    wanted = dataset.select.num_examples
    if wanted is not None and wanted > len(examples):
        raise ValueError(
            f"data set {name!r}: found {len(examples)} rows in {dataset.name}, expected {wanted}; set num_examples to what is there"
        )
    chosen, num_dropped = selection.transform(examples[:wanted], dataset.transform)
    workspace.write("all", chosen, Example)
    return {"num_rows": len(chosen), "num_dropped_by_transform": num_dropped, "resolved": resolved}
