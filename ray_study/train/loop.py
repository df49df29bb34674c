"""The training of one run, as one function: read `train` first. `worker` is what Ray Train calls on each of its workers."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ray.train import get_context
from ray.train.torch import get_device
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from ray_study import machine, tables
from ray_study.chat import Chat
from ray_study.config import Training
from ray_study.model_files import Stamp
from ray_study.rows import Example
from ray_study.train import checkpoints, memory
from ray_study.train.attention import take_packed
from ray_study.train.batches import Cut, Order, micro_batches, stable_seed
from ray_study.train.held_out import held_out_loss
from ray_study.train.holding_out import split
from ray_study.train.layout import FAILURE, seconds_spent
from ray_study.train.parallel import Engine, Place, here, make_engine
from ray_study.train.schedule import learning_rate
from ray_study.train.stopping import Divergence, NonFiniteError, StoppedError, check_finite, spent
from ray_study.train.tokenizing import Row, Rows, tokenize
from ray_study.train.usage import Usage
from ray_study.train.weighting import row_weights

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
    peak_teraflops: float | None = None
    """As `TrainResources.peak_teraflops`."""


def worker(settings: dict[str, Any]) -> None:
    """Trains as one worker of Ray Train."""
    task = Task(**{**settings, "training": Training.model_validate(settings["training"]), "steps": tuple(settings["steps"])})
    # Where it is there already, another worker wrote it, and the whole gang was started again for it.
    if not (Path(task.directory) / FAILURE).is_file():
        place = here(get_device())
        with _measured(Path(task.directory), place):
            attempt(task, place)


def _measured(directory: Path, place: Place) -> AbstractContextManager[None]:
    """The first worker of each node measures it while the run trains."""
    node, is_first = 0, True
    if place.num_workers > 1:  # A worker alone may train in its trial, where Train has no ranks to tell.
        context = get_context()
        node, is_first = context.get_node_rank(), context.get_local_rank() == 0
    return machine.measured(directory / f"node-{node}{machine.SUFFIX}") if is_first else nullcontext()


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
        counts = _train(task, place, writer)
        writer.wait()
    if place.is_first:
        checkpoints.end(Path(task.directory), counts)


def _train(task: Task, place: Place, writer: checkpoints.Writer) -> dict[str, float]:
    """What the run counted. Its last checkpoint is on its way."""
    began = time.monotonic()
    training, directory, last_step = task.training, Path(task.directory), task.steps[-1]
    found, held_out = _rows(task)
    order = Order(len(found.rows), batch_size=training.batch_size, seed=task.seed, shuffle=training.shuffle)
    engine, cut = _engine(task, place)
    usage = Usage(Path(task.base), training, place.device, task.peak_teraflops)
    # Decided before any worker writes, since all of them must take part in each checkpoint.
    owed = frozenset(step for step in task.steps if not writer.is_there(step))
    progress = checkpoints.read_state(directory, engine, owed)
    first_step, num_tokens, num_clipped = int(progress["step"]) + 1, int(progress["num_tokens"]), int(progress.get("num_clipped", 0))
    divergence = Divergence.resumed(training.stop, progress)
    metrics = checkpoints.Metrics(directory if place.is_first else None, after=first_step - 1)
    # What the steps before took, where this goes on; what was lost with a crash is not among it.
    began -= seconds_spent(directory) if place.is_first else 0.0
    place.wait()
    _stop(_budget(task, place, first_step - 1, num_tokens, began))
    kept_at = time.monotonic()
    _measure(metrics, first_step, held_out_loss(engine, held_out, cut, place) if first_step == 1 else {})

    for step in range(first_step, last_step + 1):
        writer.check()
        started = time.monotonic()
        # Drawn anew each step, so that a resumed run has the dropout that it would have had.
        torch.manual_seed(stable_seed("step", task.seed, step, place.rank))
        batch = [found.rows[index] for index in order.of(step)]
        step_tokens = sum(len(row.ids) for row in batch)

        told, seconds_since_kept = _gradient(training, place, engine, batch, cut, _waited(task, kept_at, writer))
        check_finite("loss", told["loss"], step, training.non_finite)
        rate = learning_rate(training, step, last_step)
        norm = engine.step(rate)
        check_finite("gradient norm", norm, step, training.non_finite)
        seconds = time.monotonic() - started
        num_tokens += step_tokens
        num_clipped += int(norm > training.max_grad_norm)

        metrics.write(
            {
                "step": step,
                **told,
                "learning_rate": rate,
                "gradient_norm": norm,
                "clipped": int(norm > training.max_grad_norm),
                "clipped_share": num_clipped / step,
                "skipped": int(not math.isfinite(norm)),
                "tokens": step_tokens,
                "supervised_tokens": sum(row.num_targets for row in batch),
                "num_tokens": num_tokens,
                "tokens_per_second": step_tokens / seconds,
                **usage.of_step(batch, seconds, place.num_workers),
                **(held_out_loss(engine, held_out, cut, place) if step in task.steps else {}),
                "epoch": step / order.per_epoch,
                "seconds": time.monotonic() - began,
            }
        )
        if step in owed:
            _save(task, place, engine, writer, _stamp(task, step, num_tokens))
        divergence.check(step, told["loss"])
        reason = _budget(task, place, step, num_tokens, began)
        if step < last_step and (reason or _is_due(task, step, seconds_since_kept)):
            now = {"step": step, "num_tokens": num_tokens, "num_clipped": num_clipped, **divergence.progress}
            checkpoints.write_state(directory, engine, place, now, settled=writer.wait)
            kept_at = time.monotonic()
        _stop(reason)

    return {**found.counts, "num_held_out": len(held_out), "num_tokens": num_tokens, "seconds": time.monotonic() - began}


def _measure(metrics: checkpoints.Metrics, first_step: int, found: Mapping[str, float]) -> None:
    """Writes what the base model shows on the rows held out, where the run begins with it."""
    if found:
        metrics.write({"step": first_step - 1, **found})


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


def _rows(task: Task) -> tuple[Rows, tuple[Row, ...]]:
    """The rows that the run learns from, of which those over-long are logged, and those that are held out."""
    chat = Chat(task.base, trust_remote_code=task.trust_remote_code, end_token=task.training.end_token)
    examples = tables.read(task.examples, Example)
    learned, held_out = split(examples, task.training.held_out)
    found = tokenize(learned, chat, max_length=task.training.max_length, over_long=task.training.over_long)
    if found.num_dropped or found.num_truncated:
        log.warning(
            "of %d examples, %d were dropped and %d cut at max_length %d",
            *(len(learned), found.num_dropped, found.num_truncated, task.training.max_length),
        )
    return found, tokenize(held_out, chat, max_length=task.training.max_length, over_long=task.training.over_long).rows


def _engine(task: Task, place: Place) -> tuple[Engine, Cut]:
    """What learns, and how a step's batch is cut for it."""
    training = task.training
    if training.batch_size % place.num_workers:
        raise ValueError(f"batch_size {training.batch_size} is not divisible by {place.num_workers} workers; change one of them")
    torch.manual_seed(stable_seed("model", task.seed))
    # DeepSpeed makes its fp32 masters from a model in bf16, so each worker need not hold it in fp32 before it is split.
    in_bf16 = training.precision == "bf16" and (training.master_weights == "bf16" or training.engine == "deepspeed")
    dtype = torch.bfloat16 if in_bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(task.base, dtype=dtype, local_files_only=True, trust_remote_code=task.trust_remote_code)
    packed = training.packing and take_packed(model)
    at_most = training.tokens_at_once if packed else training.micro_batch_size
    return make_engine(model, training, place), Cut(rank=place.rank, num_workers=place.num_workers, packed=packed, at_most=at_most)


def _gradient(
    training: Training, place: Place, engine: Engine, batch: list[Row], cut: Cut, waited: float
) -> tuple[dict[str, float], float]:
    """The step's gradient is accumulated; what was found of the whole batch, and the first worker's clock, for all to agree on.

    `loss` is the mean negative log-likelihood of the response tokens, each counted once whatever its weight in the gradient; `entropy`
    is the mean entropy of the predictions at the same positions. Both are in nats.
    """
    num_targets = [row.num_targets for row in batch]
    parts = list(micro_batches(batch, row_weights(num_targets, training), cut))
    totals = torch.zeros(4, dtype=torch.float64, device=place.device)
    for index, part in enumerate(parts):
        totals[:3] += engine.accumulate(place.take(part), last=index == len(parts) - 1)
    totals[3] = waited if place.is_first else 0.0
    loss, hits, entropy, first_waited = place.sum(totals)
    whole = sum(num_targets)
    return {"loss": loss / whole, "token_accuracy": hits / whole, "entropy": entropy / whole}, first_waited


def _stamp(task: Task, step: int, num_tokens: int) -> Stamp:
    settings: Mapping[str, object] = {"training": task.training.model_dump(mode="json"), "seed": task.seed, "base": task.base}
    return Stamp(run=task.run, step=step, num_tokens=num_tokens, settings=settings)
