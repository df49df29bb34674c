"""What a plan says about data sets, and what of them cannot work, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ray_study.config import Dataset, Study
from ray_study.grid import PlannedRun, counting_model
from ray_study.selection import limits


def teacher_lines(study: Study) -> Iterator[str]:
    """What is asked of whom, beside the engines: servers, recordings, and how many rounds."""
    for name, teacher in study.teachers.items():
        if teacher.endpoint is not None:
            key = f"with the key in {teacher.endpoint.key_from}" if teacher.endpoint.key_from else "without a key"
            yield (
                f"teacher {name}: {teacher.endpoint.model} at {teacher.endpoint.public_url} {key}, "
                f"{teacher.endpoint.requests_at_once} requests at once"
            )
        if teacher.recorded is not None:
            recorded = teacher.recorded
            version = f"@{recorded.revision or 'main'}, {recorded.split}" if recorded.read == "hub" else ""
            yield f"teacher {name}: attempts recorded in {recorded.read} {recorded.name}{version}"
        if teacher.until_correct is not None:
            yield f"teacher {name}: rounds of {teacher.num_attempts}, at most {-(-teacher.most_attempts // teacher.num_attempts)}"


def dataset_lines(study: Study) -> Iterator[str]:
    """A line for each data set: where its examples come from, which are chosen, in what form."""
    for name, dataset in study.datasets.items():
        select = dataset.select
        chosen = select.policy if select.arm == "verified" else f"{select.policy} of {select.arm}"
        form = f"transform {dataset.transform}" if dataset.truncate_thinking is None else f"truncate_thinking {dataset.truncate_thinking}"
        more = [
            *([f"{select.num_examples} examples"] if select.num_examples is not None else []),
            *([limits(select)] if limits(select) else []),
            *(["overlaps with benchmarks are kept"] if not dataset.decontaminate.remove else []),
        ]
        yield ", ".join([f"data set {name}: {_origin(study, dataset)}, select {chosen}, {form}", *more])


def _origin(study: Study, dataset: Dataset) -> str:
    if dataset.problems is None or dataset.teacher is None:
        return f"read from {dataset.read} {dataset.name}@{dataset.revision or 'main'}"
    asked = study.problems[dataset.problems].num_problems
    teacher = study.teachers[dataset.teacher]
    if teacher.by == "recorded":
        return f"{asked or 'all'} problems, attempts recorded in {dataset.teacher}"
    attempts = f"{asked or 'all'} problems x {teacher.num_attempts} attempts by {dataset.teacher}"
    if teacher.until_correct is not None:
        most = f", {asked * teacher.most_attempts} in all" if asked else ""
        attempts += f" a round until {teacher.until_correct} correct, at most {teacher.most_attempts} each{most}"
    return attempts


def num_examples(study: Study, name: str) -> int | None:
    """How many examples a data set will have, where the file says it."""
    dataset = study.datasets[name]
    if dataset.select.num_examples is not None:
        return dataset.select.num_examples
    if _is_solved(study, dataset) and not limits(dataset.select) and dataset.problems is not None:
        # The solver is right about every problem that it makes.
        return study.problems[dataset.problems].num_problems
    return None


def dataset_faults(study: Study) -> Iterator[str]:
    """What cannot work about the data sets, as sentences."""
    for name, dataset in study.datasets.items():
        yield from (f"datasets.{name}{fault}" for fault in _faults(study, name, dataset))


def _faults(study: Study, name: str, dataset: Dataset) -> Iterator[str]:
    select = dataset.select
    counts = [key for key in ("min_tokens", "max_tokens") if getattr(select, key) is not None]
    wants = [f"select.{key}" for key in counts] + (["truncate_thinking"] if dataset.truncate_thinking is not None else [])
    if wants and counting_model(study, name) is None:
        yield (
            f": {' and '.join(wants)} need a tokenizer, and {dataset.teacher or dataset.read} has none; name a model whose tokenizer "
            f"counts, as in `tokens_by: {next(iter(study.models), 'NAME')}`"
        )
    if dataset.read is not None:
        yield from _read_faults(dataset)
        return
    if _is_solved(study, dataset):
        if select.per_problem != 1:
            yield f".select.per_problem: the solver writes one solution a problem, found {select.per_problem}"
        if select.arm == "wrong":
            yield ".select.arm: found 'wrong', and the solver makes no wrong attempts; name a teacher that does"
    yield from _too_many(study, dataset)


def _read_faults(dataset: Dataset) -> Iterator[str]:
    select = dataset.select
    if dataset.read in ("jsonl", "parquet") and dataset.name is not None and not Path(dataset.name).expanduser().is_file():
        yield f".name: no file at {dataset.name!r}; expected the local path of a data set"
    if select.arm != "verified" or select.per_problem != 1:
        yield ".select: rows that are read have no verdicts and stand for themselves; leave `arm` and `per_problem` out"
    if select.policy in ("shortest", "longest"):
        yield (
            f".select.policy: found {select.policy!r}, which chooses among attempts at one problem; rows that are read take `first` "
            "(their own order) or `random`"
        )


def _too_many(study: Study, dataset: Dataset) -> Iterator[str]:
    assert dataset.problems is not None
    assert dataset.teacher is not None
    asked = study.problems[dataset.problems].num_problems
    each = min(dataset.select.per_problem, study.teachers[dataset.teacher].most_attempts)
    wanted = dataset.select.num_examples
    if asked is not None and wanted is not None and wanted > asked * each:
        yield (
            f".select.num_examples: found {wanted}, but {asked} problems give at most {asked * each} examples; "
            "ask for fewer, or raise num_problems or per_problem, with as many attempts"
        )


def size_faults(study: Study, run: PlannedRun) -> Iterator[str]:
    """What cannot work about the number of examples that a run trains on."""
    examples, size, held_out = num_examples(study, run.dataset), run.training.batch_size, run.training.held_out
    less = f" less {held_out} held out" if held_out else ""
    if examples is not None and examples - held_out < size:
        yield f"data set {run.dataset!r} has {examples} examples{less}, fewer than one batch of {size}; ask for more, or a smaller batch"
        return
    fixed = study.datasets[run.dataset].select.num_examples
    if fixed is not None and (fixed - held_out) % size:
        more = f", and {held_out} more" if held_out else ""
        yield (
            f"data set {run.dataset!r} has {fixed} examples{less}, no multiple of the batch of {size}, so one batch of every epoch would "
            f"be smaller or left out; the nearest sizes are {nearest_multiples(fixed - held_out, size)}{more}"
        )


def nearest_multiples(value: int, of: int) -> str:
    """The multiples of a number on both sides of a value that is none, in words."""
    below = value - value % of
    return " and ".join(str(each) for each in (below, below + of) if each)


def _is_solved(study: Study, dataset: Dataset) -> bool:
    return dataset.teacher is not None and study.teachers[dataset.teacher].by == "solver"
