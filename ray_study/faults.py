"""What cannot work about a study's problems, data sets and engines, known without a download: for `plan`, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ray_study import problems
from ray_study.config import Dataset, Model, ServeResources, Study
from ray_study.models import ModelFacts, facts
from ray_study.train.cost import BYTES


def material_faults(study: Study) -> Iterator[str]:
    """What cannot work about problems, exams and data sets."""
    for name, settings in study.problems.items():
        source = problems.SOURCES.get(settings.source)
        if source is not None and source.endless and settings.num_problems is None:
            yield f"problems.{name}: {settings.source} makes problems without end; say how many with num_problems"
    for name, benchmark in study.evaluation.benchmarks.items():
        there = study.problems[benchmark.problems].num_problems
        if benchmark.items is not None and there is not None and benchmark.items > there:
            where = f"evaluation.benchmarks.{name}.items"
            yield f"{where}: found {benchmark.items}, but problems.{benchmark.problems} has {there}; ask for fewer"
    for name, dataset in study.datasets.items():
        yield from (f"datasets.{name}{fault}" for fault in _dataset_faults(dataset))


def _dataset_faults(dataset: Dataset) -> Iterator[str]:
    if dataset.read in ("jsonl", "parquet") and dataset.name is not None and not Path(dataset.name).is_file():
        yield f".name: no file at {dataset.name!r}; expected the local path of a data set"


def engine_faults(study: Study) -> Iterator[str]:
    """What cannot work about the models and the engines that are to serve them."""
    for name, model in study.models.items():
        if model.path is not None and not (Path(model.path).expanduser() / "config.json").is_file():
            yield f"models.{name}.path: no config.json in {model.path!r}; expected a directory in Hugging Face layout"
    teachers = {teacher.model for teacher in study.teachers.values() if teacher.model is not None}
    for stage, served, resources in (
        ("generate", sorted(teachers), study.resources.generate),
        ("evaluate", sorted(set(study.sweep.model)), study.resources.evaluate),
    ):
        for name in served:
            found = facts(study.models[name])
            if found is not None:
                yield from _serving_faults(f"resources.{stage} serves {name!r}", study.models[name], found, (resources, study))


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
            "gpus_per_replica, or lower the model's max_model_len"
        )


def serving_bytes(model: Model, found: ModelFacts) -> int:
    """Bytes of a served model: its weights, and the keys and values of one sequence that fills its positions, over all its accelerators."""
    size = BYTES[model.dtype]
    per_token = 2 * found.num_layers * found.num_kv_heads * found.head_size * size
    return size * found.num_parameters + per_token * (model.max_model_len or found.positions)
