"""Which checkpoints keep their weights. Nothing that is owed to an evaluator is deleted, nor any step 0; manifests and scores stay."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ray_study.evaluate import Exam, is_owed
from ray_study.evaluate.scoring import stored
from ray_study.grid import planned
from ray_study.manifests import delete_weights
from ray_study.materials import Lab
from ray_study.rows import Checkpoint

log = logging.getLogger(__name__)


def settle(lab: Lab, checkpoint: Checkpoint, exams: Sequence[Exam]) -> bool:
    """Whether the weights of a checkpoint were deleted now: it is scored, and the sweep file does not keep it.

    A checkpoint from which an open engine was started is left alone, since a replica that dies or comes later starts from it.
    """
    run = next(each for each in planned(lab.study) if each.id == checkpoint.run)
    last = lab.last_steps[run.id]
    directory = Path(checkpoint.path)
    ours = directory.parent == Path(lab.store.path(f"train-{run.id}"))
    if checkpoint.step == 0 or not ours or lab.study.checkpoints.keeps(checkpoint.step, last):
        return False
    # A deletion that was cut short goes on.
    if checkpoint.path in lab.engines.opened_with or not any(directory.glob("*.safetensors*")):
        return False
    owed = [exam for exam in exams if is_owed(exam, checkpoint.step, last)]
    if any(stored(lab, exam, checkpoint, run.model) is None for exam in owed):
        return False
    lab.store.check()
    delete_weights(directory, f"scored, and not kept (checkpoints.keep: {lab.study.checkpoints.kept_in_words})")
    log.info("deleted the weights of step %d of %s: it is scored, and not kept", checkpoint.step, run.name)
    return True
