"""The shape of each trajectory in words and as a row of a table: what it does, how sure that is, and what could have been seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray_study.analyze.dips import LEVEL, Dip
from ray_study.analyze.makeup import MadeOf
from ray_study.analyze.peaks import Peak

if TYPE_CHECKING:
    from ray_study.analyze.findings import Change

MOST_NAMES = 6


def shape_sentence(name: str, dip: Dip) -> str:
    """One trajectory in a sentence."""
    if dip.shape in ("dip_and_recovery", "dip_only"):
        return f"{name}: {_fall(dip)}{_recovery(dip)}."
    if dip.shape == "monotone":
        change = dip.change.estimate.value or 0.0
        turn = "no rise after a fall is clear" if change < 0 else "no dip below step 0 is clear"
        return (
            f"{name}: {'rises' if change > 0 else 'falls'} by {100 * abs(change):.1f} points from the first to the last step, and {turn}."
        )
    seen = f"a fall of {100 * dip.detectable:.1f} points or more would have been found four times in five"
    if dip.shape == "flat":
        return f"{name}: no clear change and no clear dip; {seen}."
    return f"{name}: no clear change, but this design could not have seen a dip of the usual depth: only {seen}."


def _fall(dip: Dip) -> str:
    interval = "" if dip.depth.low is None or dip.depth.high is None else f" [{100 * dip.depth.low:.1f}, {100 * dip.depth.high:.1f}]"
    return f"falls by {100 * (dip.depth.value or 0.0):.1f} points{interval} to step {dip.bottom_step}"


def _recovery(dip: Dip) -> str:
    share = dip.share_recovered
    if share is None or share.value is None:
        return ", and no recovery is shown"
    regained = "all of that and more" if share.value > 1 else f"{100 * share.value:.0f} % of that"
    regained += " is regained at the last step"
    if dip.shape == "dip_only":
        return f"; {regained}, which is no clear recovery"
    return f"; {regained}" + ("" if dip.recovery_step is None else f", half of it by step {dip.recovery_step}")


def shapes_summary(found: Sequence[tuple[str, Dip, float | None]]) -> str:
    """How many trajectories have each shape, with the dips by name; each is a name, its dip, and the p-value adjusted for all of them."""
    if not found:
        return "No trajectory could be tested for a dip: that needs step 0, a later step, their attempts and some items."
    counts = {shape: sum(dip.shape == shape for _, dip, _ in found) for shape in dict.fromkeys(dip.shape for _, dip, _ in found)}
    listed = ", ".join(f"{count} {shape.replace('_', ' ')}" for shape, count in counts.items())
    dips = [(name, dip, p_value) for name, dip, p_value in found if dip.shape in ("dip_and_recovery", "dip_only")]
    how = "bottom chosen on half of the items, measured on the other"
    begin = f"Of {len(found)} trajectories looked at for a dip below step 0 ({how}): {listed}."
    if not dips:
        return begin
    names = [f"{name} ({100 * (dip.depth.value or 0.0):.1f} points)" for name, dip, _ in dips[:MOST_NAMES]]
    more = f" and {len(dips) - MOST_NAMES} more" if len(dips) > MOST_NAMES else ""
    sure = sum(p_value is not None and p_value < LEVEL for _, _, p_value in dips)
    return (
        f"{begin} The dips are {'; '.join(names)}{more}; {sure} of {len(dips)} hold after adjusting for all trajectories looked at (Holm)."
    )


def shape_row(dip: Dip | None) -> dict[str, Any]:
    """A dip as plain numbers, None each where none could be looked for."""
    if dip is None:
        return dict.fromkeys(COLUMNS)
    share = dip.share_recovered
    values = (
        dip.shape,
        dip.depth.value,
        dip.depth.low,
        dip.depth.high,
        dip.bottom_step,
        dip.recovery_step,
        share.value if share else None,
        share.low if share else None,
        share.high if share else None,
        dip.area,
        dip.detectable,
    )
    return dict(zip(COLUMNS, values, strict=True))


COLUMNS = (
    "shape",
    "dip_depth",
    "dip_low",
    "dip_high",
    "bottom_step",
    "recovery_step",
    "share_recovered",
    "share_recovered_low",
    "share_recovered_high",
    "dip_area",
    "detectable",
)

PEAK_COLUMNS = ("peak_fall", "peak_fall_low", "peak_fall_high", "peak_step", "peak_low_step", "peak_p_value", "peak_established")


def peak_row(peak: Peak | None, p_value: float | None) -> dict[str, Any]:
    """A fall from an earlier high as plain numbers, None each where there is no such high; `p_value` is adjusted for all looked at."""
    if peak is None:
        return dict.fromkeys(PEAK_COLUMNS)
    fall = peak.fall
    values = (fall.value, fall.low, fall.high, peak.high_step, peak.low_step, p_value, p_value is not None and p_value < LEVEL)
    return dict(zip(PEAK_COLUMNS, values, strict=True))


def peaks_summary(found: Sequence[tuple[str, Peak, float | None]], num_looked_at: int) -> str:
    """Which trajectories rise above step 0 and fall again, with how much; each is a name, its fall, and its adjusted p-value."""
    sure = [(name, peak.fall.value or 0.0, peak) for name, peak, p_value in found if p_value is not None and p_value < LEVEL]
    how = "high and low chosen on half of the items, measured on the other; adjusted for all looked at (Holm)"
    begin = f"{len(sure) or 'None'} of {num_looked_at} rise above step 0 and then fall again, both clearly ({how})"
    if not sure:
        return f"{begin}."
    sure.sort(key=lambda each: -each[1])
    names = [
        f"{name} ({100 * fall:.1f} points from step {peak.high_step:,} to {peak.low_step:,})" for name, fall, peak in sure[:MOST_NAMES]
    ]
    more = f" and {len(sure) - MOST_NAMES} more" if len(sure) > MOST_NAMES else ""
    return f"{begin}: {'; '.join(names)}{more}."


_PART_WORDS = {
    "finished": "attempts that do not finish",
    "answered": "finished ones without an answer",
    "right": "answers that are wrong",
    "right_though_cut": "fewer right though cut",
}


def made_of_sentence(name: str, found: MadeOf) -> str:
    """What a fall is made of, in a sentence: the largest part first."""
    lost = sorted(found.parts.items(), key=lambda pair: pair[1].value or 0.0)
    parts = [f"{_PART_WORDS[part]} {100 * (each.value or 0.0):+.1f}" for part, each in lost if abs(each.value or 0.0) >= 0.0005]
    total = 100 * (found.change.value or 0.0)
    return (
        f"{name}: the {total:+.1f} points from step {found.before.step} to {found.after.step} are made of {', '.join(parts) or 'nothing'}."
    )


def shape_rows(found: Sequence[Change]) -> list[dict[str, Any]]:
    """The shape of every trajectory that could be looked at: a sentence, the numbers, and what a clear fall is made of."""
    rows: list[dict[str, Any]] = []
    for each in found:
        if each.dip is not None:
            name = f"{each.benchmark}, {each.label}"
            made = each.made_of
            rows.append(
                {"benchmark": each.benchmark, "label": each.label, "p_value": each.dip_p_value, "made_of": made}
                | shape_row(each.dip)
                | peak_row(each.peak, each.peak_p_value)
                | {"sentence": shape_sentence(name, each.dip), "made_of_sentence": made_of_sentence(name, made) if made else ""}
            )
    return rows
