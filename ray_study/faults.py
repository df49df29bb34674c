"""What cannot work about a study's problems, data sets and engines, known without a download: for `plan`, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ray_study import problems, verify
from ray_study.chosen import num_asked
from ray_study.config import Model, ServeResources, Study
from ray_study.models import ModelFacts, facts
from ray_study.rows import KINDS
from ray_study.train.cost import BYTES


def material_faults(study: Study) -> Iterator[str]:
    """What cannot work about problems, exams and data sets."""
    for name, settings in study.problems.items():
        source = problems.SOURCES.get(settings.source)
        if source is not None and source.endless and settings.num_problems is None:
            yield f"problems.{name}: {settings.source} makes problems without end; say how many with num_problems"
    for name, benchmark in study.evaluation.benchmarks.items():
        there = study.problems[benchmark.problems].num_problems
        asked = num_asked(benchmark.items)
        if asked is not None and there is not None and asked > there:
            where = f"evaluation.benchmarks.{name}.items"
            yield f"{where}: found {asked}, but problems.{benchmark.problems} has {there}; ask for fewer"
    yield from _judge_faults(study)
    yield from _need_faults(study)
    yield from _recorded_faults(study)
    yield from _solver_faults(study)


def _judge_faults(study: Study) -> Iterator[str]:
    for name, benchmark in study.evaluation.benchmarks.items():
        where = f"evaluation.benchmarks.{name}.judge"
        source = problems.SOURCES.get(study.problems[benchmark.problems].source)
        if source is not None and source.kinds == ("judged",) and not benchmark.judge:
            known = sorted(study.judges) or "none"
            yield f"{where}: the problems of {benchmark.problems} need a judge model; name one of `judges`, found {known}"
        rubrics = [study.judges[judge].rubric for judge in benchmark.judge]
        for rubric in sorted({each for each in rubrics if rubrics.count(each) > 1}):
            yield f"{where}: found several judges of the rubric {rubric}; a benchmark has one of each: name the other in a second benchmark"
    for name, judge in study.judges.items():
        if judge.rubric == "reward" and judge.model is not None and not (study.models[judge.model].hub or study.models[judge.model].path):
            yield f"judges.{name}.model: {judge.model} is no reward model; give `models.{judge.model}` a `hub` or `path` of one"
        if judge.model is not None and study.models[judge.model].pretrain is not None:
            yield f"judges.{name}.model: {judge.model} is pretrained in this study; a judge's weights must be ready-made"


def _need_faults(study: Study) -> Iterator[str]:
    for name, settings in study.problems.items():
        source = problems.SOURCES.get(settings.source)
        # One's own rows are of the kind that an option says.
        kinds = source.kinds if source is not None and source.kinds is not KINDS else [settings.options.get("kind")]
        for fault in verify.missing(kind for kind in KINDS if kind in kinds).values():
            yield f"problems.{name}: {fault}"


def _recorded_faults(study: Study) -> Iterator[str]:
    for name, teacher in study.teachers.items():
        recorded = teacher.recorded
        if recorded is not None and recorded.read != "hub" and not Path(recorded.name).is_file():
            yield f"teachers.{name}.recorded.name: there is no file {recorded.name!r}; name a {recorded.read} file of this machine"


def _solver_faults(study: Study) -> Iterator[str]:
    for name, dataset in study.datasets.items():
        if dataset.problems is None or dataset.teacher is None or study.teachers[dataset.teacher].by != "solver":
            continue
        source = problems.SOURCES.get(study.problems[dataset.problems].source)
        if source is not None and not source.has_solutions:
            yield (
                f"datasets.{name}.teacher: {dataset.teacher!r} is the solver, and {study.problems[dataset.problems].source} has no written "
                "solutions; ask a model, or choose a source with solutions such as 'arithmetic'"
            )


def engine_faults(study: Study) -> Iterator[str]:
    """What cannot work about the models and the engines that are to serve them."""
    for name, model in study.models.items():
        if model.path is not None and not (Path(model.path).expanduser() / "config.json").is_file():
            yield f"models.{name}.path: no config.json in {model.path!r}; expected a directory in Hugging Face layout"
    teachers = {teacher.model for teacher in study.teachers.values() if teacher.model is not None}
    for stage, served, resources in (
        ("generate", sorted(teachers), study.resources.generate),
        ("evaluate", sorted({*study.sweep.model, *_served_judges(study)}), study.resources.evaluate),
    ):
        for name in served:
            found = facts(study.models[name])
            if found is not None:
                yield from _serving_faults(f"resources.{stage} serves {name!r}", study.models[name], found, (resources.of(name), study))


def _served_judges(study: Study) -> set[str]:
    return {judge.model for judge in study.judges.values() if judge.model is not None}


def _serving_faults(where: str, model: Model, found: ModelFacts, place: tuple[ServeResources, Study]) -> Iterator[str]:
    resources, study = place
    if model.max_model_len is not None and model.max_model_len > found.positions:
        yield f"{where} with max_model_len {model.max_model_len}, beyond the model's {found.positions} positions; set it to that or less"
    gpus = resources.gpus_per_replica
    if not gpus:
        return
    if found.num_heads % gpus:
        fitting = [number for number in range(1, gpus + 1) if found.num_heads % number == 0]
        yield f"{where}: its {found.num_heads} heads cannot be split over {gpus} accelerators; set gpus_per_replica to one of {fitting}"
    there = study.resources.gpu_memory_gigabytes * resources.gpu_memory_utilization
    needed = serving_bytes(model, found) / gpus / 1e9
    if needed > there:
        yield (
            f"{where}: about {needed:,.0f} GB an accelerator for its weights and one sequence, of which it may take {there:,.0f} GB; raise "
            "gpus_per_replica (`by_model` does for this model alone), or lower the model's max_model_len"
        )


def serving_bytes(model: Model, found: ModelFacts) -> int:
    """Bytes of a served model: its weights, and the keys and values of one sequence that fills its positions, over all its accelerators."""
    size = BYTES[model.dtype]
    per_token = 2 * found.num_layers * found.num_kv_heads * found.head_size * size
    return size * found.num_parameters + per_token * (model.max_model_len or found.positions)
