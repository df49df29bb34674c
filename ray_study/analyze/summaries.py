"""The scores of millions of attempts, read from Parquet a column at a time: the numbers of `statistics.summarize`, without a row object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ray_study.analyze.statistics import LEAST_CLUSTERS, NOTHING, Estimate, instruction_estimates, length_estimates, share_estimate
from ray_study.rows import UNJUDGED, BenchmarkCard, Score

Codes = NDArray[np.uint32]
Flags = NDArray[np.bool_]
CELL = ("run", "step", "benchmark")
_UNJUDGED = sorted(UNJUDGED)
_ESTIMATE = tuple(field.name for field in fields(Estimate))


def summarize_table(paths: str | Path | Sequence[str | Path], cards: Sequence[BenchmarkCard]) -> list[Score]:
    """The scores of every checkpoint and benchmark of a table of attempts, as `summarize` gives them cell by cell.

    Texts are never read. What is held is some 40 bytes an attempt.

    Args:
        paths: Parquet files with the columns of `GradedAttempt` and `run`, `step`, `benchmark`, as in a report's `attempts.parquet`.
        cards: the benchmarks, with the items and samples that each must have.

    Raises:
        ValueError: a benchmark has no card, or a cell misses attempts or has some twice.
    """
    by_name = {card.benchmark: card for card in cards}
    scores: list[Score] = []
    for (run, step, benchmark), cell in _cells(paths):
        if benchmark not in by_name:
            raise ValueError(f"found attempts at {benchmark!r}, expected one of {sorted(by_name)}: give its card too")
        try:
            scores += _scores_of(cell, by_name[benchmark], run, step)
        except ValueError as error:
            raise ValueError(f"{benchmark}, step {step} of {run}: {error}") from error
    return scores


def _cells(paths: str | Path | Sequence[str | Path]) -> Iterator[tuple[tuple[str, int, str], pl.DataFrame]]:
    """Each cell's attempts in numbers, sorted by cell."""
    judged, lenient = ~pl.col("verdict").is_in(_UNJUDGED), ~pl.col("lenient_verdict").is_in(_UNJUDGED)
    asked = pl.col("finish_reason") != "refused"
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    lazy = pl.scan_parquet(files).select(
        *(pl.col(name).cast(pl.Categorical) for name in ("run", "benchmark", "problem_id", "cluster")),
        pl.col("step").cast(pl.Int32),
        pl.col("sample").cast(pl.Int32),
        pl.col("num_tokens", "cap").cast(pl.Int32),
        judged.alias("judged"),
        (pl.col("verdict") == "correct").alias("correct"),
        lenient.alias("leniently_judged"),
        (pl.col("lenient_verdict") == "correct").alias("leniently_correct"),
        pl.col("answer").is_not_null().alias("boxed"),
        asked.alias("asked"),
        (pl.col("finish_reason") == "stop").alias("finished"),
        (pl.col("kind") == "refusal").alias("refusal"),
        # Text is read of these alone.
        pl.when(pl.col("kind") == "instructions").then(pl.col("details")).alias("instructions"),
    )
    table = lazy.collect(engine="streaming")
    table = table.with_columns(pl.col("problem_id", "cluster").to_physical())
    parts = {(str(run), int(step), str(benchmark)): part for (run, step, benchmark), part in table.partition_by(CELL, as_dict=True).items()}
    del table
    for key in sorted(parts):
        yield key, parts.pop(key)


def _scores_of(cell: pl.DataFrame, card: BenchmarkCard, run: str, step: int) -> list[Score]:
    column = {name: cell[name].to_numpy() for name in cell.columns if name not in CELL}
    item_of, num_items = _renumber(column["problem_id"])
    _check_complete(item_of, column["sample"], num_items, card)
    cluster_of = np.zeros(num_items, dtype=np.uint32)
    cluster_of[item_of] = column["cluster"]
    found = {metric: _share(item_of, cluster_of, values, known, card.num_samples) for metric, (values, known) in _readings(column).items()}
    found |= _instructions(column, item_of, cluster_of) | _lengths(column, item_of, cluster_of)
    unjudged, leniently = int((~column["judged"]).sum()), int((~column["leniently_judged"]).sum())
    return [
        Score(
            run=run,
            step=step,
            benchmark=card.benchmark,
            group=card.group,
            metric=metric,
            num_unjudged=leniently if metric == "lenient_accuracy" else unjudged,
            **{name: getattr(estimate, name) for name in _ESTIMATE},
        )
        for metric, estimate in found.items()
    ]


def _readings(column: Mapping[str, Any]) -> dict[str, tuple[Flags, Flags]]:
    """What each metric reads off the attempts, and off which of them: `statistics.SHARES` in columns."""
    every = np.ones(len(column["judged"]), dtype=np.bool_)
    shared = {"share_finished": (column["finished"], column["asked"]), "share_unjudged": (~column["judged"], every)}
    if column["refusal"].all():
        return {"share_refused": (column["correct"], column["judged"])} | shared
    boxed = {} if _are_instructions(column) else {"share_boxed": (column["boxed"], column["judged"])}
    return {
        "accuracy": (column["correct"], column["judged"]),
        "lenient_accuracy": (column["leniently_correct"], column["leniently_judged"]),
        **boxed,
    } | shared


def _are_instructions(column: Mapping[str, Any]) -> bool:
    return all(details is not None for details in column["instructions"])


def _instructions(column: Mapping[str, Any], item_of: NDArray[np.intp], cluster_of: Codes) -> dict[str, Estimate]:
    if not _are_instructions(column):
        return {}
    judged = column["judged"]
    attempts = list(zip(item_of[judged].tolist(), column["instructions"][judged].tolist(), strict=True))
    return instruction_estimates(attempts, dict(enumerate(map(str, cluster_of))))


def _check_complete(item_of: NDArray[np.intp], samples: NDArray[np.int32], num_items: int, card: BenchmarkCard) -> None:
    """Every item has as many samples as it must, each once; see `statistics.avg_at_k`."""
    keys = item_of.astype(np.int64) * (int(samples.max()) + 1) + samples
    twice = len(keys) - int(np.count_nonzero(np.bincount(keys)))
    if twice:
        raise ValueError(f"{twice} attempts stand twice; expected each once")
    if num_items != card.num_items or (np.bincount(item_of) != card.num_samples).any():
        raise ValueError(
            f"found {len(item_of)} attempts at {num_items} items, expected {card.num_items * card.num_samples} "
            f"({card.num_items} items x {card.num_samples} samples); ask the model again for what is missing before scoring"
        )


def _renumber(codes: Codes) -> tuple[NDArray[np.intp], int]:
    """Codes as numbers from 0 without gaps, in the same order, and how many there are: `np.unique` without a sort."""
    present = np.bincount(codes) > 0
    return (np.cumsum(present) - 1)[codes], int(present.sum())


def _units(clusters: Codes) -> tuple[NDArray[np.intp], int]:
    """The independent unit of each item and how many there are, by the rule of `statistics.independent_units`."""
    unit_of, distinct = _renumber(clusters)
    if distinct == len(clusters) or distinct < LEAST_CLUSTERS:
        return np.arange(len(clusters)), len(clusters)
    return unit_of, distinct


def _share(item_of: NDArray[np.intp], cluster_of: Codes, values: Flags, known: Flags, num_samples: int) -> Estimate:
    """The mean over items of the mean over their samples; formulas and sources stand in `statistics`."""
    counts = np.bincount(item_of, weights=known, minlength=len(cluster_of))
    judged = counts > 0
    if not judged.any():
        return NOTHING
    means = np.bincount(item_of, weights=values & known, minlength=len(cluster_of))[judged] / counts[judged]
    unit_of, num_units = _units(cluster_of[judged])
    value = float(means.mean())
    sums = np.bincount(unit_of, weights=means - value)
    error = float(np.sqrt(num_units / (num_units - 1) * np.sum(sums**2)) / len(means)) if num_units > 1 else None
    # Where all items agree, summing in another order must not leave a spread of 1e-17.
    error = 0.0 if error is not None and (means == means[0]).all() else error
    return share_estimate(value, error, num_items=len(means), num_units=num_units, num_samples=num_samples)


def _lengths(column: Mapping[str, Any], item_of: NDArray[np.intp], cluster_of: Codes) -> dict[str, Estimate]:
    asked = column["asked"]
    if not asked.any():
        return {"response_tokens": NOTHING, "response_tokens_median": NOTHING}
    present = np.unique(item_of[asked])
    unit_of = np.zeros(len(cluster_of), dtype=np.int64)
    unit_of[present] = _units(cluster_of[present])[0]
    return length_estimates(
        column["num_tokens"][asked],
        column["finished"][asked],
        cap=int(column["cap"][asked].max()),
        units=cast("Sequence[int]", unit_of[item_of[asked]]),
        num_items=len(present),
    )
