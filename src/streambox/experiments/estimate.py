"""A figure and how far it can be trusted: estimates with 95 % confidence intervals."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streambox.loadgen.student import t95

if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = np.ndarray[Any, np.dtype[np.float64]]


class Estimate(msgspec.Struct, frozen=True):
    """
    ``value`` and the bounds of its interval: None where there is nothing to estimate it from.

    An interval without a value is not possible, a value without an interval is.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of_resamples(cls, value: float, resamples: Floats, draws: int) -> Estimate:
        """
        The bootstrap's percentile interval: the middle of what the resamples gave.

        Of *draws* independent ones each. The middle 95 % would be too narrow where they are
        few, so it is as much more as Student's interval is wider than the normal one
        (the expanded percentile interval, Hesterberg 2015).
        """
        if not math.isfinite(value):
            return cls()
        if draws < 2 or not np.isfinite(resamples).all():
            return cls(value)
        beyond = _normal_below(-math.sqrt(draws / (draws - 1)) * t95(draws - 1))
        low, high = np.quantile(resamples, [beyond, 1 - beyond])
        return cls(value, float(low), float(high))

    @classmethod
    def of_repeats(cls, values: Sequence[float]) -> Estimate:
        """Student's interval around the mean of independent *values*, one a repeat."""
        if not values or not all(map(math.isfinite, values)):
            return cls()
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean)
        reach = t95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean, mean - reach, mean + reach)

    def excludes(self, value: float) -> bool:
        """Whether *value* lies outside the interval; False without one."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    def scaled(self, factor: float) -> Estimate:
        return Estimate(*(None if x is None else x * factor for x in (self.value, self.low, self.high)))


def difference_of_means(before: Sequence[float], after: Sequence[float], *, paired: bool) -> Estimate:
    """
    The mean of *after* less that of *before*, with Student's interval.

    *paired*: the two of a pair have what disturbs them in common, so their differences count.
    Else Welch's, whose degrees of freedom are rounded down.
    """
    if paired:
        return Estimate.of_repeats([b - a for a, b in zip(before, after, strict=True)])
    if not all(map(math.isfinite, (*before, *after))):
        return Estimate()
    value = statistics.fmean(after) - statistics.fmean(before)
    if min(len(before), len(after)) < 2:
        return Estimate(value)
    shares = [statistics.variance(values) / len(values) for values in (before, after)]
    total = sum(shares)
    parts = [share**2 / (len(values) - 1) for share, values in zip(shares, (before, after), strict=True)]
    degrees = int(total**2 / sum(parts)) if sum(parts) else len(before) + len(after) - 2
    reach = t95(max(1, degrees)) * math.sqrt(total)
    return Estimate(value, value - reach, value + reach)


def _normal_below(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
