"""The answer of a study in three sentences made from its numbers, and what a reader must know before believing them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ray_study.analyze.asymmetry import PathPoint
from ray_study.analyze.comparisons import item_means, paired_difference
from ray_study.analyze.dips import LEVEL, PLAUSIBLE_DEPTH, POWER_80
from ray_study.analyze.findings import ByStep, Change
from ray_study.analyze.intervals import t_interval
from ray_study.analyze.judged import MEANS
from ray_study.analyze.lengths import Z_95
from ray_study.analyze.sides import HARM
from ray_study.analyze.statistics import NOTHING, Estimate
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.trajectories import benchmark_cards
from ray_study.rows import Score

Attempts = Mapping[tuple[str, str], ByStep]
"""(run id, benchmark) -> step -> attempts."""


def answer(study: StudyTables, found: Sequence[Change], attempts: Attempts, paths: Mapping[str, Sequence[PathPoint]]) -> list[str]:
    """The answer in three sentences: in domain, elsewhere, and in safety; one sentence where nothing was scored yet.

    A change is claimed only where the paired difference is clear after Holm's adjustment for all runs and benchmarks of the study.

    Args:
        study: the study.
        found: its changes.
        attempts: those that the changes are made of.
        paths: arm -> its path of reasoning gained and safety lost.
    """
    if not any(_has_score(change) for change in found):
        failed = sum(run.status == "failed" for run in study.runs)
        return [f"There is no answer yet: none of the {len(study.runs)} runs has a score ({failed} failed)."]
    in_domain = [change for change in found if change.group == "in_domain"]
    beyond = [change for change in found if change.group in ("out_of_domain", "general")]
    safety = [change for change in found if change.group == "safety"]
    return [
        _sentence("In domain", in_domain, attempts) or f"In domain nothing is known: {_why(study, ('in_domain',))}.",
        _sentence("Out of domain and in general", beyond, attempts)
        or f"Out of domain and in general nothing is known: {_why(study, ('out_of_domain', 'general'))}.",
        f"{_changes('In safety', safety, attempts)}{_cost(paths)}."
        if safety
        else f"What it cost in safety is not known: {_why(study, ('safety',))}.",
    ]


def _why(study: StudyTables, groups: Sequence[str]) -> str:
    """Why nothing is known of some groups: no benchmark, or none that was scored."""
    owed = [card.benchmark for card in benchmark_cards(study) if card.group in groups]
    return f"{', '.join(owed)} has no score yet" if owed else "the study has no such benchmark"


def _has_score(change: Change) -> bool:
    return any(score is not None and score.value is not None for score in (change.first, change.last))


def _sentence(where: str, found: Sequence[Change], attempts: Attempts) -> str:
    return f"{_changes(where, found, attempts)}{_dips(found)}." if found else ""


def _changes(where: str, found: Sequence[Change], attempts: Attempts) -> str:
    """How many runs rose, fell or did not clearly change, and by how much on average."""
    names = ", ".join(dict.fromkeys(change.benchmark for change in found))
    begin = f"{where} ({names}),"
    tested = [change for change in found if change.difference is not None and change.difference_p_value is not None]
    if not tested:
        return f"{begin} no last step could be compared with a first one on the same items"
    clear = [change for change in tested if (change.difference_p_value or 0.0) < LEVEL]
    rose = sum(_value(change) > 0 for change in clear)
    unclear = [change for change in tested if change not in clear]
    blind = sum(_smallest_change(change) > PLAUSIBLE_DEPTH for change in unclear)
    text = f"{begin} {_of(len(tested))}, {rose} rose, {len(clear) - rose} fell and {len(unclear)} did not clearly change"
    if blind:
        text += f" ({blind} of these could have missed a change of ten points)"
    # Benchmarks of safety count in two directions: their average is that of the path.
    average = NOTHING if tested[0].group == "safety" else average_change(tested, attempts)
    if average.value is not None and average.low is not None and average.high is not None:
        text += f", on average {100 * average.value:+.1f} points [{100 * average.low:.1f}, {100 * average.high:.1f}]"
    return text


def _of(number: int) -> str:
    return "the one comparison of a last step with its first:" if number == 1 else f"of {number} comparisons of a last step with its first"


def _value(change: Change) -> float:
    return (change.difference.estimate.value if change.difference is not None else None) or 0.0


def _smallest_change(change: Change) -> float:
    """The smallest change that is found clear in 80 % of cases, (1.96 + 0.84) SE (Miller 2024, section 5), before adjustment."""
    error = change.difference.estimate.standard_error if change.difference is not None else None
    return math.inf if error is None else (Z_95 + POWER_80) * error


def average_change(found: Sequence[Change], attempts: Attempts) -> Estimate:
    """The mean of last less first over benchmarks that are shares, of each the mean over its runs, with a 95 % interval over items.

    Runs of one benchmark sit the same items, so an item's differences are averaged first; items of different benchmarks are
    independent, so variances of their means add up. It is about these runs: how other seeds would differ is not in it.
    """
    estimates = []
    for benchmark in dict.fromkeys(change.benchmark for change in found if change.metric not in MEANS):
        pairs = [
            (attempts[change.run, benchmark][change.first_step], attempts[change.run, benchmark][change.last_step])
            for change in found
            if change.benchmark == benchmark and change.last_step is not None
        ]
        before, after = ([item_means(pair[side]) for pair in pairs] for side in (0, 1))
        items = set.intersection(*(set(each) for each in [*before, *after])) if pairs else set()
        if items:
            cluster_of = {attempt.problem_id: attempt.cluster for attempt in pairs[0][0]}
            first, last = ({item: math.fsum(each[item] for each in side) / len(side) for item in items} for side in (before, after))
            estimates.append(paired_difference(first, last, cluster_of).estimate)
    known = [each for each in estimates if each.value is not None and each.standard_error is not None]
    if not known or len(known) < len(estimates):
        return NOTHING
    value = math.fsum(each.value or 0.0 for each in known) / len(known)
    error = math.sqrt(math.fsum((each.standard_error or 0.0) ** 2 for each in known)) / len(known)
    low, high = t_interval(value, error, min(each.num_items for each in known))
    return Estimate(value=value, standard_error=error, low=low, high=high, num_items=sum(each.num_items for each in known))


def _dips(found: Sequence[Change]) -> str:
    """What became of the dip that was looked for."""
    looked = [change for change in found if change.dip is not None]
    if not looked:
        return "; no trajectory could be looked at for a dip"
    dips = [change for change in looked if change.dip is not None and change.dip.shape in ("dip_and_recovery", "dip_only")]
    blind = sum(change.dip is not None and change.dip.shape == "underpowered" for change in looked)
    unseen = f"; in {blind} a dip of ten points could have been missed" if blind else ""
    if not dips:
        return f"; no clear dip below step 0 in {len(looked)} trajector{'y' if len(looked) == 1 else 'ies'}{unseen}"
    sure = sum(change.dip_p_value is not None and change.dip_p_value < LEVEL for change in dips)
    recovered = sum(change.dip is not None and change.dip.shape == "dip_and_recovery" for change in dips)
    deepest = max(dips, key=lambda change: (change.dip.depth.value if change.dip else None) or 0.0)
    assert deepest.dip is not None
    depth = deepest.dip.depth
    interval = "" if depth.low is None or depth.high is None else f" [{100 * depth.low:.1f}, {100 * depth.high:.1f}]"
    return (
        f"; {len(dips)} of {len(looked)} trajectories dip below step 0 ({sure} after adjustment for all), {recovered} of them with half "
        f"or more regained; the deepest is {deepest.benchmark} with {deepest.label}, {100 * (depth.value or 0.0):.1f} points{interval} "
        f"at step {deepest.dip.bottom_step:,}{unseen}"
    )


def _cost(paths: Mapping[str, Sequence[PathPoint]]) -> str:
    """Safety lost against reasoning gained at the last step, arm by arm."""
    ends = {label: path[-1] for label, path in paths.items() if path}
    if not ends:
        return "; it could not be set against reasoning gained"
    more = sum((end.loss_less_gain.low or 0.0) > 0 for end in ends.values())
    less = sum((end.loss_less_gain.high or 0.0) < 0 for end in ends.values())
    losses, gains = ([getattr(end, name).value or 0.0 for end in ends.values()] for name in ("safety_loss", "reasoning_gain"))
    over = [end.over_refusal for end in ends.values() if end.over_refusal is not None]
    refused = sum((each.low or 0.0) > 0 for each in over)
    return (
        f"; safety lost is {_span(losses)} points where reasoning gained is {_span(gains)}: clearly more is lost than gained in {more} of "
        f"{len(ends)}, clearly less in {less} (each at 5 %, not adjusted)"
        + (f"; more harmless requests are clearly refused in {refused} of {len(over)}" if over else "")
    )


def _span(values: Sequence[float]) -> str:
    low, high = (f"{100 * each:+.1f}" for each in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def warnings(study: StudyTables, found: Sequence[Change]) -> list[str]:
    """What a reader must know before believing the answer."""
    failed = sum(run.status == "failed" for run in study.runs)
    missing = sum(change.num_missing for change in found)
    mixed = sum(change.mixed_conditions for change in found)
    sentences = []
    if failed:
        sentences.append(f"{failed} of {len(study.runs)} runs failed and are in no curve.")
    if missing:
        sentences.append(f"{missing} {'point is' if missing == 1 else 'points are'} missing: drawn as gaps, counted nowhere as zero.")
    if mixed:
        sentences.append(f"{mixed} trajectories mix measuring conditions, which alone can move scores by points.")
    if any(change.group == "safety" and change.metric == HARM for change in found):
        sentences.append("Where a policy judge measures safety the score is the share of harm: there a rise is a loss.")
    seeds = {run.seed for run in study.runs if run.stage == "sft"}
    if len(seeds) < 2:
        sentences.append("Every run has the same seed, so the intervals say nothing of how much another seed would differ.")
    else:
        sentences.append(
            f"Intervals are over items; {len(seeds)} seeds stand behind them, and what seeds add is in the section on variance."
        )
    return sentences


def sentence(change: Change) -> str:
    """One run on one benchmark in a sentence: both scores with their intervals, whether those overlap, and the paired difference."""
    begin = f"{change.benchmark}, {change.label}: "
    first, last = change.first, change.last
    if change.last_step is None:
        return f"{begin}{_with_interval(first)} at step {change.first_step}, the only step, so nothing can be said of change."
    text = f"{begin}{_with_interval(first)} at step {change.first_step}, {_with_interval(last)} at step {change.last_step}"
    if first is None or last is None or first.value is None or last.value is None:
        return f"{text}; with one of them missing nothing can be said of change."
    if None not in (first.low, first.high, last.low, last.high):
        text += f"; the 95 % intervals {'overlap' if _overlap(first, last) else 'do not overlap'}"
    return f"{text}. {_paired(change)}".strip()


def _paired(change: Change) -> str:
    if change.difference is None or change.difference.estimate.value is None:
        return ""
    estimate, p_value = change.difference.estimate, change.difference_p_value
    error = "" if estimate.standard_error is None else f" (SE {100 * estimate.standard_error:.1f})"
    verdict = "" if p_value is None else f", {'a clear change' if p_value < LEVEL else 'not a clear change'} (p = {p_value:.2g}, adjusted)"
    return f"On the same {estimate.num_items} items the difference is {100 * (estimate.value or 0.0):+.1f} points{error}{verdict}."


def _with_interval(score: Score | None) -> str:
    if score is None or score.value is None:
        return "missing"
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}"


def _overlap(first: Score, last: Score) -> bool:
    return (first.low or 0.0) <= (last.high or 0.0) and (last.low or 0.0) <= (first.high or 0.0)
