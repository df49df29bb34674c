"""What a study could see before it is run: the smallest difference and the smallest dip of a design, and the items that one needs.

An exam of n items with K samples each, sat by both checkpoints of S runs, measures their difference with the variance

    Var = seeds / S + (deff changes + seeds_by_items / S + 2 samples / (K S)) / n

where `changes` is how much items differ in their true change, `samples` is E p(1-p) of one sample, and deff = 1 + (m - 1) rho for m items
a cluster. More samples shrink the last part only; more items shrink all but the first; the first is shrunk by more seeds alone. Sources:
Miller 2024 (arXiv 2411.00640), section 5, for one seed and no clusters; Kish 1965, for the design effect; Searle, Casella and McCulloch
1992, section 4.3, for seeds crossed with items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scipy import special

from ray_study.analyze.bootstrap import ItemCurves
from ray_study.analyze.dips import LEVEL, detectable_fall
from ray_study.analyze.variance import components, sampling_variance

POWER = 0.8
MOST_ITEMS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """A design: what each checkpoint is asked, and how many runs are trained."""

    num_items: int
    num_samples: int = 1
    num_seeds: int = 1
    items_per_cluster: float = 1.0
    """Items that share a source: a passage, a subject."""
    correlation: float = 0.0
    """Of the changes of two items of one cluster."""

    @property
    def num_units(self) -> int:
        """How many independent draws the items are."""
        return max(2, round(self.num_items / self.items_per_cluster)) if self.correlation else self.num_items


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What the error of a difference between two checkpoints is made of: variances, in squared shares."""

    items: float
    """Between items, of their ability at the first checkpoint. A paired difference does not see it; a score by itself does."""
    changes: float
    """Between items, of their true change. From one seed it holds `seeds_by_items` too."""
    samples: float | None
    """Of one sample of one item, E p(1-p), the mean of both checkpoints; None where each item was asked once: `changes` then holds
    twice that."""
    seeds: float | None = None
    """Between training seeds, of their true change; None from one seed: what is planned then speaks of these very runs."""
    seeds_by_items: float | None = None

    def standard_error(self, exam: Exam) -> float:
        """The standard error of the paired difference that an exam measures.

        Raises:
            ValueError: the exam asks several samples, and nothing says what a second sample would show.
        """
        if self.samples is None and exam.num_samples != 1:
            raise ValueError(
                f"found a spread from one sample an item, which cannot say what {exam.num_samples} would buy: expected one from two or "
                "more, or `assumed_spread`"
            )
        deff = 1.0 + (exam.items_per_cluster - 1.0) * exam.correlation
        sampling = 2.0 * (self.samples or 0.0) / (exam.num_samples * exam.num_seeds)
        of_items = deff * self.changes + (self.seeds_by_items or 0.0) / exam.num_seeds + sampling
        return math.sqrt((self.seeds or 0.0) / exam.num_seeds + of_items / exam.num_items)


def assumed_spread(accuracy: float, *, alike: float = 0.5, kept: float = 0.8) -> Spread:
    """The spread of an exam that nobody has sat yet, from three guesses.

    An item asked once is right or wrong, with variance p(1-p). The part `alike` of it lies between items, the rest between samples of one
    item. Of what lies between items a checkpoint keeps the part `kept`: Var(change) = 2 (1 - kept) alike p(1-p).

    Args:
        accuracy: p, the mean of both checkpoints; 0.5 is the worst case.
        alike: the correlation of two samples of one item: 0 where every item is a coin, 1 where each is always right or always wrong.
        kept: the correlation between checkpoints of an item's true ability.

    Raises:
        ValueError: a guess lies outside 0 to 1.
    """
    if not all(0 <= guess <= 1 for guess in (accuracy, alike, kept)):
        raise ValueError(f"found accuracy {accuracy}, alike {alike}, kept {kept}; expected shares between 0 and 1")
    whole = accuracy * (1 - accuracy)
    return Spread(items=alike * whole, changes=2 * (1 - kept) * alike * whole, samples=(1 - alike) * whole)


def measured_spread(curves: ItemCurves, before: int, after: int) -> Spread:
    """The spread between two steps of a study that was run, by moments; what moments make negative is put to zero.

    Args:
        curves: of the items, with one or several seeds.
        before: a step of the curves.
        after: another.

    Raises:
        ValueError: the curves have no such step, or fewer than two items.
    """
    if not {before, after} <= set(curves.steps) or len(curves.items) < 2:
        raise ValueError(f"found {len(curves.items)} items at the steps {curves.steps}, expected two or more at {before} and {after}")
    at = [curves.steps.index(step) for step in (before, after)]
    d = curves.means[:, :, at[1]] - curves.means[:, :, at[0]]
    within, noise = sampling_variance(curves, at)
    num_seeds, num_items = d.shape
    by_item, by_seed, mean = d.mean(axis=0), d.mean(axis=1), float(d.mean())
    ms_items = num_seeds * float(((by_item - mean) ** 2).sum()) / (num_items - 1)
    items = components(curves)[at[0]].items
    if num_seeds < 2:
        return Spread(items=items, changes=max(0.0, ms_items - noise), samples=within)
    ms_rest = float(((d - by_item[None, :] - by_seed[:, None] + mean) ** 2).sum()) / ((num_seeds - 1) * (num_items - 1))
    ms_seeds = num_items * float(((by_seed - mean) ** 2).sum()) / (num_seeds - 1)
    return Spread(
        items=items,
        changes=max(0.0, (ms_items - ms_rest) / num_seeds),
        samples=within,
        seeds=max(0.0, (ms_seeds - ms_rest) / num_items),
        seeds_by_items=max(0.0, ms_rest - noise),
    )


def power_of_difference(difference: float, spread: Spread, exam: Exam, *, level: float = LEVEL) -> float:
    """How often a paired two-sided test at `level` finds a true difference of this size.

    P(|T| > t) for T of the noncentral t distribution, with the number of independent units less one for degrees of freedom and
    difference / SE for its centre. Source: Cohen 1988, section 2.2. Where items are asked once the test is McNemar's, which is exact and
    so a little weaker.
    """
    error = spread.standard_error(exam)
    if error == 0:
        return float(difference != 0)
    return _power(abs(difference) / error, exam.num_units - 1, level)


def _power(centre: float, freedom: int, level: float) -> float:
    critical = float(special.stdtrit(freedom, 1 - level / 2))
    # SciPy has no number for some tails that are smaller than 1e-10.
    other = float(special.nctdtr(freedom, centre, -critical))
    return float(special.nctdtr(freedom, -centre, -critical)) + (other if math.isfinite(other) else 0.0)


def detectable_difference(spread: Spread, exam: Exam, *, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest true difference between two checkpoints named beforehand that is found with this power: about 2.8 SE at 80 %.

    (z_(1-level/2) + z_power) SE in Miller 2024, section 5, for many items; here with Student's t, so that few items are not flattered.
    """
    freedom = exam.num_units - 1
    low, high = 0.0, 4.0 * float(special.stdtrit(freedom, 1 - level / 2)) + 10.0
    # Power rises with the centre: 50 halvings leave 1e-13 of it.
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, freedom, level) >= power else (middle, high)
    return high * spread.standard_error(exam)


def detectable_dip(spread: Spread, exam: Exam) -> float:
    """The smallest fall to a step that nobody named beforehand which `find_dip` finds clear in 80 % of cases: about 3.6 SE.

    That a dip is called one, the rise after it must be clear as well: `power_of_dip` says how often both are.
    """
    return detectable_fall(spread.standard_error(exam), exam.num_units)


def items_needed(
    wanted: float, spread: Spread, exam: Exam, detectable: Callable[[Spread, Exam], float] = detectable_difference
) -> int | None:
    """The least number of items with which an exam like this one can see `wanted`; None where no number can, since seeds differ too much.

    Args:
        wanted: the difference, or the dip.
        spread: assumed or measured.
        exam: its samples, seeds and clusters; its number of items is what is looked for.
        detectable: `detectable_difference` or `detectable_dip`.
    """

    def can(num_items: int) -> bool:
        return detectable(spread, replace(exam, num_items=num_items)) <= wanted

    if wanted <= 0 or not can(MOST_ITEMS):
        return None
    few, many = 3, 4
    while not can(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if can(middle) else (middle, many)
    return many


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """One way to spend a budget, and what it could see."""

    num_items: int
    num_samples: int
    num_seeds: int
    tokens: int
    detectable_difference: float
    detectable_dip: float


def affordable(  # noqa: PLR0913 - what a budget buys depends on all of them
    spread: Spread,
    *,
    tokens: int,
    tokens_per_attempt: float,
    num_checkpoints: int,
    most_items: int,
    samples: Sequence[int] = (1, 2, 4, 8, 16, 32),
    num_seeds: int = 1,
) -> list[Affordable]:
    """What a budget of generated tokens could see, a row for each number of samples: as many items as are left over, and exist.

    While there are items left, another item buys more than another sample of the same: (changes + 2 samples / K) / n falls with n in both
    parts and with K in one. Samples are for benchmarks that have run out of items.

    Args:
        spread: assumed or measured.
        tokens: that may be generated at this benchmark over all checkpoints and seeds.
        tokens_per_attempt: the mean response length.
        num_checkpoints: that sit the exam, in each run.
        most_items: that the benchmark has.
        samples: of each item, to be tried.
        num_seeds: runs.
    """
    rows = []
    for num_samples in samples:
        an_item = tokens_per_attempt * num_samples * num_checkpoints * num_seeds
        exam = Exam(num_items=min(most_items, int(tokens / an_item)), num_samples=num_samples, num_seeds=num_seeds)
        if exam.num_items < 4 or (spread.samples is None and num_samples > 1):
            continue
        rows.append(
            Affordable(
                num_items=exam.num_items,
                num_samples=num_samples,
                num_seeds=num_seeds,
                tokens=round(exam.num_items * an_item),
                detectable_difference=detectable_difference(spread, exam),
                detectable_dip=detectable_dip(spread, exam),
            )
        )
    return rows
