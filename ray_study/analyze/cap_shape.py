"""Whether the shape of a curve depends on the cap: the same generations, cut at several lengths, compared step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ray_study.analyze.bootstrap import ItemCurves, Numbers, curves_of_attempts, draw_trajectories
from ray_study.analyze.dips import Shape, find_dip
from ray_study.analyze.layout import run_labels
from ray_study.analyze.statistics import accuracy_value
from ray_study.analyze.study_tables import StudyTables
from ray_study.analyze.thinking import CLOSE
from ray_study.analyze.trajectories import find_attempts, study_trajectories
from ray_study.rows import GradedAttempt

DRAWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CapShape:
    """What a smaller cap would have done to the shape of a curve."""

    depends: bool
    """Whether the change from the first step to some other differs between two caps by more than noise, at 5 % for all at once."""
    cap: int
    """The smaller cap at which the difference is largest, and `step` where."""
    step: int
    difference: float
    """How much more the score rises from the first step to that one under that cap than under the largest; negative: falls."""
    low: float
    high: float
    """95 %, simultaneous over caps and steps."""
    shapes: Mapping[int, Shape | None]
    """The shape under each cap, None where there are too few items; empty where the shape does not depend on the cap."""

    @property
    def warning(self) -> str:
        """What a reader must know, empty where the shape does not depend on the cap."""
        if not self.depends:
            return ""
        words = {cap: "too few items" if shape is None else shape.replace("_", " ") for cap, shape in sorted(self.shapes.items())}
        changed = f": {', '.join(f'{word} at {cap:,} tokens' for cap, word in words.items())}" if len(set(words.values())) > 1 else ""
        return (
            f"the shape of the curve depends on the cap{changed}; at {self.cap:,} tokens the change to step {self.step:,} is "
            f"{100 * self.difference:+.1f} points [{100 * self.low:.1f}, {100 * self.high:.1f}] different from that at {max(self.shapes):,}"
        )


def cap_shape(by_cap: Mapping[int, ItemCurves], num_draws: int = DRAWS) -> CapShape:
    """Whether the shape of a curve depends on the cap, from the item curves of the same attempts under two caps or more.

    A cap that takes the same from every step moves the curve and leaves its shape. So what is tested is the interaction of cap and
    step, (x_t - x_0 under the cap) - (x_t - x_0 under the largest), paired by item: bootstrap over items, with the largest |t| over
    all caps and steps for the critical value (Romano and Wolf 2005).

    Raises:
        ValueError: fewer than two caps or steps, or curves of other items or steps.
    """
    caps = sorted(by_cap)
    whole = by_cap[caps[-1]] if caps else None
    if whole is None or len(caps) < 2 or len(whole.steps) < 2:
        raise ValueError(
            f"found the caps {caps}, expected two or more, and curves of two steps or more: cut the attempts at a smaller cap too"
        )
    if any((each.steps, each.items) != (whole.steps, whole.items) for each in by_cap.values()):
        raise ValueError("found curves of other items or steps, expected the same attempts under every cap: cut one set of attempts")
    smaller = caps[:-1]
    own = np.concatenate([by_cap[cap].means - whole.means for cap in smaller], axis=2)
    # One set of draws for all caps: they are the same items.
    joined = replace(
        whole, steps=tuple(range(own.shape[2])), means=own, num_samples=np.concatenate([whole.num_samples] * len(smaller), axis=2)
    )
    drawn = _changes(draw_trajectories(joined, num_draws=num_draws), len(smaller))
    found = _changes(joined.curve()[None], len(smaller))[0]
    errors = drawn.std(axis=0, ddof=1)
    spread = errors > 1e-12
    t = np.divide(np.abs(found), errors, out=np.zeros_like(found), where=spread)
    critical = float(np.quantile(np.where(spread, np.abs(drawn - found) / np.where(spread, errors, 1.0), 0.0).max(axis=(1, 2)), 0.95))
    place, step = (int(number) for number in np.unravel_index(int(t.argmax()), t.shape))
    half = critical * float(errors[place, step])
    depends = bool(t.max() > critical)
    return CapShape(
        depends=depends,
        cap=smaller[place],
        step=whole.steps[step + 1],
        difference=float(found[place, step]),
        low=float(found[place, step]) - half,
        high=float(found[place, step]) + half,
        shapes={cap: dip.shape if (dip := find_dip(by_cap[cap])) else None for cap in caps if depends},
    )


def _changes(curves: Numbers, num_caps: int) -> Numbers:
    """Draws x (caps x steps) -> draws x caps x later steps: each less the cap's own first step."""
    by_cap = curves.reshape(len(curves), num_caps, -1)
    found: Numbers = by_cap[:, :, 1:] - by_cap[:, :, :1]
    return found


def curves_at_caps(by_step: Mapping[int, Sequence[GradedAttempt]], caps: Iterable[int]) -> dict[int, ItemCurves]:
    """The item curves of a run's attempts, given as step -> attempts, as each cap would have had them.

    Of an attempt that is longer than the cap, what is right counts where it was boxed within the cap (`answered_within`). What could not
    be judged is left out under every cap, so that all have the same items.
    """

    def reader(cap: int) -> Callable[[GradedAttempt], float | None]:
        def read(attempt: GradedAttempt) -> float | None:
            value = accuracy_value(attempt)
            return 0.0 if value and not answered_within(attempt, cap) else value

        return read

    return {cap: curves_of_attempts([by_step], reader(cap)) for cap in caps}


def answered_within(attempt: GradedAttempt, cap: int) -> bool:
    """Whether an attempt had boxed its answer within so many tokens, after the thinking if there is any.

    Its tokens are divided as its characters are, as in `thinking.parts_of`: here is neither a tokenizer nor a verifier, which
    `ray-study rescore --cap` has. An answer without a box counts as given at the end.
    """
    if attempt.num_tokens <= cap:
        return True
    thinking = attempt.text.rfind(CLOSE) + 1
    box = f"\\boxed{{{attempt.answer}}}"
    place = attempt.text.find(box, thinking)
    return place >= 0 and (place + len(box)) * attempt.num_tokens <= cap * len(attempt.text)


def cap_warnings(study: StudyTables) -> list[str]:
    """A sentence for each run and benchmark whose curve would have another shape under a quarter or half of its cap."""
    labels = run_labels([run for run in study.runs if run.status != "failed"])
    attempts = find_attempts(study)
    warnings = []
    for each in study_trajectories(study, metrics=["accuracy"]):
        by_step = {point.step: graded for point in each.points if (graded := attempts(each.run.id, point.step, each.benchmark))}
        largest = max((attempt.cap for graded in by_step.values() for attempt in graded), default=0)
        if largest < 4 or len(by_step) < 2:
            continue
        by_cap = curves_at_caps(by_step, (largest // 4, largest // 2, largest))
        found = cap_shape(by_cap) if by_cap[largest].num_units >= 4 else None
        if found is not None and found.depends:
            warnings.append(f"{each.benchmark}, {labels[each.run.id]}: {found.warning}.")
    return warnings
