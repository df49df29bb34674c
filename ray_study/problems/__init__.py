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
from ray_study.problems.local import local_file, local_sources
from ray_study.problems.overlap import Benchmarks, decontaminate, overlaps
from ray_study.problems.published import write_published
from ray_study.problems.ready_made import read_examples
from ray_study.problems.recorded import RecordedRow, read_recorded
from ray_study.problems.source import Loaded, Source, SourceSpec, read_options
from ray_study.problems.sources import SOURCES
from ray_study.rows import Problem

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
