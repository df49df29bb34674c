"""What the paper says of its curves, beside ours: each claim judged on every run, or pair of runs, that is about the same thing.

A claim is held against our dips and paired differences. On another model or on other data it is the same claim, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ray_study.analyze.agreement import Agreement, Verdict, refused
from ray_study.analyze.comparisons import Difference, compare
from ray_study.analyze.dips import LEVEL, PLAUSIBLE_DEPTH, Dip
from ray_study.analyze.findings import Change
from ray_study.analyze.pairing import pair_runs
from ray_study.analyze.paper_match import Declared, match_training
from ray_study.analyze.published import DATA, read_rows
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import find_attempts, study_trajectories
from ray_study.rows import Run

SURE = 0.95
"""The share of halves that must find the bottom elsewhere before a claim on where it is counts as contradicted."""
UNCLEAR = "no clear difference either way"
COT, NOCOT = "jasonrqh/Math-CoT-20k", "jasonrqh/Math-NoCoT-20k"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that the paper says, and what it says it of."""

    kind: str
    """A name of `JUDGES`."""
    says: str
    models: str
    """Of which the paper shows it, joined by semicolons."""
    dataset: str
    other_dataset: str
    """What `dataset` is higher than; empty where a run is held against its own base model."""
    benchmark: str
    step: int | None
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedClaim:
    """A claim beside what one of our runs shows."""

    says: str
    table: str
    label: str
    benchmark: str
    """Ours; empty where no run is about it."""
    scope: str
    """Empty where model, data and recipe are the paper's; otherwise that it is the same claim of something else."""
    verdict: Verdict
    why: str


@cache
def claims() -> tuple[Claim, ...]:
    """The claims in the order of the file."""
    return tuple(read_rows(DATA / "published_claims.csv", Claim))


def judge_claims(study: StudyTables, found: Sequence[Change]) -> list[JudgedClaim]:
    """Every claim beside every run, or pair of runs, that is about it; a claim that none is about is there once, and says so."""
    rows: list[JudgedClaim] = []
    for claim in claims():
        judged = list(_higher(study, claim) if claim.kind == "higher" else _single(study, claim, found))
        nobody = f"no run of ours learns from such data and sits {claim.benchmark}"
        rows += judged or [
            JudgedClaim(says=claim.says, table=claim.table, label="", benchmark="", scope="", verdict="not comparable", why=nobody)
        ]
    return rows


def role(declared: Declared, dataset: str) -> str:
    """The paper's data set that one of ours is, by its name on the Hub, or stands for, as one of a pair that only thinking tells apart."""
    known = declared.get("datasets", {})
    literal = known.get(dataset)
    if literal is None:
        return ""
    if literal.get("read") == "hub":
        return str(literal.get("name"))
    twins = [dict(each) | {"transform": ""} for name, each in known.items() if name != dataset]
    if dict(literal) | {"transform": ""} not in twins:
        return ""
    transforms = {"none": COT, "drop_thinking": NOCOT}
    return transforms.get(str(literal.get("transform")), "")


def _scope(study: StudyTables, claim: Claim, runs: Sequence[Run]) -> str:
    declared: Declared = dict(study.facts.get("declared") or {})
    models = {str(declared.get("models", {}).get(run.model, {}).get("hub") or "") for run in runs}
    other = ["model"] if not models <= set(claim.models.split("; ")) else []
    if any(declared["datasets"][run.dataset].get("read") != "hub" for run in runs):
        other.append("data")
    elif not other and any(match_training(declared, study.facts, run, claim.models.split("; ")[0]).reasons for run in runs):
        other.append("recipe")
    return f"same claim, other {' and '.join(other)}" if other else ""


def _names(study: StudyTables, benchmark: str) -> list[str]:
    """What we call the exams that are a named benchmark."""
    declared = dict(study.facts.get("declared") or {}).get("benchmarks", {})
    return [name for name, settings in declared.items() if settings.get("benchmark") == benchmark]


def _runs(study: StudyTables, dataset: str) -> list[Run]:
    declared = dict(study.facts.get("declared") or {})
    return [run for run in study.runs if run.stage == "sft" and run.status != "failed" and role(declared, run.dataset) == dataset]


def _single(study: StudyTables, claim: Claim, found: Sequence[Change]) -> Iterator[JudgedClaim]:
    """A claim on one run and its own base model."""
    runs = {run.id: run for run in _runs(study, claim.dataset)}
    names = _names(study, claim.benchmark)
    for change in found:
        if change.run in runs and change.benchmark in names:
            said = JUDGES[claim.kind](claim, change, study)
            yield _row(claim, change.label, change.benchmark, (_scope(study, claim, [runs[change.run]]), said))


def _higher(study: StudyTables, claim: Claim) -> Iterator[JudgedClaim]:
    """A claim that one data set ends higher than another: paired on the items, at the last step that both runs have."""
    pairs, _ = pair_runs(_runs(study, claim.other_dataset), _runs(study, claim.dataset))
    attempts = find_attempts(study)
    for pair in pairs:
        for name in _names(study, claim.benchmark):
            steps = [{each.step for each in study.checkpoints if each.run == run.id} for run in (pair.a, pair.b)]
            last = max(steps[0] & steps[1], default=0)
            lower, higher = (attempts(run.id, last, name) for run in (pair.a, pair.b))
            if last and lower and higher:
                said = _direction(compare(lower, higher), 1)
                label = f"{pair.b.dataset} and {pair.a.dataset}" + (f", {pair.label}" if pair.label else "")
                yield _row(claim, label, name, (_scope(study, claim, [pair.a, pair.b]), said))


def _row(claim: Claim, label: str, benchmark: str, what: tuple[str, Agreement]) -> JudgedClaim:
    scope, said = what
    return JudgedClaim(
        says=claim.says, table=claim.table, label=label, benchmark=benchmark, scope=scope, verdict=said.verdict, why=said.why
    )


def _direction(found: Difference | None, sign: int) -> Agreement:
    """Whether a difference is clear and on the side that was claimed."""
    if found is None or found.estimate.value is None or found.p_value is None:
        return refused("no attempts on both sides")
    value = sign * found.estimate.value
    low, high = found.estimate.low, found.estimate.high
    interval = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    shown = f"{100 * found.estimate.value:+.1f} points{interval}"
    if found.p_value >= LEVEL:
        return refused(f"{UNCLEAR}: {shown}")
    return Agreement(verdict="agrees" if value > 0 else "differs", why=shown)


def _bottom_at(claim: Claim, change: Change, study: StudyTables) -> Agreement:
    del study
    dip = change.dip
    if dip is None or dip.p_value >= LEVEL:
        return _no_fall(dip)
    where = f"{100 * dip.bottom_share:.0f} % of the halves find the bottom at step {dip.bottom_step}"
    if dip.bottom_step == claim.step:
        return Agreement(verdict="agrees", why=where)
    return Agreement(verdict="differs", why=where) if dip.bottom_share >= SURE else refused(f"not sure where the bottom is: {where}")


def _recovers(claim: Claim, change: Change, study: StudyTables) -> Agreement:
    del claim, study
    dip = change.dip
    if dip is None or dip.p_value >= LEVEL:
        return _no_fall(dip)
    shape = f"its shape is: {dip.shape.replace('_', ' ')}"
    if dip.shape == "dip_and_recovery":
        return Agreement(verdict="agrees", why=shape)
    # A fall of which no rise is clear may yet have one.
    lower = (dip.change.estimate.value or 0.0) < 0 and dip.change.p_value is not None and dip.change.p_value < LEVEL
    return Agreement(verdict="differs", why=shape) if lower else refused(f"no recovery is shown, and none is ruled out; {shape}")


def _no_fall(dip: Dip | None) -> Agreement:
    """Where no fall below the base model is clear: that there is none counts only where one of the usual depth would have been seen."""
    if dip is None:
        return refused("nothing to look for a dip in: that needs step 0, a later step, their attempts and some items")
    if dip.detectable > PLAUSIBLE_DEPTH:
        return refused(f"no fall below the base model is clear, and one of {100 * PLAUSIBLE_DEPTH:.0f} points could have been missed")
    return Agreement(verdict="differs", why="no fall below the base model is clear")


def _above_base(claim: Claim, change: Change, study: StudyTables) -> Agreement:
    del claim, study
    return _direction(change.difference, 1)


def _below_base(claim: Claim, change: Change, study: StudyTables) -> Agreement:
    del claim, study
    return _direction(change.difference, -1)


def _longest_between(claim: Claim, change: Change, study: StudyTables) -> Agreement:
    """Whether responses are longest between the first and the last step, by intervals that do not touch either end's."""
    del claim
    lengths = {
        point.step: point.score
        for each in study_trajectories(study, metrics=["response_tokens"])
        if (each.run.id, each.benchmark) == (change.run, change.benchmark)
        for point in each.points
        if point.score is not None and point.value is not None
    }
    if len(lengths) < 3 or 0 not in lengths:
        return refused("fewer than three steps have a length")
    peak = max(lengths, key=lambda step: lengths[step].value or 0.0)
    ends = (lengths[0], lengths[max(lengths)])
    shown = f"longest at step {peak}, {lengths[peak].value:,.0f} tokens; {ends[0].value:,.0f} at step 0, {ends[1].value:,.0f} at the last"
    if peak in (0, max(lengths)):
        return Agreement(verdict="differs", why=shown)
    apart = all((lengths[peak].low or 0.0) > (end.high if end.high is not None else float("inf")) for end in ends)
    return Agreement(verdict="agrees", why=shown) if apart else refused(f"the intervals touch: {shown}")


JUDGES: Mapping[str, Callable[[Claim, Change, StudyTables], Agreement]] = {
    "bottom_at": _bottom_at,
    "recovers": _recovers,
    "above_base": _above_base,
    "below_base": _below_base,
    "longest_between": _longest_between,
}
"""How each kind of claim on one run is judged; `higher` takes a pair."""


def as_facts(rows: Sequence[JudgedClaim]) -> list[dict[str, Any]]:
    """The judged claims as plain values: those that something of ours is about."""
    return [{name: getattr(row, name) for name in JudgedClaim.__dataclass_fields__} for row in rows if row.benchmark]
