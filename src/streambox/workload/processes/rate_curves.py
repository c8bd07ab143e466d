"""
Non-homogeneous Poisson processes: independent arrivals at a rate that follows a curve.

The number of arrivals between s and t is Poisson with mean Λ(t) − Λ(s), Λ = ∫ rate; see
``curves`` for how it is drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from msgspec import field

from streambox.workload.arrivals import NS_PER_S
from streambox.workload.parameters import RATE, RATE_OR_NONE, TIME, TIME_OR_NONE
from streambox.workload.processes.base import BLOCK, Process, to_instants
from streambox.workload.processes.curves import DecayCurve, LinearPieces, Sequel, SineCurve

if TYPE_CHECKING:
    from streambox.workload.events import Int64s
    from streambox.workload.processes.curves import Curve

# Relative levels at each hour, and of each day from Monday: a working day's shape, made up.
HOURS: Final = (
    *(0.55, 0.42, 0.34, 0.30, 0.29, 0.32, 0.42, 0.60, 0.85, 1.10, 1.27, 1.35),
    *(1.36, 1.38, 1.40, 1.40, 1.37, 1.32, 1.28, 1.30, 1.32, 1.25, 1.03, 0.77),
)
DAYS: Final = (1.0, 1.05, 1.05, 1.05, 1.0, 0.7, 0.6)
_DAY_S: Final = 86_400.0
_MOST_LEVELS: Final = 100_000


class RateCurve(Process, frozen=True):
    """A Poisson process along a curve; a subclass says which."""

    def curve(self, duration_s: float) -> Curve:
        """The rate from the curve's own 0 on, in a run of *duration_s*."""
        raise NotImplementedError

    def begins_s(self) -> float:
        """Where on its curve the run begins."""
        return 0.0

    def mean_rate_per_s(self, duration_ns: int) -> float:
        low, high = self._span(self.curve(duration_ns / NS_PER_S), duration_ns)
        return (high - low) / duration_ns * NS_PER_S

    def _span(self, curve: Curve, duration_ns: int) -> tuple[float, float]:
        """The expected counts at which the run begins and ends."""
        begin_s = self.begins_s()
        low, high = curve.expected(np.array([begin_s, begin_s + duration_ns / NS_PER_S])).tolist()
        return low, high

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        curve = self.curve(duration_ns / NS_PER_S)
        low, high = self._span(curve, duration_ns)
        return draw_along(curve, (low, high), self.begins_s(), duration_ns, random)


def draw_along(
    curve: Curve, span: tuple[float, float], begin_s: float, duration_ns: int, random: np.random.Generator
) -> Int64s:
    """Arrivals between the expected counts of *span*, from *begin_s* on; at most BLOCK inverted at once."""
    low, high = span
    positions = random.random(int(random.poisson(high - low)))
    positions.sort()
    instants = np.empty(len(positions), np.int64)
    for start in range(0, len(positions), BLOCK):
        part = slice(start, start + BLOCK)
        times_s = curve.inverse(low + positions[part] * (high - low)) - begin_s
        instants[part] = to_instants(times_s, duration_ns)
    # Rounding may swap two that are less than a nanosecond apart.
    np.maximum.accumulate(instants, out=instants)
    return instants


# ---- of limited length ---------------------------------------------------------------------------


class Ramp(RateCurve, frozen=True):
    """rate(t) = from + (to − from) t/over, then ``to``; without ``over`` the ramp takes the whole run."""

    name: ClassVar[str] = "ramp"
    from_per_s: float = field(name="from")
    to_per_s: float = field(name="to")
    over_s: float | None = field(name="over", default=None)

    def __post_init__(self) -> None:
        self._check(RATE_OR_NONE, from_=self.from_per_s, to=self.to_per_s)
        if self.from_per_s == self.to_per_s == 0:
            raise self._wrong("from, to", "are both 0: give one above 0")
        if self.over_s is not None:
            self._check(TIME, over=self.over_s)

    def curve(self, duration_s: float) -> Curve:
        over_s = duration_s if self.over_s is None else self.over_s
        return LinearPieces((0, over_s), (self.from_per_s, self.to_per_s))


class Steps(RateCurve, frozen=True):
    """rate(t) = r_i for d_i s each, ``levels`` = (r_1, d_1), (r_2, d_2), …; the last one then holds."""

    name: ClassVar[str] = "steps"
    levels: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.levels) <= _MOST_LEVELS:
            raise self._wrong("levels", f"are {len(self.levels)}: give 1 to {_MOST_LEVELS}")
        for rate_per_s, length_s in self.levels:
            self._check(RATE_OR_NONE, levels=rate_per_s)
            self._check(TIME, levels=length_s)
        if not any(rate_per_s for rate_per_s, _ in self.levels):
            raise self._wrong("levels", "are all 0: give one above 0")

    def curve(self, duration_s: float) -> Curve:
        rates, lengths = np.array(self.levels).T
        edges = np.concatenate(([0], np.cumsum(lengths)))
        return LinearPieces(np.repeat(edges, 2)[1:-1].tolist(), np.repeat(rates, 2).tolist())


class Spike(RateCurve, frozen=True):
    """
    rate(t) = base until ``at``, spike for ``width``, then base + (spike − base) exp(−t'/decay).

    t' counts from the spike's end; a decay of 0 (the default) falls at once.
    """

    name: ClassVar[str] = "spike"
    base_per_s: float = field(name="base")
    spike_per_s: float = field(name="spike")
    at_s: float = field(name="at")
    width_s: float = field(name="width")
    decay_s: float = field(name="decay", default=0.0)

    def __post_init__(self) -> None:
        self._check(RATE_OR_NONE, base=self.base_per_s)
        self._check(RATE, spike=self.spike_per_s)
        self._check(TIME_OR_NONE, at=self.at_s, width=self.width_s, decay=self.decay_s)
        if self.spike_per_s < self.base_per_s:
            raise self._wrong("spike", f"is {self.spike_per_s:g}/s, below base: give a higher rate")
        if self.width_s == self.decay_s == 0:
            raise self._wrong("width, decay", "are both 0: give one above 0")

    def curve(self, duration_s: float) -> Curve:
        base, spike, end_s = self.base_per_s, self.spike_per_s, self.at_s + self.width_s
        times_s = (0, self.at_s, self.at_s, end_s, end_s)
        flat = LinearPieces(times_s, (base, base, spike, spike, base))
        if not self.decay_s or base == spike:
            return flat
        return Sequel(flat, end_s, DecayCurve(base, spike - base, self.decay_s))


# ---- periodic ------------------------------------------------------------------------------------


class Sine(RateCurve, frozen=True):
    """rate(t) = mean + amplitude sin(2πt/period), amplitude <= mean."""

    name: ClassVar[str] = "sine"
    mean_per_s: float = field(name="mean")
    amplitude_per_s: float = field(name="amplitude")
    period_s: float = field(name="period")

    def __post_init__(self) -> None:
        self._check(RATE, mean=self.mean_per_s)
        self._check(RATE_OR_NONE, amplitude=self.amplitude_per_s)
        self._check(TIME, period=self.period_s)
        if self.amplitude_per_s > self.mean_per_s:
            raise self._wrong(
                "amplitude", f"is {self.amplitude_per_s:g}/s, above mean: rates would be negative"
            )

    def curve(self, duration_s: float) -> Curve:
        return SineCurve(self.mean_per_s, self.amplitude_per_s, self.period_s)

    def cv(self) -> float:
        """√(2/√(1 − (amplitude/mean)²) − 1), over whole periods of many arrivals each."""
        swing = self.amplitude_per_s / self.mean_per_s
        return math.sqrt(2 / math.sqrt(1 - swing**2) - 1) if swing < 1 else math.inf

    def idc(self, tau_s: float) -> float:
        """
        1 + amplitude² τ sinc²(τ/period) / (2 mean), over whole periods.

        A window's own mean is mean τ + amplitude τ sinc(τ/period) sin(phase); sinc x = sin(πx)/(πx).
        """
        share = float(np.sinc(tau_s / self.period_s))
        return 1 + (self.amplitude_per_s * share) ** 2 * tau_s / (2 * self.mean_per_s)


class Diurnal(RateCurve, frozen=True):
    """
    A day's shape: rate(t) = rate × h(t)/mean h, h linear between 24 ``hours``, day after day.

    ``rate`` is the mean over a whole day. ``start`` is the time of day at which the run
    begins; ``day`` is how long a day takes, so that one can be run in minutes.
    """

    name: ClassVar[str] = "diurnal"
    rate_per_s: float = field(name="rate")
    hours: tuple[float, ...] = HOURS
    start_s: float = field(name="start", default=0.0)
    day_s: float = field(name="day", default=_DAY_S)

    def __post_init__(self) -> None:
        self._check(RATE, rate=self.rate_per_s)
        self._check(TIME_OR_NONE, start=self.start_s)
        self._check(TIME, day=self.day_s)
        self._check_shape("hours", self.hours, 24)

    def curve(self, duration_s: float) -> Curve:
        return _periodic(np.array(self.hours), self.rate_per_s, self.day_s)

    def begins_s(self) -> float:
        return self.start_s % self.day_s

    def _check_shape(self, parameter: str, levels: tuple[float, ...], count: int) -> None:
        if len(levels) != count:
            raise self._wrong(parameter, f"are {len(levels)} numbers: give {count}")
        self._check(RATE_OR_NONE._replace(unit=""), **{parameter: min(levels)})
        self._check(RATE_OR_NONE._replace(unit=""), **{parameter: sum(levels)})
        if not any(levels):
            raise self._wrong(parameter, "are all 0: give one above 0")


class Weekly(Diurnal, frozen=True):
    """
    A week's shape: rate(t) = rate × w(t)/mean w, w linear between ``hours`` × ``days``, from Monday on.

    ``rate`` is the mean over a whole week. ``start`` counts from Monday 0:00; ``day`` is how
    long a day takes.
    """

    name: ClassVar[str] = "weekly"
    days: tuple[float, ...] = DAYS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shape("days", self.days, 7)

    def curve(self, duration_s: float) -> Curve:
        return _periodic(np.outer(self.days, self.hours).ravel(), self.rate_per_s, 7 * self.day_s)

    def begins_s(self) -> float:
        return self.start_s % (7 * self.day_s)


def _periodic(
    levels: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rate: float, period_s: float
) -> Curve:
    """Linear between *levels* at equal steps of the period, and from the last to the first."""
    times_s = np.linspace(0, period_s, len(levels) + 1)
    rates = np.append(levels, levels[0]) * (rate / levels.mean())
    return LinearPieces(times_s.tolist(), rates.tolist(), repeats=True)
