"""How many steps a run has and the learning rate of each. Light: plans need it too."""

from __future__ import annotations

import math

from ray_study.config import Training


def steps_per_epoch(training: Training, num_examples: int) -> int:
    """Whole batches in one pass over the examples; what is left over waits for the next epoch's order."""
    return num_examples // training.batch_size


def num_steps(training: Training, num_examples: int) -> int:
    """The optimizer steps of a run over so many examples: `steps`, or whole batches in `epochs` passes, and at least one."""
    if training.steps is not None:
        return training.steps
    assert training.epochs is not None
    return max(1, round(training.epochs * steps_per_epoch(training, num_examples)))


def num_warmup_steps(training: Training, last: int) -> int:
    """Steps of a run of `last` during which the learning rate rises; a broken number is cut off where time is counted from 0."""
    share = training.warmup_share * last
    # A share such as 0.1 is a little more or less than it says, and 0.29 * 100 is no 28.
    return min(last, math.floor(share + 1e-9) if training.schedule_from == 0 else round(share))


def learning_rate(training: Training, step: int, last: int) -> float:
    """The learning rate of step `step`, of steps 1 to `last`.

    It rises linearly from 0, which is the rate before step 1, to the peak at the last warm-up step, and falls towards 0, which
    would be the rate after step `last`. So no step is spent on a rate of 0.

    With `schedule_from: 0` each step has the rate that PyTorch's usual schedulers give it, as `get_cosine_schedule_with_warmup` of
    transformers does: the first step of a warm-up has a rate of 0, and the peak comes one step after the warm-up.
    """
    assert 1 <= step <= last
    warmup = num_warmup_steps(training, last)
    if training.schedule_from == 0:
        time, start, end = step - 1, warmup, last
    else:
        time, start, end = step, max(warmup, 1), last + 1
    # At `start` itself both branches give the peak.
    if time < start:
        return training.learning_rate * time / start
    share = (time - start) / max(1, end - start)
    if training.schedule == "cosine":
        return training.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    return training.learning_rate * (1 - share if training.schedule == "linear" else 1.0)
