"""
Rates that change with time, as expected counts and their inverse.

A Poisson process whose rate follows a curve is a Poisson process of rate 1 on the axis
of expected counts, Λ(t) = ∫ rate. So it is drawn exactly by taking sorted uniforms there
back to time: no draw is thrown away, and none is approximated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.processes.base import Floats

_STEPS_OF_NEWTON: Final = 100
_CLOSE: Final = 1e-12


class Curve(Protocol):
    def expected(self, times_s: Floats) -> Floats:
        """Λ: the expected number of arrivals from 0 to each of *times_s* >= 0."""
        ...

    def inverse(self, expected: Floats) -> Floats:
        """The times (s) by which as many arrivals as *expected* have to be expected."""
        ...


class LinearPieces:
    """
    A rate that is linear between knots; two knots at one time are a jump.

    ``times_s`` start at 0 and never decrease. After the last knot its rate holds, or,
    where the curve *repeats*, it starts again.
    """

    def __init__(self, times_s: Sequence[float], rates_per_s: Sequence[float], *, repeats: bool = False):
        self._times = np.asarray(times_s, float)
        self._rates = np.asarray(rates_per_s, float)
        lengths = np.diff(self._times)
        sizes = lengths * (self._rates[1:] + self._rates[:-1]) / 2
        self._sums = np.concatenate(([0.0], np.cumsum(sizes)))
        self._slopes = np.zeros(len(self._times))
        np.divide(np.diff(self._rates), lengths, out=self._slopes[:-1], where=lengths > 0)
        self._repeats = repeats

    def expected(self, times_s: Floats) -> Floats:
        if not self._repeats:
            return self._expected_within(times_s)
        laps, inside = np.divmod(times_s, self._times[-1])
        counts: Floats = laps * self._sums[-1] + self._expected_within(inside)
        return counts

    def inverse(self, expected: Floats) -> Floats:
        if not self._repeats:
            return self._inverse_within(expected)
        laps, inside = np.divmod(expected, self._sums[-1])
        times: Floats = laps * self._times[-1] + self._inverse_within(inside)
        return times

    def _expected_within(self, times_s: Floats) -> Floats:
        piece = self._piece(self._times, times_s)
        inside = times_s - self._times[piece]
        counts: Floats = self._sums[piece] + inside * (self._rates[piece] + self._slopes[piece] * inside / 2)
        return counts

    def _inverse_within(self, expected: Floats) -> Floats:
        """Solves rate x + slope x²/2 = rest, in the form that loses nothing where slope is small."""
        piece = self._piece(self._sums, expected)
        rest, rate = expected - self._sums[piece], self._rates[piece]
        below = rate + np.sqrt(np.maximum(0, rate**2 + 2 * self._slopes[piece] * rest))
        inside = np.divide(2 * rest, below, out=np.zeros_like(below), where=below > 0)
        times: Floats = self._times[piece] + inside
        return times

    @staticmethod
    def _piece(starts: Floats, values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        # The last piece that starts there: those of no length, or no rate, are passed over.
        return np.clip(np.searchsorted(starts, values, "right") - 1, 0, len(starts) - 1)


class SineCurve:
    """
    rate(t) = m + A sin(2πt/P), A <= m.

    Λ(t) = m t + (A P/2π) (1 − cos(2πt/P)). With F = 2πt/P + π/2 and e = A/m its inverse is
    Kepler's equation, F − e sin F = M.
    """

    def __init__(self, mean_per_s: float, amplitude_per_s: float, period_s: float):
        self._mean = mean_per_s
        self._swing = amplitude_per_s / mean_per_s
        self._turn = 2 * math.pi / period_s  # rad/s

    def expected(self, times_s: Floats) -> Floats:
        angle = self._turn * times_s
        # 1 − cos x as 2 sin²(x/2): nothing is lost near 0.
        counts: Floats = self._mean / self._turn * (angle + self._swing * 2 * np.sin(angle / 2) ** 2)
        return counts

    def inverse(self, expected: Floats) -> Floats:
        anomaly = self._turn / self._mean * expected + (math.pi / 2 - self._swing)
        laps = np.round(anomaly / (2 * math.pi))
        inside = anomaly - 2 * math.pi * laps
        angle = np.copysign(self._kepler(np.abs(inside)), inside) + 2 * math.pi * laps
        times: Floats = np.maximum(0, (angle - math.pi / 2) / self._turn)
        return times

    def _kepler(self, anomaly: Floats) -> Floats:
        """
        F in [0, π] with F − e sin F = *anomaly* in [0, π].

        There the left side is increasing and convex, and F <= anomaly + e: Newton's steps
        from that bound go down to the root and never past it.
        """
        swing = self._swing
        angle = np.minimum(math.pi, anomaly + swing)
        for _ in range(_STEPS_OF_NEWTON):
            slope = 1 - swing * np.cos(angle)
            over = angle - swing * np.sin(angle) - anomaly
            step = np.divide(over, slope, out=np.zeros_like(slope), where=slope > 0)
            angle -= step
            if np.abs(step).max(initial=0) < _CLOSE:
                break
        return angle


class DecayCurve:
    """rate(t) = b + h exp(−t/d), h and d > 0: Λ(t) = b t + h d (1 − exp(−t/d))."""

    def __init__(self, base_per_s: float, height_per_s: float, decay_s: float):
        self._base, self._height, self._decay = base_per_s, height_per_s, decay_s

    def expected(self, times_s: Floats) -> Floats:
        tail = -np.expm1(-times_s / self._decay) * self._height * self._decay
        counts: Floats = self._base * times_s + tail
        return counts

    def inverse(self, expected: Floats) -> Floats:
        """
        By Newton's steps from below; Λ is increasing and concave, so that none goes past the root.

        Both starts are bounds: Λ(t) <= (b + h) t, and Λ(t) <= b t + h d.
        """
        base, height, decay = self._base, self._height, self._decay
        times: Floats = expected / (base + height)
        if base > 0:
            times = np.maximum(times, (expected - height * decay) / base)
        for _ in range(_STEPS_OF_NEWTON):
            rate = base + height * np.exp(-times / decay)
            missing = expected - self.expected(times)
            step = np.divide(missing, rate, out=np.zeros_like(times), where=rate > 0)
            times += step
            if np.abs(step).max(initial=0) < _CLOSE * decay:
                break
        return times


class Sequel:
    """One curve until *at_s*, then another, which begins at its own 0."""

    def __init__(self, first: Curve, at_s: float, second: Curve):
        self._first, self._at, self._second = first, at_s, second
        self._sum = float(first.expected(np.array([at_s]))[0])

    def expected(self, times_s: Floats) -> Floats:
        before = self._first.expected(np.minimum(times_s, self._at))
        counts: Floats = before + self._second.expected(np.maximum(times_s - self._at, 0))
        return counts

    def inverse(self, expected: Floats) -> Floats:
        before = self._first.inverse(np.minimum(expected, self._sum))
        after = self._at + self._second.inverse(np.maximum(expected - self._sum, 0))
        times: Floats = np.where(expected < self._sum, before, after)
        return times
