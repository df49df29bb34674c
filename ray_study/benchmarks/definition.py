"""What a named benchmark is: where its items come from, and the protocols by which it is asked and judged. Facts, and no work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ray_study.rows import Group, Reads

ProtocolName = Literal["paper", "standard"]
"""`paper`: what the code of the study's authors does. `standard`: the benchmark's own rules; only what follows the thinking counts."""

PAPER_SAMPLING: Mapping[str, float] = {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "max_tokens": 32768}
"""How the authors' own code samples (MATH-500, AIME, GPQA, LiveCodeBench): no top-k is set there."""

TEMPERATURE_ALONE: Mapping[str, float] = {"temperature": 0.6, "top_p": 1.0, "top_k": 0, "max_tokens": 32768}
"""How their tasks for other people's harnesses sample: they set the temperature and the cap, and the engine's defaults are the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a benchmark is asked and judged; each key stands for one of a sweep file's, and gives way to it."""

    asks: str
    """How the prompt looks, in words, for whoever compares two protocols."""
    num_samples: int = 1
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Empty: as the study asks all its benchmarks (`evaluation.sampling`)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source that make the prompts, or choose among the items."""
    reads: Reads = "answer"
    thinking: bool | None = None
    num_items: int | None = None
    """How many problems there are by this protocol, where it is another number than the definition's."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of a benchmark in a sweep file, such as who judges."""
    note: str = ""
    """What a reader of the scores must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One named benchmark."""

    name: str
    what: str
    """In one line."""
    source: str
    """A name of `problems.SOURCES`."""
    group: Group
    cluster: str
    """What items of one cluster share: they are not independent, and the intervals say so."""
    protocols: Mapping[ProtocolName, Protocol]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source, whatever the protocol."""
    num_problems: int | None = None
    """For sources that make problems: how many."""
    seed: int = 0
    num_items: int | None = None
    """How many problems the set has, where that is known without reading it."""
    items: int | None = None
    """How many of them are asked where the file does not say; empty takes all."""
    metric: str = "accuracy"
    suites: tuple[str, ...] = ()
    """The suites that it belongs to."""
    access: str = ""
    """How to get a gated set; empty where anybody may read it."""
