"""Named benchmarks: what each is, and by which protocols it is asked and judged. Words only; `problems/` loads, `verify/` judges.

A new one is a `Definition` in the module of its family. A new family is one module with `DEFINITIONS`, and one entry in `FAMILIES`.
"""

from __future__ import annotations

from ray_study.benchmarks import choice, following, general, judged, made, programs, reasoning
from ray_study.benchmarks.definition import Definition, Protocol, ProtocolName
from ray_study.benchmarks.protocols import differences_of, num_items_of
from ray_study.benchmarks.writing_out import nearest, write_out

__all__ = ["BENCHMARKS", "SUITES", "Definition", "Protocol", "ProtocolName", "differences", "num_items", "written_out"]

FAMILIES: dict[str, tuple[Definition, ...]] = {
    "reasoning": reasoning.DEFINITIONS,
    "choice": choice.DEFINITIONS,
    "programs": programs.DEFINITIONS,
    "general": general.DEFINITIONS,
    "following": following.DEFINITIONS,
    "judged": judged.DEFINITIONS,
    "made": made.DEFINITIONS,
}

BENCHMARKS: dict[str, Definition] = {definition.name: definition for family in FAMILIES.values() for definition in family}

SUITES: dict[str, tuple[str, ...]] = {
    suite: tuple(name for name, definition in BENCHMARKS.items() if suite in definition.suites) for suite in ("paper", "offline")
}
"""`paper`: what the study scores. `offline`: what can be loaded without an account, from wheels that are pinned or made on demand."""


def differences(name: str) -> list[str]:
    """What the two protocols of a named benchmark do differently, as sentences; none where it has one.

    Raises:
        ValueError: there is no such benchmark.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"no named benchmark {name!r}; {nearest(name, BENCHMARKS)}")
    return differences_of(BENCHMARKS[name])


def num_items(name: str, protocol: ProtocolName) -> int | None:
    """How many problems a named benchmark has by a protocol, or None where only its source knows."""
    return num_items_of(BENCHMARKS[name], protocol)


def written_out(raw: object) -> object:
    """What a sweep file says, with each named benchmark as an ordinary entry of `problems` and one of `evaluation.benchmarks`.

    Raises:
        ValueError: a benchmark, suite or protocol is not known (the nearest is named), or an entry has `problems` beside its name.
    """
    return write_out(raw, BENCHMARKS, SUITES)
