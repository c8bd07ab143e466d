"""Poisson arrivals whose rate changes between two values at random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from msgspec import field

from streambox.workload.arrivals import MOST_REQUESTS, NS_PER_S
from streambox.workload.parameters import RATE, RATE_OR_NONE, TIME
from streambox.workload.processes.base import Process, joined, to_instants
from streambox.workload.processes.curves import LinearPieces
from streambox.workload.processes.rate_curves import draw_along
from streambox.workload.processes.renewal import built_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.workload.events import Int64s
    from streambox.workload.processes.base import Floats

_VISITS_AT_ONCE: Final = 8192  # even: every block begins in the same state


class Mmpp2(Process, frozen=True):
    """
    A Markov-modulated Poisson process of two states: Poisson at rate λ_i while the state is i.

    The state leaves 1 at rate σ1 = ``switch12`` and 2 at rate σ2 = ``switch21``, and starts in
    its stationary distribution, π1 = σ2/(σ1+σ2). Mean rate π1 λ1 + π2 λ2.

    Formulas: Fischer and Meier-Hellstern, "The Markov-modulated Poisson process cookbook",
    Performance Evaluation 18 (1993).
    """

    name: ClassVar[str] = "mmpp2"
    rate1_per_s: float = field(name="rate1")
    rate2_per_s: float = field(name="rate2")
    switch12_per_s: float = field(name="switch12")
    switch21_per_s: float = field(name="switch21")

    def __post_init__(self) -> None:
        self._check(RATE_OR_NONE, rate1=self.rate1_per_s, rate2=self.rate2_per_s)
        if self.rate1_per_s == self.rate2_per_s == 0:
            raise self._wrong("rate1, rate2", "are both 0: give one above 0")
        self._check(RATE, switch12=self.switch12_per_s, switch21=self.switch21_per_s)

    def mean_rate_per_s(self, duration_ns: int) -> float:
        first = self._share_of_first()
        return first * self.rate1_per_s + (1 - first) * self.rate2_per_s

    def cv(self) -> float:
        """
        From E X = φ(−D0)⁻¹1 and E X² = 2φ(−D0)⁻²1.

        D0 = Q − diag(λ) is the generator without arrivals, φ = πdiag(λ)/mean the state that
        an arrival finds.
        """
        rates = np.array([self.rate1_per_s, self.rate2_per_s])
        leave = np.array([self.switch12_per_s, self.switch21_per_s])
        without = np.diag(rates + leave) - np.diag(leave)[:, ::-1]  # −D0
        first = self._share_of_first()
        found = np.array([first, 1 - first]) * rates
        once = np.linalg.solve(without, np.ones(2))
        twice = np.linalg.solve(without, once)
        moment1, moment2 = found @ once / found.sum(), 2 * (found @ twice) / found.sum()
        return math.sqrt(moment2 / moment1**2 - 1)

    def idc(self, tau_s: float) -> float:
        """1 + 2 π1 π2 (λ1−λ2)²/(σ mean) × (1 − (1 − exp(−στ))/(στ)), σ = σ1 + σ2."""
        first = self._share_of_first()
        together = self.switch12_per_s + self.switch21_per_s
        spread = first * (1 - first) * (self.rate1_per_s - self.rate2_per_s) ** 2
        limit = 2 * spread / (together * self.mean_rate_per_s(0))
        return 1 + limit * built_up(together * tau_s)

    def _share_of_first(self) -> float:
        return self.switch21_per_s / (self.switch12_per_s + self.switch21_per_s)

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        duration_s = duration_ns / NS_PER_S
        self._check_visits(duration_s)
        parts: list[Int64s] = []
        total = 0.0
        for edges_s, rates in self._path(duration_s, random):
            sums = np.concatenate(([0.0], np.cumsum(np.diff(edges_s) * rates)))
            total += float(sums[-1])
            self.check_total(total)  # the states visited may be the busier ones
            positions = random.random(int(random.poisson(sums[-1]))) * sums[-1]
            positions.sort()
            parts.append(to_instants(np.interp(positions, sums, edges_s), duration_ns))
        return joined(parts)

    def _path(self, duration_s: float, random: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
        """The states of the run, some at a time: the instants between them, and the rate in each."""
        means = np.array([1 / self.switch12_per_s, 1 / self.switch21_per_s])
        rates = np.array([self.rate1_per_s, self.rate2_per_s])
        if random.random() >= self._share_of_first():
            means, rates = means[::-1], rates[::-1]
        begin_s = 0.0
        while begin_s < duration_s:
            lengths = random.standard_exponential(_VISITS_AT_ONCE) * np.tile(means, _VISITS_AT_ONCE // 2)
            ends_s = begin_s + np.cumsum(lengths)
            edges_s = np.minimum(np.concatenate(([begin_s], ends_s)), duration_s)
            yield edges_s, np.tile(rates, _VISITS_AT_ONCE // 2)
            begin_s = float(ends_s[-1])

    def _check_visits(self, duration_s: float) -> None:
        visits = 2 * self._share_of_first() * self.switch12_per_s * duration_s
        if visits > MOST_REQUESTS:
            raise self._wrong(
                "switch12, switch21",
                f"change the state {visits:.3g} times, the most is {MOST_REQUESTS:.0e}: lower them",
            )


class OnOff(Process, frozen=True):
    """
    Poisson at rate ``on`` for a time with mean ``on_time``, then at ``off`` (0) for ``off_time``, and so on.

    ``times`` says how those vary: ``exponential`` makes it an MMPP-2 with σ1 = 1/on_time and
    σ2 = 1/off_time; ``constant`` a square wave. Either starts at a random point of its cycle.
    """

    name: ClassVar[str] = "onoff"
    on_per_s: float = field(name="on")
    on_time_s: float = field(name="on_time")
    off_time_s: float = field(name="off_time")
    off_per_s: float = field(name="off", default=0.0)
    times: Literal["exponential", "constant"] = "exponential"

    def __post_init__(self) -> None:
        self._check(RATE, on=self.on_per_s)
        self._check(TIME, on_time=self.on_time_s, off_time=self.off_time_s)
        self._check(RATE_OR_NONE, off=self.off_per_s)
        if self.times not in ("exponential", "constant"):
            raise self._wrong("times", f"are {self.times!r}: choose exponential or constant")

    def mean_rate_per_s(self, duration_ns: int) -> float:
        count = self.on_per_s * self.on_time_s + self.off_per_s * self.off_time_s
        return count / (self.on_time_s + self.off_time_s)

    def cv(self) -> float | None:
        """Of MMPP-2; with constant times a formula exists where nothing arrives in between."""
        if self.times == "exponential":
            return self._markov().cv()
        return self._cv_of_square_wave() if self.off_per_s == 0 else None

    def idc(self, tau_s: float) -> float:
        """Of MMPP-2; with constant times 1 + (on − off)² Var(time on within τ)/(mean τ)."""
        if self.times == "exponential":
            return self._markov().idc(tau_s)
        spread = (self.on_per_s - self.off_per_s) ** 2 * self._variance_of_time_on(tau_s)
        return 1 + spread / (self.mean_rate_per_s(0) * tau_s)

    def _cv_of_square_wave(self) -> float:
        """
        A gap is x + J off_time: x ~ Exp(on) on the clock of the time on, J ends of it passed.

        An arrival is uniform in its time on; so with y = x/on_time, κ = on × on_time and f
        the part of y after the point, E J = E y = 1/κ, E xJ = E x²/on_time and
        E J² = E y² + E f(1−f), where E f(1−f) = 1/κ − 2/κ² + 2/(κ(exp(κ) − 1)).
        """
        busy = self.on_per_s * self.on_time_s
        rest = 2 / (busy * math.expm1(busy)) if busy < 700 else 0.0
        variance_j = 1 / busy**2 + 1 / busy - 2 / busy**2 + rest
        ratio = self.off_time_s / self.on_time_s
        # In units of on_time: Var y + 2 ratio Cov(y, J) + ratio² Var J, by the mean (1 + ratio)/κ.
        variance = (1 + 2 * ratio) / busy**2 + ratio**2 * variance_j
        return math.sqrt(variance) * busy / (1 + ratio)

    def _variance_of_time_on(self, tau_s: float) -> float:
        """
        Of the time on within a window placed at random.

        Whole cycles add a constant. What is left, f, overlaps the time on in a trapezium of
        its position: from the least l up to the most m, flat for |on − f|, and down again.
        """
        cycle = self.on_time_s + self.off_time_s
        left = tau_s % cycle
        most, least = min(self.on_time_s, left), max(0.0, left - self.off_time_s)
        top = abs(self.on_time_s - left)
        sides = 2 * (most**3 - least**3) / 3
        square = (sides + most**2 * top + least**2 * (cycle - 2 * (most - least) - top)) / cycle
        return max(0.0, square - (self.on_time_s * left / cycle) ** 2)

    def _markov(self) -> Mmpp2:
        return Mmpp2(self.on_per_s, self.off_per_s, 1 / self.on_time_s, 1 / self.off_time_s)

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        if self.times == "exponential":
            return self._markov()._draw(duration_ns, random)
        cycle_s = self.on_time_s + self.off_time_s
        times_s = (0, self.on_time_s, self.on_time_s, cycle_s)
        rates = (self.on_per_s, self.on_per_s, self.off_per_s, self.off_per_s)
        curve = LinearPieces(times_s, rates, repeats=True)
        begin_s = random.random() * cycle_s
        low, high = curve.expected(np.array([begin_s, begin_s + duration_ns / NS_PER_S])).tolist()
        self.check_total(high - low)
        return draw_along(curve, (low, high), begin_s, duration_ns, random)
