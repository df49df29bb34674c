"""What the flip browser says, in words: kinds of flip, one pair of checkpoints, one attempt, one row of the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_study.analyze.comparisons import benjamini_hochberg
from ray_study.analyze.flip_choice import Listed, shown
from ray_study.analyze.flip_table import num_in
from ray_study.analyze.flipping import FLIP_KINDS, FlipKind, Flips, Item, Reason, RunStep, attempts_shown
from ray_study.analyze.flow import FATES, STATES, Flow, State, fates, state_of
from ray_study.rows import UNJUDGED, GradedAttempt

KIND_WORDS: Mapping[FlipKind, str] = {kind: kind.replace("_", " ") for kind in FLIP_KINDS}
REASON_WORDS: Mapping[Reason, str] = {
    "first_to_last": "first to last step",
    "first_to_bottom": "first step to the bottom of a dip",
    "bottom_to_last": "bottom of a dip to last step",
    "between_datasets": "two data sets at their last steps",
    "chosen": "chosen",
}
AFTER_LOOKING: frozenset[Reason] = frozenset({"first_to_bottom", "bottom_to_last"})
BOTTOM_WARNING = (
    "The bottom was chosen on these very items for being low, so that counts and p to and from it flatter them; "
    "the report's test of dips decides whether there is one."
)
ENDED: Mapping[str, str] = {"stop": "ended by itself", "length": "cut at its cap of", "refused": "never asked"}
MOST_NOTE_CHARACTERS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One pair of checkpoints as the index has it: its flips, counts, the first page of each kind, and its numbers as text."""

    flips: Flips
    name: str
    counts: Mapping[str, int]
    links: Mapping[FlipKind, str]
    """Kind -> file name; empty where no item has it."""
    points: str
    mcnemar: str
    paired: str
    q: str
    churn: str
    noise: str


def index_rows(found: Sequence[Flips], links: Sequence[Mapping[FlipKind, str]]) -> list[IndexRow]:
    """The rows of the index, q-values over those pairs that nobody chose after looking."""
    tested = [number for number, each in enumerate(found) if each.difference.p_value is not None and each.reason not in AFTER_LOOKING]
    adjusted = dict(zip(tested, benjamini_hochberg([found[number].difference.p_value or 0.0 for number in tested]), strict=True))
    return [_row(each, links[number], adjusted.get(number)) for number, each in enumerate(found)]


def _row(each: Flips, links: Mapping[FlipKind, str], q: float | None) -> IndexRow:
    dagger = "†" if each.reason in AFTER_LOOKING else ""
    estimate = each.difference.estimate
    points = "–" if estimate.value is None else f"{100 * estimate.value:+.1f}"
    if estimate.low is not None and estimate.high is not None:
        points += f" [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"
    counts = each.counts()
    moved = counts["right_to_wrong"] + counts["wrong_to_right"]
    return IndexRow(
        flips=each,
        name=_name(each),
        counts=counts,
        links={kind: links.get(kind, "") for kind in FLIP_KINDS},
        points=points,
        # Where nothing moved, or nothing could be judged, there was no test.
        mcnemar=f"{each.p_value:.2g}{dagger}" if moved else "–",
        paired=_number(each.difference.p_value, ".2g") + (dagger if each.difference.p_value is not None else ""),
        q=_number(q, ".2g"),
        churn=_number(each.churn, ".3f"),
        noise=_number(each.noise, ".3f"),
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _name(each: Flips) -> str:
    """A pair of checkpoints in a line."""
    before, after = each.before, each.after
    if before.run == after.run:
        return f"{before.label}: step {before.step:,} → {after.step:,}"
    return f"{before.label}, step {before.step:,} → {after.label}, step {after.step:,}"


def pair_context(row: IndexRow) -> dict[str, Any]:
    """What every page of a pair of checkpoints says of it."""
    each, counts = row.flips, row.counts
    states = [state for state in STATES if any(state in pair for pair in each.transitions)]
    parts = [
        f"Of {sum(counts[name] for name in ('right_to_wrong', 'wrong_to_right', 'still_right', 'still_wrong', 'as_often_right')):,} items "
        f"judged at both, {counts['right_to_wrong']:,} went from right to wrong and {counts['wrong_to_right']:,} from wrong to right "
        f"(exact p = {row.mcnemar}); {counts['still_right']:,} are still right and {counts['still_wrong']:,} still wrong",
        f"{counts['as_often_right']:,} are as often right as before" if counts["as_often_right"] else "",
        f"{counts['unjudged']:,} more could not be judged on one side" if counts["unjudged"] else "",
        f"{counts['missing']:,} more were asked on one side only" if counts["missing"] else "",
    ]
    return {
        "title": f"{each.benchmark}, {row.name}",
        "sentence": f"{'; '.join(part for part in parts if part)}. Share right: {row.points} points.",
        "warning": BOTTOM_WARNING if each.reason in AFTER_LOOKING else "",
        "states": states,
        "matrix": [(before, [each.transitions.get((before, after), 0) for after in states]) for before in states],
    }


def item_context(each: Flips, item: Item, kind: FlipKind) -> dict[str, Any]:
    """An item as its page shows it; `number` stands for the transition of the two attempts shown."""
    first, last = attempts_shown(item, kind)
    return {
        "problem_id": item.problem_id,
        "number": _transition_number(state_of(first), state_of(last)),
        "also": ", ".join(KIND_WORDS[other] for other in item.kinds if other != kind),
        "before": _side_context(each.before, first, item.before, each.before.run != each.after.run),
        "after": _side_context(each.after, last, item.after, each.before.run != each.after.run),
    }


def _side_context(side: RunStep, attempt: GradedAttempt, own: Sequence[GradedAttempt], with_label: bool) -> dict[str, Any]:
    ended = ENDED[attempt.finish_reason] + (f" {attempt.cap:,}" if attempt.finish_reason == "length" else "")
    return {
        "where": f"{side.label}, step {side.step:,}" if with_label else f"step {side.step:,}",
        "attempt": attempt,
        "state": state_of(attempt),
        "answer": _short(attempt.answer or ""),
        "explanation": _short(attempt.explanation),
        "details": _short(attempt.details),
        "ended": ended,
        "num_samples": len(own),
        "num_right": num_in(own, "right"),
        "num_judged": sum(each.verdict not in UNJUDGED for each in own),
        "shown": shown(attempt.text),
    }


def _short(text: str) -> str:
    return text if len(text) <= MOST_NOTE_CHARACTERS else f"{text[:MOST_NOTE_CHARACTERS]} […]"


def _transition_number(before: State, after: State) -> int:
    return STATES.index(before) * len(STATES) + STATES.index(after)


def filters(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The transitions of the attempts on a page, the commonest first, each with the number that its items carry."""
    counts = Counter((item["before"]["state"], item["after"]["state"]) for item in items)
    return [
        {
            "number": _transition_number(before, after),
            "words": f"{before.replace('_', ' ')} → {after.replace('_', ' ')}",
            "num_items": count,
        }
        for (before, after), count in counts.most_common()
    ]


def fate_context(flow: Flow) -> dict[str, Any]:
    """The fates of a flow's lines in per cent of those that are known."""
    counts = fates(flow)
    known = sum(counts.values()) - counts["unknown"]
    shares = {fate: f"{100 * counts[fate] / known:.1f}" if known else "–" for fate in FATES if fate != "unknown"}
    ever = f"{100 * (known - counts['never_right']) / known:.1f}" if known else "–"
    return {
        "benchmark": flow.benchmark,
        "label": flow.label,
        "num_attempts": len(flow.lines),
        "num_unknown": counts["unknown"],
        "shares": shares,
        "ever_right": ever,
    }


def kinds_context(listed: Sequence[Listed], links: Mapping[FlipKind, str]) -> list[dict[str, Any]]:
    """The kinds of a pair with their counts and first pages."""
    return [{"kind": each.kind, "num_items": each.num_items, "href": links[each.kind]} for each in listed]


def totals(rows: Sequence[IndexRow]) -> dict[str, int]:
    """How many items have each kind and outcome, over all pairs: an item counts in each pair in which it is."""
    found: Counter[str] = Counter()
    for row in rows:
        found.update(row.counts)
    return dict(found)


def sentence(rows: Sequence[IndexRow]) -> str:
    """What the flips of first against last step come to, in a sentence."""
    ends = [row for row in rows if row.flips.reason == "first_to_last"]
    if not ends:
        return "No run has attempts at two steps of one benchmark, so nothing can be said of flips."
    counts = totals(ends)
    return (
        f"Between first and last step, over {len(ends):,} pairs of run and benchmark, {counts['right_to_wrong']:,} items went from right "
        f"to wrong and {counts['wrong_to_right']:,} from wrong to right; {counts['finished_to_unfinished']:,} no longer finish and "
        f"{counts['unfinished_to_finished']:,} finish now."
    )
