"""What a study costs at most, as numbers: what its report sets the spent beside."""

from __future__ import annotations

from collections.abc import Sequence

from ray_study.config import Study
from ray_study.fitting import workers_of
from ray_study.grid import PlannedRun, planned
from ray_study.models import facts
from ray_study.plan import saved_or_none, steps_of
from ray_study.plan_benchmarks import prices
from ray_study.train.accelerators import by_ray_type
from ray_study.train.cost import UTILISATION, training_flops, training_seconds


def cost(study: Study) -> dict[str, float | None]:
    """What the study costs at most, for setting what was spent beside it; None where the file alone does not tell.

    Training counts pretraining too; scoring counts every checkpoint once at every benchmark that it sits.
    """
    runs = planned(study)
    trained = [_training_cost(study, run) for run in runs]
    tuned = [run for run in runs if run.stage == "sft"]
    scored = prices(study, len({run.model for run in tuned}), [saved_or_none(study, run) for run in tuned])
    return {
        "training_tokens": _sum([each[0] for each in trained]),
        "training_flops": _sum([each[1] for each in trained]),
        "training_hours": _sum([each[2] for each in trained]),
        "num_checkpoints": max((each.num_checkpoints for each in scored if each.num_checkpoints is not None), default=None),
        "num_attempts": _sum([each.num_attempts for each in scored]),
        "num_tokens": _sum([each.num_tokens for each in scored]),
        "scoring_hours": _sum([each.hours for each in scored]),
    }


def _training_cost(study: Study, run: PlannedRun) -> tuple[float | None, float | None, float | None]:
    """Tokens, FLOPs and hours of a run at most, every row at its full length."""
    try:
        steps = steps_of(study, run)
    except ValueError:
        steps = None
    found, training, resources = facts(study.models[run.model]), run.training, study.resources.train
    if steps is None:
        return None, None, None
    tokens = float(steps * training.batch_size * training.max_length)
    if found is None:
        return tokens, None, None
    flops = training_flops(found, tokens, training.max_length)
    accelerator = by_ray_type(resources.accelerator_type)
    if accelerator is None:
        return tokens, flops, None
    peak = accelerator.peak_teraflops * 1e12
    seconds = training_seconds(flops, peak_flops_per_second=peak, utilisation=UTILISATION, num_workers=workers_of(study, run))
    return tokens, flops, seconds / 3600


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum, where all are known and there are any."""
    known = [value for value in values if value is not None]
    return float(sum(known)) if known and len(known) == len(values) else None
