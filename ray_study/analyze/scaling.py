"""How a number of a study (score, depth of a dip, share recovered) goes with model size, number of examples or steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from ray_study.analyze.bootstrap import Numbers

LEAST_SIZES = 5
"""A line through fewer distinct sizes than this has two degrees of freedom or fewer left, and can be checked on nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePoint:
    """One point: a size (parameters, examples, steps), the number measured there and its standard error."""

    size: float
    value: float
    standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """value = intercept + slope log10(size), by least squares: the slope is what ten times the size brings."""

    slope: float
    slope_low: float
    slope_high: float
    """95 %, by Student's t on the spread around the line, or on the measured errors where those are larger."""
    intercept: float
    held_out_error: float
    """Root mean square error of predicting each size from the others."""
    constant_error: float
    """The same of predicting their mean: a law that does no better on points held out is none."""
    coverage: float
    """Share of held-out points within their 95 % prediction interval."""
    num_points: int
    smallest: float
    largest: float

    @property
    def holds(self) -> bool:
        """Whether the slope is clear and the law predicts held-out sizes better than a constant does."""
        return (self.slope_low > 0 or self.slope_high < 0) and self.held_out_error < self.constant_error

    def predict(self, size: float) -> float:
        """The value at a size within those measured.

        Raises:
            ValueError: the size lies outside: nothing measured says that the law goes on.
        """
        if not self.smallest <= size <= self.largest:
            raise ValueError(f"found size {size:g}, expected one between {self.smallest:g} and {self.largest:g}: measure there instead")
        return self.intercept + self.slope * math.log10(size)


def fit_law(points: Sequence[SizePoint]) -> Law | None:
    """The straight line in log10(size) through the points; None where there are fewer than five distinct sizes.

    Weighted by 1 / (SE^2 + tau^2), where tau^2 is the spread around the line beyond the errors, by moments (DerSimonian and Laird 1986, for
    a regression: Thompson and Sharp 1999). Two points of one size are held out together, so that none predicts itself.

    Raises:
        ValueError: a size is not positive, or a standard error is negative or no number.
    """
    faulty = [point for point in points if not (point.size > 0 and point.standard_error >= 0 and math.isfinite(point.value))]
    if faulty:
        raise ValueError(f"found {faulty[0]}, expected a positive size, a value and a standard error: leave what is missing out")
    sizes = sorted({point.size for point in points})
    if len(sizes) < LEAST_SIZES:
        return None
    x = np.log10([point.size for point in points])
    y, error = np.array([point.value for point in points]), np.array([point.standard_error for point in points])
    slope, intercept, cov = _line(x, y, error)
    half = _t(len(points) - 2) * math.sqrt(cov[1, 1])
    misses, constant, inside = [], [], []
    for size in sizes:
        out = x == math.log10(size)
        b, a, held_cov = _line(x[~out], y[~out], error[~out])
        miss = y[out] - (a + b * x[out])
        design = np.stack([np.ones(int(out.sum())), x[out]], axis=1)
        spread = _tau2(x[~out], y[~out], error[~out]) + error[out] ** 2 + np.einsum("ij,jk,ik->i", design, held_cov, design)
        misses += miss.tolist()
        constant += (y[out] - y[~out].mean()).tolist()
        inside += (np.abs(miss) <= _t(int((~out).sum()) - 2) * np.sqrt(spread)).tolist()
    return Law(
        slope=slope,
        slope_low=slope - half,
        slope_high=slope + half,
        intercept=intercept,
        held_out_error=float(np.sqrt(np.mean(np.square(misses)))),
        constant_error=float(np.sqrt(np.mean(np.square(constant)))),
        coverage=float(np.mean(inside)),
        num_points=len(points),
        smallest=sizes[0],
        largest=sizes[-1],
    )


def _t(freedom: int) -> float:
    return float(special.stdtrit(max(1, freedom), 0.975))


def _line(x: Numbers, y: Numbers, error: Numbers) -> tuple[float, float, Numbers]:
    """Slope, intercept and the covariance of (intercept, slope)."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    weights = 1.0 / np.maximum(error**2 + _tau2(x, y, error), 1e-18)
    cov = np.linalg.inv(design.T @ (weights[:, None] * design))
    beta = cov @ (design.T @ (weights * y))
    return float(beta[1]), float(beta[0]), np.asarray(cov, dtype=np.float64)


def _tau2(x: Numbers, y: Numbers, error: Numbers) -> float:
    """The variance around an unweighted line beyond the mean squared error of measurement, at least 0."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    leverage = np.einsum("ij,jk,ik->i", design, np.linalg.inv(design.T @ design), design)
    return max(0.0, float((residuals**2).sum() - ((1 - leverage) * error**2).sum()) / (len(x) - 2))
