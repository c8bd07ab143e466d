"""
Renewal processes: independent gaps of one distribution, given by the rate and the CV of the gaps.

All but the constant one are stationary: the run starts in the middle of a gap, as an
observer who looks at any time would find it, so that the expected count of a window is
rate × length from the first window on. The rest of that gap has density (1 − F(x))/mean,
which is drawn exactly as U × L, with U uniform and L a gap chosen in proportion to its
length (Cox, Renewal Theory, 1962, sections 2.2 and 5.4).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from msgspec import field

from streambox.workload.arrivals import NS_PER_S, arrivals_at_rate
from streambox.workload.parameters import RATE, Range
from streambox.workload.processes.base import Process, joined, to_instants
from streambox.workload.processes.special import by_quantiles, gamma_cdf

if TYPE_CHECKING:
    from streambox.workload.events import Int64s
    from streambox.workload.processes.base import Floats

CV: Final = Range(0.01, 100, closed=True)
SHAPE: Final = Range(0.1, 200, closed=True)
_GAPS_AT_ONCE: Final = 8192  # fixed, so that a longer run begins with the shorter one


class Constant(Process, frozen=True):
    """One arrival every 1/rate, the first at 0: a_k = k/rate."""

    name: ClassVar[str] = "constant"
    rate_per_s: float = field(name="rate")

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)

    def mean_rate_per_s(self, duration_ns: int) -> float:
        return self.rate_per_s

    def cv(self) -> float:
        return 0.0

    def idc(self, tau_s: float) -> float:
        """The limit for long windows."""
        return 0.0

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        instants = arrivals_at_rate(self.rate_per_s, duration_ns, "constant", random)
        return instants[: np.searchsorted(instants, duration_ns)]


class Poisson(Process, frozen=True):
    """Independent exponential gaps: F(x) = 1 − exp(−rate x); the count of any window is Poisson."""

    name: ClassVar[str] = "poisson"
    rate_per_s: float = field(name="rate")

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)

    def mean_rate_per_s(self, duration_ns: int) -> float:
        return self.rate_per_s

    def cv(self) -> float:
        return 1.0

    def idc(self, tau_s: float) -> float:
        return 1.0

    def gap_cdf(self, gaps_s: Floats) -> Floats:
        return -np.expm1(-self.rate_per_s * gaps_s)

    def log_gap_density(self, gaps_s: Floats) -> Floats:
        return math.log(self.rate_per_s) - self.rate_per_s * gaps_s

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        return arrivals_at_rate(self.rate_per_s, duration_ns, "poisson", random)


class Renewal(Process, frozen=True):
    """A stationary renewal process; a subclass draws its gaps."""

    rate_per_s: float = field(name="rate")

    def mean_rate_per_s(self, duration_ns: int) -> float:
        return self.rate_per_s

    def cv(self) -> float:
        raise NotImplementedError

    def idc(self, tau_s: float) -> float:
        """The limit for windows of many gaps, CV²."""
        return self.cv() ** 2

    def gap_cdf(self, gaps_s: Floats) -> Floats:
        """The share of gaps up to each of *gaps_s*."""
        raise NotImplementedError

    def log_gap_density(self, gaps_s: Floats) -> Floats:
        """Of gaps above 0, per s."""
        raise NotImplementedError

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        begin_s = self._long_gap_s(random) * random.random()
        parts: list[Int64s] = []
        total = 0
        while begin_s * NS_PER_S < duration_ns:
            ends_s = begin_s + np.cumsum(self._gaps_s(_GAPS_AT_ONCE, random))
            times_s = np.concatenate(([begin_s], ends_s[:-1]))
            inside = times_s[: np.searchsorted(times_s, duration_ns / NS_PER_S)]
            parts.append(to_instants(inside, duration_ns))
            total += len(inside)
            self.check_total(total)
            begin_s = float(ends_s[-1])
        return joined(parts)

    def _gaps_s(self, count: int, random: np.random.Generator) -> Floats:
        """Independent gaps."""
        raise NotImplementedError

    def _long_gap_s(self, random: np.random.Generator) -> float:
        """One gap chosen in proportion to its length: density x f(x)/mean."""
        raise NotImplementedError


class Gamma(Renewal, frozen=True):
    """
    Gaps of a gamma distribution, f(x) = x^(k−1) exp(−x/θ) / (Γ(k) θ^k), k = 1/CV², θ = CV²/rate.

    CV above 1 gives clusters, below 1 regularity, 1 a Poisson process. A gap chosen by
    its length is gamma too, with shape k + 1.
    """

    name: ClassVar[str] = "gamma"
    gap_cv: float = field(name="cv")

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)
        self._check(CV, cv=self.gap_cv)

    def cv(self) -> float:
        return self.gap_cv

    def gap_cdf(self, gaps_s: Floats) -> Floats:
        shape, scale_s = self._shape_and_scale_s()
        return by_quantiles(lambda knots_s: gamma_cdf(shape, knots_s / scale_s), gaps_s)

    def log_gap_density(self, gaps_s: Floats) -> Floats:
        shape, scale_s = self._shape_and_scale_s()
        scaled = gaps_s / scale_s
        density: Floats = (shape - 1) * np.log(scaled) - scaled
        return density - (math.lgamma(shape) + math.log(scale_s))

    def _shape_and_scale_s(self) -> tuple[float, float]:
        squared = self.gap_cv**2
        return 1 / squared, squared / self.rate_per_s

    def _gaps_s(self, count: int, random: np.random.Generator) -> Floats:
        shape, scale_s = self._shape_and_scale_s()
        return random.gamma(shape, scale_s, count)

    def _long_gap_s(self, random: np.random.Generator) -> float:
        shape, scale_s = self._shape_and_scale_s()
        return random.gamma(1 + shape, scale_s)


class Weibull(Renewal, frozen=True):
    """
    Gaps of a Weibull distribution, F(x) = 1 − exp(−(x/λ)^k), mean λ Γ(1 + 1/k) = 1/rate.

    Give its shape k, or the CV: CV² = Γ(1 + 2/k)/Γ(1 + 1/k)² − 1. A gap chosen by its
    length is λ G^(1/k), with G of a gamma distribution of shape 1 + 1/k.
    """

    name: ClassVar[str] = "weibull"
    gap_cv: float | None = field(name="cv", default=None)
    shape: float | None = None

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)
        if (self.gap_cv is None) == (self.shape is None):
            raise self._wrong("cv, shape", "say the same thing: give one of them")
        if self.gap_cv is not None:
            self._check(CV, cv=self.gap_cv)
        if self.shape is not None:
            self._check(SHAPE, shape=self.shape)

    def cv(self) -> float:
        return self.gap_cv if self.gap_cv is not None else weibull_cv(self.k())

    def k(self) -> float:
        """The shape."""
        return self.shape if self.shape is not None else weibull_shape(self.cv())

    def scale_s(self) -> float:
        """λ: the gap that a share of 1/e exceeds."""
        return 1 / (self.rate_per_s * math.gamma(1 + 1 / self.k()))

    def gap_cdf(self, gaps_s: Floats) -> Floats:
        cdf: Floats = -np.expm1(-((gaps_s / self.scale_s()) ** self.k()))
        return cdf

    def log_gap_density(self, gaps_s: Floats) -> Floats:
        shape, scale_s = self.k(), self.scale_s()
        logs = np.log(gaps_s / scale_s)
        density: Floats = math.log(shape / scale_s) + (shape - 1) * logs - np.exp(shape * logs)
        return density

    def _gaps_s(self, count: int, random: np.random.Generator) -> Floats:
        return self.scale_s() * random.weibull(self.k(), count)

    def _long_gap_s(self, random: np.random.Generator) -> float:
        inverse = 1 / self.k()
        return float(self.scale_s() * random.gamma(1 + inverse) ** inverse)


class Hyperexponential(Renewal, frozen=True):
    """
    H2 with balanced means: a gap is Exp(λ1) with probability p, else Exp(λ2).

    p = (1 + √((CV²−1)/(CV²+1)))/2, λ1 = 2p rate, λ2 = 2(1−p) rate, so that p/λ1 = (1−p)/λ2:
    a gap chosen by its length is of either kind with probability 1/2.
    """

    name: ClassVar[str] = "hyperexponential"
    gap_cv: float = field(name="cv")

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)
        self._check(Range(1, CV.high), cv=self.gap_cv)

    def cv(self) -> float:
        return self.gap_cv

    def idc(self, tau_s: float) -> float:
        """
        1 + (CV²−1) (1 − (1 − exp(−γτ))/(γτ)), γ = p λ2 + (1−p) λ1.

        From Var N(τ) = rate τ + 2 rate ∫ (m(u) − rate u) du with the renewal function
        m(u) = rate u + (CV²−1)/2 (1 − exp(−γu)).
        """
        p, fast, slow = self.phases()
        reach = (p * slow + (1 - p) * fast) * tau_s
        return 1 + (self.gap_cv**2 - 1) * built_up(reach)

    def phases(self) -> tuple[float, float, float]:
        """p, λ1, λ2 (per s)."""
        squared = self.gap_cv**2
        p = (1 + math.sqrt((squared - 1) / (squared + 1))) / 2
        return p, 2 * p * self.rate_per_s, 2 * (1 - p) * self.rate_per_s

    def gap_cdf(self, gaps_s: Floats) -> Floats:
        p, fast, slow = self.phases()
        return -p * np.expm1(-fast * gaps_s) - (1 - p) * np.expm1(-slow * gaps_s)

    def log_gap_density(self, gaps_s: Floats) -> Floats:
        p, fast, slow = self.phases()
        slow_log = math.log((1 - p) * slow) - slow * gaps_s  # the larger one in the tail
        density: Floats = slow_log + np.log1p(p * fast / ((1 - p) * slow) * np.exp((slow - fast) * gaps_s))
        return density

    def _gaps_s(self, count: int, random: np.random.Generator) -> Floats:
        p, fast, slow = self.phases()
        gaps: Floats = random.standard_exponential(count)
        gaps /= np.where(random.random(count) < p, fast, slow)
        return gaps

    def _long_gap_s(self, random: np.random.Generator) -> float:
        # A gap of an exponential phase, chosen by its length, has a gamma distribution of shape 2.
        _, fast, slow = self.phases()
        return random.gamma(2) / (fast if random.random() < 0.5 else slow)


def built_up(reach: float) -> float:
    """
    1 − (1 − exp(−x))/x, from 0 at x = 0 to 1.

    How far the variance of counts has got towards its limit in a window x times as long
    as correlations last, where they decay exponentially.
    """
    if reach < 1e-4:
        return reach / 2
    return 1 + math.expm1(-reach) / reach


def weibull_cv(shape: float) -> float:
    return math.sqrt(math.expm1(math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)))


def weibull_shape(cv: float) -> float:
    """The shape with which a Weibull distribution has that *cv* of 0.01 to 100, by bisection."""
    low, high = 0.05, 1000.0  # CVs of 3e5 and 0.0013
    while high / low > 1 + 1e-14:
        middle = math.sqrt(low * high)
        if weibull_cv(middle) > cv:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
