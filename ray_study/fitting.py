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
    """A run's settings with what `resources` says of its model, and the rest of what no gradient depends on chosen.

    `zero_stage`, `gradient_checkpointing` and `micro_batch_size` are, where the file leaves them out: the first that fits into
    `resources.gpu_memory_gigabytes`, from what is fastest to what needs least; where nothing fits, what needs least. On a CPU, and for a
    model whose shape is not known, the defaults stay.
    """
    return _fitted(study, run, workers_of(study, run))


def workers_of(study: Study, run: PlannedRun) -> int:
    """The workers of a run: what `resources` says of its model, else of all, else the fewest over which it fits by the memory estimate.

    Those are accelerators, as many as the file leaves to one run at most; where it fits over none of them, as many as that. One on a
    CPU, for a model whose shape is not known, and by plain torch, which splits no memory.
    """
    train = study.resources.train
    given = train.by_model[run.model].workers if run.model in train.by_model else None
    if given is not None or train.workers is not None:
        return given or train.workers or 1
    if not train.gpus_per_worker or run.training.engine == "torch" or facts(study.models[run.model]) is None:
        return 1
    counts = [count for count in _counts(run.training) if count <= study.resources.most_workers]
    fitting = (count for count in counts if fits(study, run, _fitted(study, run, count), count, MARGIN))
    return next(fitting, counts[-1])


def stated(study: Study, run: PlannedRun) -> Training:
    """A run's settings with what `resources` says of its model in place."""
    own = study.resources.train.by_model.get(run.model)
    return run.training.model_copy(update=own.held) if own is not None else run.training


def _fitted(study: Study, run: PlannedRun, num_workers: int) -> Training:
    """`fitted` over so many workers."""
    training = stated(study, run)
    if not study.resources.train.gpus_per_worker or facts(study.models[run.model]) is None:
        return training
    choices = list(_choices(training, num_workers))
    return next((choice for choice in choices if fits(study, run, choice, num_workers, MARGIN)), choices[-1])


def fits(study: Study, run: PlannedRun, training: Training, num_workers: int, share: float = 1.0) -> bool:
    """Whether the estimate for a worker of so many is within a share of an accelerator's memory; the model's shape is known."""
    found = facts(study.models[run.model])
    assert found is not None, run.model
    return memory_per_worker(found, training, num_workers=num_workers).total <= share * study.resources.gpu_memory_gigabytes * 1e9


def fewest_workers(study: Study, run: PlannedRun) -> int | None:
    """The fewest workers, each with as many rows, over which a run of DeepSpeed would fit, or None where splitting it does not help."""
    if run.training.engine == "torch":
        return None
    training = stated(study, run)
    return next((n for n in _counts(training) for choice in _choices(training, n) if fits(study, run, choice, n)), None)


def _counts(training: Training) -> list[int]:
    """The numbers of workers that share a batch evenly, from one up."""
    return [count for count in range(1, min(MOST_WORKERS, training.batch_size) + 1) if training.batch_size % count == 0]


def _choices(training: Training, num_workers: int) -> Iterator[Training]:
    """The ways to hold a run, from what is fastest to what needs least memory; what the file gives is in all of them."""
    given = training.model_fields_set
    stages = [training.zero_stage] if "zero_stage" in given or training.engine == "torch" else [1, 2, 3]
    recomputed = [training.gradient_checkpointing] if "gradient_checkpointing" in given else [False, True]
    local = max(1, training.batch_size // num_workers)
    rows = [training.micro_batch_size] if "micro_batch_size" in given else [count for count in ROWS_AT_ONCE if count <= local]
    for stage, flag, count in itertools.product(stages, recomputed, rows):
        yield training.model_copy(update={"zero_stage": stage, "gradient_checkpointing": flag, "micro_batch_size": count})
