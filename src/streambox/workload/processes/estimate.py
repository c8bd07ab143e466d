"""The parameters of renewal processes, from the gaps between arrivals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.processes.renewal import Gamma, Hyperexponential, Poisson, Weibull
from streambox.workload.processes.special import digamma

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Bools = np.ndarray[Any, np.dtype[np.bool_]]

_MOST_STEPS: Final = 2000
_CLOSE: Final = 1e-8


class Gaps(msgspec.Struct, frozen=True):
    """
    Times between arrivals, in order.

    Of those below ``floor_s``, a few ticks of the clock, only that is used: the logarithm of
    a shorter one would say more about the clock than about the arrivals.
    """

    each_s: Floats
    floor_s: float = 0.0

    @property
    def mean_s(self) -> float:
        return float(self.each_s.mean())

    @property
    def cv(self) -> float:
        return float(self.each_s.std()) / self.mean_s

    @property
    def is_known(self) -> Bools:
        known: Bools = self.each_s >= self.floor_s
        return known

    @property
    def known_s(self) -> Floats:
        return self.each_s[self.is_known]

    @property
    def short(self) -> int:
        """How many are below the floor."""
        return len(self.each_s) - int(np.count_nonzero(self.is_known))


def poisson(gaps: Gaps) -> Poisson:
    return Poisson(1 / gaps.mean_s)


def gamma(gaps: Gaps) -> Gamma:
    """Maximum likelihood: ln k − ψ(k) = ln mean(x) − mean(ln x), short gaps by their expectation."""
    logs = float(np.log(gaps.known_s / gaps.mean_s).sum())
    short, floor = gaps.short, gaps.floor_s / gaps.mean_s

    def over(shape: float) -> float:
        total = logs + short * _mean_log_below(floor, shape) if short else logs
        return math.log(shape) - digamma(shape) + total / len(gaps.each_s)

    return Gamma(1 / gaps.mean_s, 1 / math.sqrt(_root(over, 1e-4, 1e4)))


def _mean_log_below(floor: float, shape: float) -> float:
    """
    E(ln x | x < *floor*) of a gamma distribution with mean 1, for a floor of at most 1/4.

    With u = −ln(x/floor) and z = shape × floor the density of u is as exp(−shape u − z exp(−u)).
    For small z that is integrated as the series of the outer exponential; for large z, where
    only u near 0 counts, as that of the inner one up to u².
    """
    z = floor * shape
    if z > 5:
        slope = shape - z
        return math.log(floor) - (1 - 2 * z / slope**2) / slope
    term, total, weighted = 1.0, 0.0, 0.0
    for n in range(60):
        total += term / (shape + n)
        weighted += term / (shape + n) ** 2
        term *= -z / (n + 1)
    return math.log(floor) - weighted / total


def weibull(gaps: Gaps) -> Weibull:
    """
    Maximum likelihood, in θ = λ^(−k): m gaps x, and n more of which only x < c is known.

    θ solves m/θ − Σ x^k + n r = 0, and k solves m/k + Σ ln x − θ (Σ x^k ln x − n r ln c) = 0,
    with r = c^k/(exp(θ c^k) − 1).
    """
    unit_s = float(gaps.each_s.max())  # powers stay below 1
    logs = np.log(gaps.known_s / unit_s)
    known, short = len(logs), gaps.short
    floor = math.log(gaps.floor_s / unit_s) if short else 0.0
    total = float(logs.sum())

    def slope_and_theta(shape: float) -> tuple[float, float]:
        powers = np.exp(shape * logs)
        size, weighted, least = float(powers.sum()), float(powers @ logs), math.exp(shape * floor)

        def rest(theta: float) -> float:
            x = min(theta * least, 700.0)
            return short / theta * (x / math.expm1(x) if x else 1.0)

        least_theta, most_theta = known / size / 2, 2 * (known + short) / size
        theta = _root(lambda theta: known / theta - size + rest(theta), least_theta, most_theta)
        return known / shape + total - theta * (weighted - rest(theta) * floor), theta

    shape = _root(lambda shape: slope_and_theta(shape)[0], 0.1, 200)
    scale_s = unit_s * slope_and_theta(shape)[1] ** (-1 / shape)
    return Weibull(1 / (scale_s * math.gamma(1 + 1 / shape)), shape=shape)


def hyperexponential(gaps: Gaps) -> Hyperexponential:
    """
    Maximum likelihood with balanced means, by expectation–maximisation.

    A gap x is of the fast kind with probability w = p λ1 e^(−λ1 x) / (p λ1 e^(−λ1 x) + (1−p) λ2 e^(−λ2 x)).
    Given w, what is to be maximised is 2 Σw ln p + 2 Σ(1−w) ln(1−p) + n ln r − 2r (p Σwx + (1−p) Σ(1−w)x);
    so r = n / 2(p Σwx + (1−p) Σ(1−w)x), and p solves 2 Σw/p − 2 Σ(1−w)/(1−p) = n (Σwx − Σ(1−w)x) /
    (p Σwx + (1−p) Σ(1−w)x). Dempster, Laird and Rubin, Journal of the Royal Statistical Society
    B 39 (1977).
    """
    if gaps.cv <= 1:
        raise UsageError(f"gaps vary less than exponential ones (CV {gaps.cv:.3f})")
    sizes, counts = _grouped(gaps.each_s / gaps.mean_s)
    process = Hyperexponential(1.0, min(gaps.cv, 50.0))
    for _ in range(_MOST_STEPS):
        before, process = process, _likelier(process, sizes, counts)
        if abs(process.gap_cv / before.gap_cv - 1) < _CLOSE:
            break
    return Hyperexponential(process.rate_per_s / gaps.mean_s, process.gap_cv)


def _likelier(process: Hyperexponential, sizes: Floats, counts: Floats) -> Hyperexponential:
    """One step of expectation–maximisation; *counts* gaps are of about *sizes*."""
    p, fast, slow = process.phases()
    odds = (1 - p) * slow / (p * fast) * np.exp(np.minimum((fast - slow) * sizes, 700))
    shares = counts / (1 + odds)
    total, of_fast = float(counts.sum()), float(shares.sum())
    length, slow_length = float(shares @ sizes), float((counts - shares) @ sizes)

    def slope(p: float) -> float:
        tilt = total * (length - slow_length) / (p * length + (1 - p) * slow_length)
        return 2 * of_fast / p - 2 * (total - of_fast) / (1 - p) - tilt

    p = _root(slope, 0.5 + 1e-6, 1 - 1e-9)
    spread = (2 * p - 1) ** 2
    rate = total / (2 * (p * length + (1 - p) * slow_length))
    return Hyperexponential(rate, math.sqrt((1 + spread) / (1 - spread)))


def _grouped(sizes: Floats) -> tuple[Floats, Floats]:
    """Means and counts of *sizes* that are within a percent of each other: as good, and fewer."""
    positive = np.maximum(sizes, 1e-9)
    group = (np.log(positive) * 100).astype(np.int64)
    group -= group.min()
    counts = np.bincount(group).astype(float)
    sums = np.bincount(group, positive)
    used = counts > 0
    return sums[used] / counts[used], counts[used]


ESTIMATES: Final[Mapping[str, Callable[[Gaps], Poisson | Gamma | Weibull | Hyperexponential]]] = {
    "poisson": poisson,
    "gamma": gamma,
    "weibull": weibull,
    "hyperexponential": hyperexponential,
}


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Where a *decreasing* function of a positive number is 0, to a part in 1e11, by bisection."""
    if not decreasing(low) > 0 > decreasing(high):
        raise UsageError(f"the gaps have no such shape between {low:g} and {high:g}")
    while high / low > 1 + 1e-11:
        middle = math.sqrt(low * high)
        if decreasing(middle) > 0:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
