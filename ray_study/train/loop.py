"""The training of one run, as one function: read `train` first. `worker` is what Ray Train calls on each of its workers."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ray.train.torch import get_device
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from ray_study import tables
from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.model_files import Stamp
from ray_study.rows import Example
from ray_study.train import checkpoints, memory
from ray_study.train.batches import Order, collate, share, stable_seed
from ray_study.train.layout import FAILURE, seconds_spent
from ray_study.train.parallel import Engine, Place, here, make_engine
from ray_study.train.schedule import learning_rate
from ray_study.train.stopping import Divergence, NonFiniteError, StoppedError, check_finite, spent
from ray_study.train.tokenizing import Row, Rows, tokenize

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one run is to learn, from what, and where to."""

    run: str
    """`Run.id`."""
    seed: int
    base: str
    """Directory of step 0."""
    examples: str
    """Parquet files of `Example`."""
    steps: tuple[int, ...]
    """The steps to save; the last is the run's last."""
    training: Training
    directory: str
    num_threads: int
    resume_seconds: float
    """Least time between two resume states: what a crash costs at most, and what writing them may cost."""
    trust_remote_code: bool
    resume_every: int | None = None
    """Steps between two resume states, in place of `resume_seconds`."""
    memory_estimate: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a worker by part, as `plan` estimates them: said beside what was used where memory runs out."""


def worker(settings: dict[str, Any]) -> None:
    """Trains as one worker of Ray Train."""
    task = Task(**{**settings, "training": Training.model_validate(settings["training"]), "steps": tuple(settings["steps"])})
    # Where it is there already, another worker wrote it, and the whole gang was started again for it.
    if not (Path(task.directory) / FAILURE).is_file():
        attempt(task, here(get_device()))


def attempt(task: Task, place: Place) -> None:
    """Trains one run; what would fail again in the same way is written down and not raised, so that the run isn't tried again."""
    directory = Path(task.directory)
    try:
        train(task, place)
    except (ValueError, NonFiniteError, StoppedError) as error:
        if place.is_first:
            checkpoints.fail(directory, str(error))
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        checkpoints.fail(directory, memory.in_words(error, task.memory_estimate, place.device))
        if place.num_workers > 1:
            # The others wait for this one in the middle of a step: only its end frees them.
            raise


def train(task: Task, place: Place) -> None:
    """Trains one run to its last step, from its resume state where there is one; every checkpoint is whole when this returns.

    Raises:
        ValueError: the data or the workers do not fit the settings.
        NonFiniteError: the run diverged; what was saved before stays.
        StoppedError: a rule of `training.stop` ended it; what was saved before stays.
    """
    torch.set_num_threads(task.num_threads)
    transformers_logging.disable_progress_bar()
    with checkpoints.Writer(Path(task.base), Path(task.directory), trust_remote_code=task.trust_remote_code) as writer:
        if place.is_first:
            writer.clear()
        _train(task, place, writer)


def _train(task: Task, place: Place, writer: checkpoints.Writer) -> None:
    began = time.monotonic()
    training, directory, last_step = task.training, Path(task.directory), task.steps[-1]
    found = _rows(task)
    order = Order(len(found.rows), batch_size=training.batch_size, seed=task.seed, shuffle=training.shuffle)
    engine = _engine(task, place)
    # Decided before any worker writes, since all of them must take part in each checkpoint.
    owed = frozenset(step for step in task.steps if not writer.is_there(step))
    progress = checkpoints.read_state(directory, engine, owed)
    first_step, num_tokens = int(progress["step"]) + 1, int(progress["num_tokens"])
    divergence = Divergence.resumed(training.stop, progress)
    metrics = checkpoints.Metrics(directory if place.is_first else None, after=first_step - 1)
    # What the steps before took, where this goes on; what was lost with a crash is not among it.
    began -= seconds_spent(directory) if place.is_first else 0.0
    place.wait()
    _stop(_budget(task, place, first_step - 1, num_tokens, began))
    kept_at = time.monotonic()

    for step in range(first_step, last_step + 1):
        writer.check()
        started = time.monotonic()
        # Drawn anew each step, so that a resumed run has the dropout that it would have had.
        torch.manual_seed(stable_seed("step", task.seed, step, place.rank))
        batch = [found.rows[index] for index in order.of(step)]
        num_targets = sum(row.num_targets for row in batch)
        step_tokens = sum(len(row.ids) for row in batch)

        loss, accuracy, seconds_since_kept = _gradient(task, place, engine, batch, _waited(task, kept_at, writer))
        check_finite("loss", loss, step, training.non_finite)
        rate = learning_rate(training, step, last_step)
        norm = engine.step(rate)
        check_finite("gradient norm", norm, step, training.non_finite)
        num_tokens += step_tokens

        metrics.write(
            {
                "step": step,
                "loss": loss,
                "token_accuracy": accuracy,
                "learning_rate": rate,
                "gradient_norm": norm,
                "clipped": int(norm > training.max_grad_norm),
                "skipped": int(not math.isfinite(norm)),
                "tokens": step_tokens,
                "supervised_tokens": num_targets,
                "num_tokens": num_tokens,
                "tokens_per_second": step_tokens / (time.monotonic() - started),
                "epoch": step / order.per_epoch,
                "seconds": time.monotonic() - began,
            }
        )
        if step in owed:
            _save(task, place, engine, writer, _stamp(task, step, num_tokens))
        divergence.check(step, loss)
        reason = _budget(task, place, step, num_tokens, began)
        if step < last_step and (reason or _is_due(task, step, seconds_since_kept)):
            now = {"step": step, "num_tokens": num_tokens, **divergence.progress}
            checkpoints.write_state(directory, engine, place, now, settled=writer.wait)
            kept_at = time.monotonic()
        _stop(reason)

    writer.wait()
    if place.is_first:
        checkpoints.end(directory, {**found.counts, "num_tokens": num_tokens, "seconds": time.monotonic() - began})


def _budget(task: Task, place: Place, step: int, num_tokens: int, began: float) -> str:
    """Why the run ends here by `training.stop`, the same on every worker; empty where it goes on, or has ended anyway."""
    stop = task.training.stop
    if step >= task.steps[-1]:
        return ""
    return spent(stop, step, num_tokens, 0.0 if stop.hours is None else place.of_first(time.monotonic() - began))


def _stop(reason: str) -> None:
    if reason:
        raise StoppedError(reason)


def _save(task: Task, place: Place, engine: Engine, writer: checkpoints.Writer, stamp: Stamp) -> None:
    """Has the first worker take a copy of the weights, which it writes in the background."""
    weights = engine.weights()
    if place.is_first:
        writer.write(weights, stamp)
    else:
        for _ in weights:
            pass


def _waited(task: Task, kept_at: float, writer: checkpoints.Writer) -> float:
    """Seconds since the last resume state; none yet while a checkpoint is being written, which the state would have to wait for."""
    waited = time.monotonic() - kept_at
    return 0.0 if writer.is_busy and waited < 2 * task.resume_seconds else waited


def _is_due(task: Task, step: int, seconds_since_kept: float) -> bool:
    """Whether the resume state is to be kept after a step; the same on every worker."""
    return step % task.resume_every == 0 if task.resume_every is not None else seconds_since_kept >= task.resume_seconds


def _rows(task: Task) -> Rows:
    """The run's rows; how many were over-long is logged."""
    chat = Chat(task.base, trust_remote_code=task.trust_remote_code, end_token=task.training.end_token)
    examples = tables.read(task.examples, Example)
    found = tokenize(examples, chat, max_length=task.training.max_length, over_long=task.training.over_long)
    if found.num_dropped or found.num_truncated:
        log.warning(
            "of %d examples, %d were dropped and %d cut at max_length %d",
            *(len(examples), found.num_dropped, found.num_truncated, task.training.max_length),
        )
    return found


def _engine(task: Task, place: Place) -> Engine:
    training = task.training
    if training.batch_size % place.num_workers:
        raise ValueError(f"batch_size {training.batch_size} is not divisible by {place.num_workers} workers; change one of them")
    torch.manual_seed(stable_seed("model", task.seed))
    dtype = torch.bfloat16 if training.master_weights == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(task.base, dtype=dtype, local_files_only=True, trust_remote_code=task.trust_remote_code)
    local = training.batch_size // place.num_workers
    return make_engine(model, training, place, num_micro_batches=math.ceil(local / training.micro_batch_size))


def _gradient(task: Task, place: Place, engine: Engine, batch: list[Row], waited: float) -> tuple[float, float, float]:
    """Loss and token accuracy over the whole batch, its gradient accumulated; and the first worker's clock, for all to agree on."""
    num_targets = sum(row.num_targets for row in batch)
    parts = share(batch, rank=place.rank, num_workers=place.num_workers, micro_batch_size=task.training.micro_batch_size)
    totals = torch.zeros(3, dtype=torch.float64, device=place.device)
    for index, part in enumerate(parts):
        tensors = {name: tensor.to(place.device) for name, tensor in collate(part, pad_id=0).items()}
        loss, correct = engine.accumulate(tensors, num_targets, last=index == len(parts) - 1)
        totals += torch.stack([loss.double(), correct.double(), torch.zeros_like(loss, dtype=torch.float64)])
    totals[2] = waited if place.is_first else 0.0
    loss_sum, num_correct, first_waited = place.sum(totals)
    return loss_sum / num_targets, num_correct / num_targets, first_waited


def _stamp(task: Task, step: int, num_tokens: int) -> Stamp:
    settings: Mapping[str, object] = {"training": task.training.model_dump(mode="json"), "seed": task.seed, "base": task.base}
    return Stamp(run=task.run, step=step, num_tokens=num_tokens, settings=settings)
