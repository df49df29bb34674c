"""How often attempts backtrack, verify and set subgoals, and how often they only repeat themselves: counts from an open lexicon.

Descriptive. A phrase is a sign of a procedure and not the procedure: who writes "let me check" may not check. So every count comes with
the phrases that were found, and the lexicon is short enough to be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_study.analyze.statistics import Estimate, score, values_by_item
from ray_study.rows import GradedAttempt

LEXICON: Mapping[str, tuple[str, ...]] = {
    "backtracking": (
        r"wait,",
        r"let me (?:try|start) (?:again|over)",
        r"(?:that|this) (?:is not|isn't|can't be|cannot be) right",
        r"i made a mistake",
        r"(?:try|use) (?:another|a different) (?:approach|way|method)",
        r"go(?:ing)? back to",
        r"on second thought",
    ),
    "verification": (
        r"let me (?:double[- ]?)?check",
        r"let(?:'s| us) (?:double[- ]?)?(?:check|verify)",
        r"let me verify",
        r"to (?:verify|confirm)",
        r"plug(?:ging)? (?:it|this|that|them|these) (?:back )?in",
        r"(?:that|this) checks out",
    ),
    "subgoals": (
        r"^\s*step \d+",
        r"first, (?:i|we|let)",
        r"next, (?:i|we|let)",
        r"(?:i|we) (?:need|have) to (?:first )?(?:find|compute|determine|show)",
        r"(?:it )?remains to",
        r"break (?:it|this|the problem) (?:down )?into",
    ),
}
"""Name -> patterns, matched without regard to case; `^` is the start of a line."""

RUN = 8
"""Words in a run: one that comes a second time is a repetition."""
REPEATS = 0.3
"""From this share of repeated runs on an attempt counts as one that repeats itself."""
SHOWN = 5

_PATTERNS = {
    name: re.compile("|".join(f"(?:{each})" for each in patterns), re.IGNORECASE | re.MULTILINE) for name, patterns in LEXICON.items()
}


def hits(text: str) -> dict[str, list[str]]:
    """What of each procedure's phrases stands in a text, in lower case and in order."""
    # Curly apostrophes are the same word.
    plain = text.replace("’", "'")
    return {name: [found.group().strip().lower() for found in pattern.finditer(plain)] for name, pattern in _PATTERNS.items()}


def share_repeated(text: str) -> float:
    """The share of a text's runs of eight words that stood in it before; 0 where it has none."""
    words = text.lower().split()
    runs = [tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One procedure at one step; `repetition` stands beside those of the lexicon."""

    step: int
    procedure: str
    share: Estimate
    """Of attempts that show it at least once, with its interval over items."""
    per_thousand_words: float | None
    """Hits, since long answers have more of everything; None for `repetition`, and where nothing was written."""
    examples: tuple[tuple[str, int], ...]
    """The phrases found most often, with how often."""


def procedures_by_step(by_step: Mapping[int, Sequence[GradedAttempt]]) -> list[Procedure]:
    """How often each procedure shows at each step; attempts that were never asked are left out."""
    found: list[Procedure] = []
    for step in sorted(by_step):
        asked = [attempt for attempt in by_step[step] if attempt.finish_reason != "refused"]
        if asked:
            found += _at(step, asked)
    return found


def _at(step: int, asked: Sequence[GradedAttempt]) -> list[Procedure]:
    found = {(each.problem_id, each.sample): hits(each.text) for each in asked}
    num_words = sum(len(each.text.split()) for each in asked)
    rows = []
    for name in LEXICON:
        counts = Counter(phrase for each in found.values() for phrase in each[name])
        shares = {key: bool(each[name]) for key, each in found.items()}
        rate = 1000 * counts.total() / num_words if num_words else None
        rows.append(
            Procedure(
                step=step,
                procedure=name,
                share=_share(asked, shares),
                per_thousand_words=rate,
                examples=tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]),
            )
        )
    repeats = {(each.problem_id, each.sample): share_repeated(each.text) >= REPEATS for each in asked}
    return [*rows, Procedure(step=step, procedure="repetition", share=_share(asked, repeats), per_thousand_words=None, examples=())]


def _share(asked: Sequence[GradedAttempt], shows: Mapping[tuple[str, int], bool]) -> Estimate:
    values = values_by_item(asked, lambda each: float(shows[each.problem_id, each.sample]))
    cluster_of = {each.problem_id: each.cluster for each in asked}
    means = {item: sum(value or 0.0 for value in samples) / len(samples) for item, samples in values.items()}
    return score(list(means.values()), [cluster_of[item] for item in means], num_samples=max(len(samples) for samples in values.values()))
