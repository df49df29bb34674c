"""95 % intervals of shares and means, each for where it may be trusted."""

from __future__ import annotations

import math

from scipy import special

from ray_study.analyze.lengths import Z_95

FEW_ITEMS = 30
"""Below this many items neither Student's t nor Wilson's interval is trusted with a share."""


def wilson_interval(share: float, num: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share seen on `num` independent draws: sensible at 0 and 1, where others have no width.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Source: Wilson 1927.
    """
    z2 = Z_95**2
    centre = share + z2 / (2 * num)
    half = Z_95 * math.sqrt(share * (1 - share) / num + z2 / (4 * num**2))
    low, high = (centre - half) / (1 + z2 / num), (centre + half) / (1 + z2 / num)
    return (0.0 if share == 0 else max(0.0, low), 1.0 if share == 1 else min(1.0, high))


def clopper_pearson(num_right: float, num: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, from the quantiles of Beta(c, n-c+1) and Beta(c+1, n-c): never covers less than it says.

    Source: Clopper and Pearson 1934.
    """
    low = 0.0 if num_right == 0 else float(special.betaincinv(num_right, num - num_right + 1, 0.025))
    high = 1.0 if num_right == num else float(special.betaincinv(num_right + 1, num - num_right, 0.975))
    return low, high


def few_items_interval(value: float, error: float | None, *, num_items: int, num_samples: int) -> tuple[float, float]:
    """The 95 % interval of a share over few independent items: no central limit is asked for.

    Asked once it is Clopper and Pearson's. Asked several times it is Beta-Binomial: that of Beta(1 + right, 1 + wrong) on as many draws as
    the samples are worth, `beta_interval`. By the error that is p(1-p)/SE^2 + 1, which is nK / (1 + (K-1) rho) with rho within items by
    analysis of variance (Ridout et al. 1999). Where all agree nothing shows that samples are not copies of each other: as many as items.
    """
    if num_samples == 1:
        return clopper_pearson(value * num_items, num_items)
    worth = float(num_items)
    if error is not None and 0 < value < 1:
        worth = value * (1 - value) / max(error, 1e-12) ** 2 + 1
    return beta_interval(value, worth, num_items=num_items, num_samples=num_samples)


def beta_interval(value: float, worth: float, *, num_items: int, num_samples: float) -> tuple[float, float]:
    """The 95 % interval of Beta(1 + right, 1 + wrong) on the draws that `num_samples` samples of each item are worth: a uniform prior.

    `worth` was measured on few items, so (1.96 / t)^2 of it counts, with t of `num_items` - 1 degrees of freedom; no fewer than items
    and no more than samples. Sources: Bowyer et al. 2025 (arXiv 2503.01747), for the posterior; Kish 1965, for the draws that count; Korn
    and Graubard 1998, for the factor.
    """
    critical = float(special.stdtrit(max(1, num_items - 1), 0.975))
    counted = min(max(min(worth, num_items * num_samples) * (Z_95 / critical) ** 2, num_items), num_items * num_samples)
    a, b = 1.0 + value * counted, 1.0 + (1.0 - value) * counted
    low, high = float(special.betaincinv(a, b, 0.025)), float(special.betaincinv(a, b, 0.975))
    return min(low, value), max(high, value)


def t_interval(value: float, standard_error: float, num_units: int) -> tuple[float, float]:
    """The 95 % interval of a mean by Student's t with `num_units` - 1 degrees of freedom."""
    half = float(special.stdtrit(num_units - 1, 0.975)) * standard_error
    return value - half, value + half
