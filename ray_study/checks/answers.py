"""What the stored answers tell: as many samples as were asked for, and a base model that stops."""

from __future__ import annotations

from collections import Counter

from ray_study import tables
from ray_study.checks.finding import Finding, Subject, failed, passed, unknown
from ray_study.owed import stored_answers
from ray_study.rows import Attempt

NOTHING_STORED = "no answers are stored yet"


def samples_received(subject: Subject) -> Finding:
    """Whether each stored answer set has every item as often as it was asked for: a share divides by what came back."""
    faults, num_attempts = [], 0
    for mark, name, row in stored_answers(subject.study, subject.store):
        asked = subject.study.evaluation.benchmarks[name].num_samples
        counts = Counter(item for (item,) in tables.columns(subject.store.path(f"answers-{mark}/rows"), Attempt, ["problem_id"]))
        num_attempts += counts.total()
        odd = [item for item, count in counts.items() if count != asked]
        expected = len(subject.exams[name]) if name in subject.exams else len(counts)
        if odd or len(counts) != expected:
            example = f", {odd[0]!r} {counts[odd[0]]} times" if odd else ""
            where = f"{name} at step {row.step} of {row.run.name}"
            faults.append(f"{where}: {len(counts)} of {expected} items, asked {asked} times each{example}; delete answers-{mark}")
    if not num_attempts and not faults:
        return unknown(NOTHING_STORED)
    return failed(faults) if faults else passed(f"{num_attempts} stored attempts are as many as were asked for, item by item")


def base_model_stops(subject: Subject) -> Finding:
    """Whether a base model ends its answers by itself: one that never does was given no stop token that it knows, and rambles."""
    ended: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for mark, _, row in stored_answers(subject.study, subject.store):
        if row.step > 0:
            continue
        model = row.run.model
        for (reason,) in tables.columns(subject.store.path(f"answers-{mark}/rows"), Attempt, ["finish_reason"]):
            asked[model] += reason != "refused"
            ended[model] += reason == "stop"
    if not asked:
        return unknown(NOTHING_STORED)
    said = [f"{model}: {ended[model]} of {number} answers at step 0 ended at a stop token" for model, number in asked.items()]
    return failed(said) if any(not ended[model] for model in asked) else passed("; ".join(said))
