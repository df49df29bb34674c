"""Checks before spending: `ray-study check`, and the first act of `run`. One function a check, one dict that names them.

A check is a function from a `Subject` to a `Finding`: a state and a sentence. One that failed and `stops` is of the kind that would
spend for nothing; the others are told, and the study goes on. This package is light, so that the verb takes seconds; what looks at a
study at work is `at_work`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ray_study.checks.answers import base_model_stops, samples_received
from ray_study.checks.finding import Finding, Subject
from ray_study.checks.items import contamination, duplicate_items, gold_letters, item_order
from ray_study.checks.outside import judge_reachable, protocol_differences, sandbox_there
from ray_study.checks.prompts import chat_template_and_end, items_over_context, prompts_equal, stop_tokens
from ray_study.checks.subjects import as_it_is

__all__ = ["CHECKS", "Finding", "Subject", "as_it_is", "line", "look", "summary"]

Check = Callable[[Subject], Finding]

CHECKS: dict[str, Check] = {
    "gold_letters": gold_letters,
    "item_order": item_order,
    "duplicate_items": duplicate_items,
    "contamination": contamination,
    "prompts_equal": prompts_equal,
    "items_over_context": items_over_context,
    "chat_template_and_end": chat_template_and_end,
    "stop_tokens": stop_tokens,
    "base_model_stops": base_model_stops,
    "samples_received": samples_received,
    "protocol_differences": protocol_differences,
    "judge_reachable": judge_reachable,
    "sandbox_there": sandbox_there,
}


def look(subject: Subject, checks: Mapping[str, Check] = CHECKS) -> list[Finding]:
    """What each check found, in their order."""
    return [replace(check(subject), check=name) for name, check in checks.items()]


def line(finding: Finding) -> str:
    """A finding as a line for people."""
    return f"check {finding.check}: {finding.state}: {finding.sentence}"


def summary(findings: Sequence[Finding]) -> str:
    """How many checks there are of each state."""
    counts = Counter(finding.state for finding in findings)
    return "checks: " + ", ".join(f"{count} {state}" for state, count in counts.most_common())
