"""How a run is put onto its accelerators: what a file leaves open and no gradient depends on, chosen by the memory estimate."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ray_study.config import Study, Training
from ray_study.grid import PlannedRun
from ray_study.models import facts
from ray_study.train.cost import memory_per_worker

ROWS_AT_ONCE = (4, 2, 1)
MARGIN = 0.9
"""Of an accelerator's memory that an estimate may fill where the choice is ours: the rest is the driver's, and fragments."""
MOST_WORKERS = 1024


def fitted(study: Study, run: PlannedRun) -> Training:
    """A run's settings with `zero_stage`, `gradient_checkpointing` and `micro_batch_size` chosen where the file leaves them out.

    The first that fits into `resources.gpu_memory_gigabytes`, from what is fastest to what needs least; where nothing fits, what needs
    least. On a CPU, and for a model whose shape is not known, the defaults stay.
    """
    resources = study.resources
    if not resources.train.gpus_per_worker or facts(study.models[run.model]) is None:
        return run.training
    choices = list(_choices(run.training, resources.train.workers))
    return next((choice for choice in choices if fits(study, run, choice, resources.train.workers, MARGIN)), choices[-1])


def fits(study: Study, run: PlannedRun, training: Training, num_workers: int, share: float = 1.0) -> bool:
    """Whether the estimate for a worker of so many is within a share of an accelerator's memory; the model's shape is known."""
    found = facts(study.models[run.model])
    assert found is not None, run.model
    return memory_per_worker(found, training, num_workers=num_workers).total <= share * study.resources.gpu_memory_gigabytes * 1e9


def fewest_workers(study: Study, run: PlannedRun) -> int | None:
    """The fewest workers, each with as many rows, over which a run of DeepSpeed would fit, or None where splitting it does not help."""
    if run.training.engine == "torch":
        return None
    counts = [count for count in range(1, min(MOST_WORKERS, run.training.batch_size) + 1) if run.training.batch_size % count == 0]
    return next((count for count in counts for choice in _choices(run.training, count) if fits(study, run, choice, count)), None)


def _choices(training: Training, num_workers: int) -> Iterator[Training]:
    """The ways to hold a run, from what is fastest to what needs least memory; what the file gives is in all of them."""
    given = training.model_fields_set
    stages = [training.zero_stage] if "zero_stage" in given or training.engine == "torch" else [1, 2, 3]
    recomputed = [training.gradient_checkpointing] if "gradient_checkpointing" in given else [False, True]
    local = max(1, training.batch_size // num_workers)
    rows = [training.micro_batch_size] if "micro_batch_size" in given else [count for count in ROWS_AT_ONCE if count <= local]
    for stage, flag, count in itertools.product(stages, recomputed, rows):
        yield training.model_copy(update={"zero_stage": stage, "gradient_checkpointing": flag, "micro_batch_size": count})
