"""General abilities: telling hallucinated text from text that its source supports."""

from __future__ import annotations

from ray_study.benchmarks.definition import TEMPERATURE_ALONE, Definition, Protocol

ITEMS = 1000
"""Of each part's 10,000: scoring costs as much as training."""

_CHOSEN = "which of the two texts of a row is shown follows from a SHA-256; the published samples chose at random"
_PAPER = Protocol(
    asks="an instruction without examples, the knowledge or document, the text, and `#Your Judgement#:`",
    sampling=TEMPERATURE_ALONE,
    options={"knowledge": True},
    reads="stripped",
    note=f"instruction in our own words; {_CHOSEN}; the study's figure is the mean over the three parts by their sizes",
)
_STANDARD = Protocol(
    asks="an instruction without examples, the text without the knowledge behind it (a summary with its document), and `#Your Judgement#:`",
    options={"knowledge": False},
    note=f"instruction in our own words, without the benchmark's worked examples; {_CHOSEN}",
)


def _part(name: str, what: str, cluster: str) -> Definition:
    return Definition(
        name=f"halueval_{name}",
        what=what,
        source="halueval",
        options={"part": name},
        group="general",
        cluster=cluster,
        num_items=10000,
        items=ITEMS,
        suites=("paper", "offline"),
        protocols={"paper": _PAPER, "standard": _STANDARD},
    )


DEFINITIONS = (
    _part("qa", "is this answer hallucinated?", "the passage behind the question"),
    _part("dialogue", "is this turn of a conversation hallucinated?", "the knowledge behind the conversation"),
    _part("summarization", "does this summary hold what its document does not?", "the document"),
)
