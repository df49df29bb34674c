"""What two protocols of one benchmark do differently, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray_study.benchmarks.definition import Definition, Protocol, ProtocolName
from ray_study.rows import Reads

HOW_IT_READS: dict[Reads, str] = {
    "answer": "only what follows the thinking",
    "stripped": "what follows the thinking, and the thinking itself where it was never closed",
    "whole_text": "the whole text, thinking included, by its last answer",
    "first_in_text": "the whole text, thinking included, by the first answer in it",
    "first_before_stop": "the text up to its first `Q:`, thinking included, by the first answer in it",
}
JUDGES_THINKING = "judges the thinking too"


def label(benchmark: str, protocol: ProtocolName | None, reads: Reads) -> str:
    """What a card says of how a benchmark was judged; empty where it is no named one and nothing but the answer is read."""
    parts = [f"{benchmark} by protocol {protocol}"] if protocol is not None else []
    return ": ".join([*parts, *([] if reads == "answer" else [f"{JUDGES_THINKING} (reads {reads})"])])


def num_items_of(definition: Definition, protocol: ProtocolName) -> int | None:
    """How many problems the benchmark has by a protocol."""
    return definition.protocols[protocol].num_items or definition.num_items


def differences_of(definition: Definition) -> list[str]:
    """What `paper` and `standard` do differently, as sentences that name the benchmark; none where it has one protocol."""
    paper, standard = definition.protocols.get("paper"), definition.protocols.get("standard")
    if paper is None or standard is None:
        return []
    return [f"{definition.name}: {sentence}" for sentence in _differences(definition, paper, standard)]


def _differences(definition: Definition, paper: Protocol, standard: Protocol) -> Iterator[str]:
    items = [num_items_of(definition, name) or "all" for name in definition.protocols]
    if items[0] != items[-1]:
        yield f"paper has {num_items_of(definition, 'paper') or 'all'} problems, standard {num_items_of(definition, 'standard') or 'all'}"
    for verb, said in _SAID.items():
        ours, theirs = said(paper), said(standard)
        if ours != theirs:
            yield f"paper {verb} {ours}; standard {verb} {theirs}"
    for key in sorted({*paper.settings, *standard.settings}):
        if paper.settings.get(key) != standard.settings.get(key):
            ours, theirs = (_setting(each.settings.get(key), definition, key) for each in (paper, standard))
            yield f"paper has {_SETTINGS.get(key, key)} {ours}; standard {theirs}"
    if paper.note and paper.note == standard.note:
        yield f"note: {paper.note}"
        return
    yield from (f"note on {name}: {each.note}" for name, each in (("paper", paper), ("standard", standard)) if each.note)


_SETTINGS = {"judge": "the judges", "metric": "the primary metric"}
"""What further settings are called for people."""


def _setting(value: object, definition: Definition, key: str) -> str:
    if value is None:
        return definition.metric if key == "metric" and definition.metric else "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _sampling(sampling: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in sampling.items()) or "what the study says in `evaluation.sampling`"


def _switch(thinking: bool | None) -> str:
    return "as it is" if thinking is None else ("on" if thinking else "off")


_SAID: dict[str, Callable[[Protocol], str]] = {
    "asks:": lambda each: each.asks,
    "takes": lambda each: f"{each.num_samples} answer{'' if each.num_samples == 1 else 's'} to a problem",
    "samples with": lambda each: _sampling(each.sampling),
    "judges": lambda each: HOW_IT_READS[each.reads],
    "leaves the template's thinking": lambda each: _switch(each.thinking),
}
"""What a protocol says, by the verb that it is told with."""
