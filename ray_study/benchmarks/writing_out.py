"""A sweep file's named benchmarks, written out: one ordinary entry of `problems` each, and one of `evaluation.benchmarks`.

It happens before anything is checked, so whatever plans, asks, stores or compares sees only what anybody could have written.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from ray_study.benchmarks.definition import Definition, Protocol, ProtocolName

Raw = Mapping[str, Any]


def write_out(raw: object, known: Mapping[str, Definition], suites: Mapping[str, Collection[str]]) -> object:
    """The file's mapping with its named benchmarks written out; what is no such mapping comes back as it is.

    Raises:
        ValueError: a benchmark, suite or protocol is not known, or an entry has `problems` beside a name.
    """
    if not isinstance(raw, Mapping) or not isinstance(evaluation := raw.get("evaluation"), Mapping):
        return raw
    problems, entries = raw.get("problems") or {}, _entries(evaluation, suites)
    if not isinstance(problems, Mapping) or entries is None:
        return raw
    sets, benchmarks = dict(problems), dict(entries)
    for name, entry in entries.items():
        definition = _named(name, entry, known)
        if definition is not None:
            settings = _written(name, entry or {}, definition, evaluation.get("protocol", "standard"))
            _add(sets, settings["problems"], _problems(definition, settings), name)
            benchmarks[name] = settings
    return {**raw, "problems": sets, "evaluation": {**evaluation, "benchmarks": benchmarks}}


def _entries(evaluation: Raw, suites: Mapping[str, Collection[str]]) -> dict[str, Any] | None:
    """The suite's benchmarks, then the file's; None where they are no mapping, which is said elsewhere."""
    own, suite = evaluation.get("benchmarks") or {}, evaluation.get("suite")
    if not isinstance(own, Mapping) or not (suite is None or isinstance(suite, str)):
        return None
    if suite is not None and suite not in suites:
        raise ValueError(f"`evaluation.suite`: found {suite!r}; {nearest(suite, suites)}")
    return {**{name: {} for name in (suites[suite] if suite else ())}, **own}


def _named(name: str, entry: object, known: Mapping[str, Definition]) -> Definition | None:
    """The definition that an entry names, by `benchmark` or by its own name; None for one that is written out."""
    if entry is not None and not isinstance(entry, Mapping):
        return None
    said = (entry or {}).get("benchmark")
    if said is None:
        return None if "problems" in (entry or {}) else known.get(name)
    if said not in known:
        raise ValueError(f"`evaluation.benchmarks.{name}.benchmark`: found {said!r}; {nearest(str(said), known)}")
    return known[said]


def _written(name: str, entry: Raw, definition: Definition, usual: object) -> dict[str, Any]:
    """The complete settings of one benchmark; what the file says beside the name wins, of `sampling` key by key."""
    chosen = _protocol(name, entry, definition, usual)
    protocol = definition.protocols[chosen]
    settings: dict[str, Any] = {
        "group": definition.group,
        "num_samples": protocol.num_samples,
        "items": definition.items,
        "thinking": protocol.thinking,
        "reads": protocol.reads,
        "primary": entry.get("group", definition.group) == "in_domain",
        "metric": definition.metric,
        "note": protocol.note,
        **protocol.settings,
        **entry,
        "benchmark": definition.name,
        "protocol": chosen,
    }
    sampling = entry.get("sampling")
    if protocol.sampling and (sampling is None or isinstance(sampling, Mapping)):
        settings["sampling"] = {**protocol.sampling, **(sampling or {})}
    settings["problems"] = _set_name(definition, chosen, entry.get("options") or {})
    if entry.get("problems") not in (None, settings["problems"]):
        raise ValueError(
            f"`evaluation.benchmarks.{name}` has both `benchmark` and `problems`; take one out (a named benchmark brings its own problems, "
            "and `options` beside it say where to read them)"
        )
    return settings


def _protocol(name: str, entry: Raw, definition: Definition, usual: object) -> ProtocolName:
    said = entry.get("protocol")
    if said is None:
        # A benchmark that the paper does not have is asked by its own rules.
        return next((each for each in definition.protocols if each == usual), "standard")
    for each in definition.protocols:
        if each == said:
            return each
    raise ValueError(
        f"`evaluation.benchmarks.{name}.protocol`: found {said!r}, which {definition.name} does not have; "
        f"{nearest(str(said), definition.protocols)}"
    )


def _set_name(definition: Definition, protocol: ProtocolName, options: object) -> str:
    """What the problems are called: the same for two entries that ask the same of one benchmark."""
    beside = f".{hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:6]}" if options else ""
    return f"{definition.name}.{protocol}{beside}"


def _problems(definition: Definition, settings: Raw) -> dict[str, Any]:
    protocol: Protocol = definition.protocols[settings["protocol"]]
    beside = settings.get("options")
    return {
        "source": definition.source,
        "num_problems": definition.num_problems,
        "seed": definition.seed,
        "drop_unjudgeable": False,
        "options": {**definition.options, **protocol.options, **(beside if isinstance(beside, Mapping) else {})},
    }


def _add(sets: dict[str, Any], name: str, problems: dict[str, Any], benchmark: str) -> None:
    if sets.setdefault(name, problems) != problems:
        raise ValueError(f"`problems.{name}` has the name that the problems of benchmark {benchmark!r} get; call yours otherwise")


def nearest(name: str, valid: Collection[str]) -> str:
    """A phrase that names the valid names, the nearest one first where there is one."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? Valid are {sorted(valid)}" if close else f"valid are {sorted(valid)}"
