"""What judging a kind of answer needs of the machine, and whether it is there: asked before any model is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ray_study.rows import Kind
from ray_study.verify.checkers import checkers_fault
from ray_study.verify.sandbox import sandbox_fault

NEEDS: dict[Kind, Callable[[], str]] = {"code": sandbox_fault, "instructions": checkers_fault}
"""Kinds that need more than this package installs by itself; each tells what is missing, or nothing."""


def missing(kinds: Iterable[Kind]) -> dict[Kind, str]:
    """What is missing here for judging these kinds, with the mend, by kind; empty where all can be judged."""
    faults = {kind: NEEDS[kind]() for kind in sorted(set(kinds)) if kind in NEEDS}
    return {kind: fault for kind, fault in faults.items() if fault}


def require(kinds: Iterable[Kind]) -> None:
    """Returns where answers of these kinds can be judged here.

    Raises:
        ValueError: some cannot; what is missing is named.
    """
    if faults := missing(kinds):
        named = "; ".join(f"kind {kind!r}: {fault}" for kind, fault in faults.items())
        raise ValueError(f"answers could be asked for and not judged: {named}")
