"""The smallest dip that a planned study could see, benchmark by benchmark, from its items and samples and from guesses that it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_study.config import Benchmark, Study
from ray_study.plan_benchmarks import Saved, columns, items_of

SHARE, ALIKE, KEPT = 0.5, 0.5, 0.8
"""What is guessed of each benchmark before anything is measured: see `analyze.power.assumed_spread`. Half right is the worst case."""
ASSUMED = (
    f"  assumed, since nothing is measured yet: a share right of {SHARE:g}; correlations of {ALIKE:g} between two samples of an item and "
    f"{KEPT:g} of an item's ability between checkpoints; independent items",
    "  power 0.8 at 5 %, two-sided, each trajectory by itself. none: even the whole share would not be seen to fall",
    "  other guesses, or what was measured: notebooks/3_plan_with_power.ipynb",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestDip:
    """What one trajectory of one run could show at a benchmark; in shares, None where it is not known or makes no sense."""

    benchmark: str
    num_items: int | None
    num_samples: int
    dip: float | None
    """The smallest fall below step 0, to a step that nobody named, which is found in 80 % of cases."""
    difference: float | None
    """The same of the last step against the first one."""
    why_none: str = ""


def smallest_dips(study: Study, saved: Saved) -> list[SmallestDip]:
    """What each benchmark could show, in the order of the file; `saved` are the steps at which each run is saved, without step 0."""
    return [_smallest_dip(study, name, each, saved) for name, each in study.evaluation.benchmarks.items()]


def _smallest_dip(study: Study, name: str, benchmark: Benchmark, saved: Saved) -> SmallestDip:
    items, samples = items_of(study, benchmark), benchmark.num_samples
    dip, difference, why = None, None, ""
    if benchmark.judge and study.judges[benchmark.judge[0]].rubric == "reward":
        why = "a reward is no share"
    elif items is None:
        why = "how many items it has is known once they are read"
    elif items < 4:
        why = "too few items for two halves"
    else:
        dip, difference = _detectable(items, samples)
        if _fewest_steps(benchmark, saved) < 3:
            dip, why = None, "sat at two steps, between which nothing is seen"
    return SmallestDip(benchmark=name, num_items=items, num_samples=samples, dip=dip, difference=difference, why_none=why)


def _detectable(num_items: int, num_samples: int) -> tuple[float, float]:
    """The smallest dip and the smallest difference of an exam with the guessed spread."""
    # Not at the top: whoever plans nothing need not wait for scipy, polars and matplotlib.
    from ray_study.analyze.power import Exam, assumed_spread, detectable_difference, detectable_dip  # noqa: PLC0415

    spread, exam = assumed_spread(SHARE, alike=ALIKE, kept=KEPT), Exam(num_items=num_items, num_samples=num_samples)
    return detectable_dip(spread, exam), detectable_difference(spread, exam)


def _fewest_steps(benchmark: Benchmark, saved: Saved) -> int:
    """At how many steps the run with the fewest sits a benchmark, step 0 and its last one among them; runs not known yet count as many."""
    if benchmark.at == "final":
        return 2
    asked = None if benchmark.at == "all" else set(benchmark.at)
    known = [steps for steps in saved if steps]
    return min((1 + sum(asked is None or step in asked or step == max(steps) for step in steps) for steps in known), default=3)


def dip_lines(found: Sequence[SmallestDip]) -> Iterator[str]:
    """The smallest dips as a table in points, and what they assume."""
    rows = [(each.benchmark, _word(each.num_items), str(each.num_samples), _points(each.dip), _points(each.difference)) for each in found]
    yield from columns([("smallest seen in one run, points", "items", "samples", "dip", "last - first"), *rows])
    for why in dict.fromkeys(each.why_none for each in found if each.why_none):
        yield f"  ?: {why}: {', '.join(each.benchmark for each in found if each.why_none == why)}"
    yield from ASSUMED


def for_machines(found: Sequence[SmallestDip]) -> dict[str, object]:
    """The same for `plan.json`: shares, not points, and the guesses by name."""
    rows: dict[str, Mapping[str, object]] = {
        each.benchmark: {
            "num_items": each.num_items,
            "num_samples": each.num_samples,
            "detectable_dip": each.dip,
            "detectable_difference": each.difference,
            "why_none": each.why_none,
        }
        for each in found
    }
    assumed = {"power": 0.8, "level": 0.05, "share": SHARE, "alike": ALIKE, "kept": KEPT, "runs": 1}
    return {"assumed": assumed, "benchmarks": rows}


def _points(value: float | None) -> str:
    return "?" if value is None else "none" if value > SHARE else f"{100 * value:.1f}"


def _word(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
