"""Transforms that draw arrivals anew, to keep or change what matters of them: thumbnail, cv."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from msgspec import field

from streambox.units import format_duration
from streambox.workload.arrivals import NS_PER_S
from streambox.workload.events import Events
from streambox.workload.parameters import RATE, TIME, Range
from streambox.workload.shape import Shape, best_unit_ns
from streambox.workload.transforms.base import (
    Promise,
    Transform,
    duration,
    in_order,
    mean_per_s,
    mean_rate,
    same_arrivals,
    same_shape,
    to_ns,
)

if TYPE_CHECKING:
    from streambox.workload.events import Int64s

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_CV: Final = Range(0, 100)
_FEWEST_UNITS: Final = 60  # minutes are coarse for what lasts less than an hour
_GENTLEST: Final = 1e-3  # powers of gaps
_SHARPEST: Final = 1e3


class Thumbnail(Transform, frozen=True):
    """
    The whole in ``to``, such as a day in ten minutes: what a ``unit`` counted, a shorter unit counts.

    The mean becomes ``rate``, or the busiest unit's rate ``peak``; with neither the mean stays as
    it was. Counts are rounded so that the sum over any stretch of units is right to one
    arrival; within a unit, arrivals are a Poisson process given their number.

    Keeps: the shape of counts per unit, of all functions together exactly, and so their peak over
    mean; of each function, and its share of all, on average.
    Changes: the duration, the rate, and all that is faster than a unit: it becomes Poisson.

    The idea is that of the thumbnails of FaaSRail (Katsakioris et al., "FaaSRail: Employing Real
    Workloads to Generate Representative Load for Serverless Research", HPDC 2024).
    ``unit`` is a minute, or, of what lasts less than an hour, a second.
    """

    name: ClassVar[str] = "thumbnail"
    to_s: float = field(name="to")
    rate_per_s: float | None = field(name="rate", default=None)
    peak_per_s: float | None = field(name="peak", default=None)
    unit_s: float | None = field(name="unit", default=None)

    def __post_init__(self) -> None:
        self._check(TIME, to=self.to_s)
        if not to_ns(self.to_s):
            raise self._wrong("to", f"is {self.to_s:g} s: give at least 1 ns")
        for parameter, value in (("rate", self.rate_per_s), ("peak", self.peak_per_s)):
            if value is not None:
                self._check(RATE, **{parameter: value})
        if self.rate_per_s is not None and self.peak_per_s is not None:
            raise self._wrong("rate, peak", "exclude each other: give one of them")
        if self.unit_s is not None:
            self._check(TIME, unit=self.unit_s)

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        to_whole_ns = self._to_ns(events)
        if not len(events):
            return Events(events.instants_ns, events.function, events.functions, to_whole_ns)
        unit_ns, factor = self._unit_ns(events), self._factor(events)
        self._check_total(factor * len(events))
        unit = events.instants_ns // unit_ns
        order = np.lexsort((events.function, unit)) if len(events.functions) > 1 else slice(None)
        times = _rounded(len(events), factor, random)
        unit, function = np.repeat(unit[order], times), np.repeat(events.function[order], times)
        # Drawn in the source's time, where the last unit may be cut short, and then shrunk.
        length_ns = np.minimum(unit_ns, events.duration_ns - unit * unit_ns)
        drawn_ns = unit * unit_ns + random.random(len(unit)) * length_ns
        instants_ns = (drawn_ns * (to_whole_ns / events.duration_ns)).astype(np.int64)
        np.minimum(instants_ns, to_whole_ns - 1, out=instants_ns)
        return in_order(instants_ns, function, events.functions, to_whole_ns)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        kept = (duration(self.to_s * NS_PER_S, after), *same_shape(before, after))
        if not len(before):
            return kept
        if self.peak_per_s is not None:
            unit_ns = self._unit_ns(before) * self.to_s * NS_PER_S / before.duration_ns
            peak = after.counts_per_unit(max(1, round(unit_ns))).max(initial=0) / unit_ns * NS_PER_S
            return (Promise("peak rate", self.peak_per_s, float(peak), "/s"), *kept)
        expected = mean_per_s(before) if self.rate_per_s is None else self.rate_per_s
        return (mean_rate(expected, after), *kept)

    def _factor(self, events: Events) -> float:
        """On the number of arrivals."""
        if self.peak_per_s is not None:
            unit_ns = self._unit_ns(events)
            peak = int(events.counts_per_unit(unit_ns).max())
            return self.peak_per_s * unit_ns / events.duration_ns * self.to_s / peak
        rate_per_s = mean_per_s(events) if self.rate_per_s is None else self.rate_per_s
        return rate_per_s * self.to_s / len(events)

    def _to_ns(self, events: Events) -> int:
        to_whole_ns = to_ns(self.to_s)
        if to_whole_ns > events.duration_ns:
            lasts = format_duration(events.duration_ns)
            raise self._wrong(
                "to", f"is {self.to_s:g} s, but the source lasts for {lasts}: ask for less, or warp it"
            )
        return to_whole_ns

    def _unit_ns(self, events: Events) -> int:
        if self.unit_s is not None:
            return self._given_unit_ns(self.unit_s, events)
        minute_ns = 60 * NS_PER_S
        return minute_ns if events.duration_ns >= _FEWEST_UNITS * minute_ns else NS_PER_S


class GapCv(Transform, frozen=True):
    """
    Gaps that vary as ``cv`` says, by their standard deviation over their mean.

    In operational time, where the rate's shape is taken out (``shape``), each gap g becomes c g^b:
    b so that the CV is right, c so that the last arrival stays where it was. That keeps the
    order of gaps by size, and makes Weibull gaps, exponential ones among them, Weibull gaps again.

    Keeps: the number and sequence of arrivals, the first and the last instant, which gaps are longer
    than which, so that runs of short ones stay runs; the rate's shape in units of ``unit``, in
    expectation: the more gaps vary the further counts are from what is expected.
    Changes: the CV of gaps, burstiness, the index of dispersion (towards cv², if gaps are
    independent). Of a source whose rate moves, the CV of gaps in plain time is larger than ``cv``.

    Without ``unit`` it is the one in which the rate is best told from chance (``best_unit_ns``).
    """

    name: ClassVar[str] = "cv"
    cv: float
    unit_s: float | None = field(name="unit", default=None)

    def __post_init__(self) -> None:
        self._check(_CV, cv=self.cv)
        if self.unit_s is not None:
            self._check(TIME, unit=self.unit_s)

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        if len(events) < 3 or events.instants_ns[0] == events.instants_ns[-1]:
            return events
        shape = self._shape(events)
        expected = shape.expected(events.instants_ns)
        gaps = self._with_cv(np.diff(expected))
        moved = expected[0] + np.concatenate(([0.0], np.cumsum(gaps)))
        np.minimum(moved, expected[-1], out=moved)
        instants_ns = shape.instants_ns(moved)
        instants_ns[0], instants_ns[-1] = events.instants_ns[0], events.instants_ns[-1]
        np.clip(instants_ns, instants_ns[0], instants_ns[-1], out=instants_ns)
        return Events(instants_ns, events.function, events.functions, events.duration_ns)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        kept = [same_arrivals(before, after)]
        if len(before) > 2 and before.instants_ns[0] != before.instants_ns[-1]:
            gaps = np.diff(self._shape(before).expected(after.instants_ns))
            kept.append(Promise("CV of gaps, shape taken out", self.cv, float(gaps.std() / gaps.mean())))
        return (*kept, *same_shape(before, after))

    def _shape(self, events: Events) -> Shape:
        if self.unit_s is None:
            return Shape.of(events, best_unit_ns(events))
        return Shape.of(events, self._given_unit_ns(self.unit_s, events))

    def _with_cv(self, gaps: Floats) -> Floats:
        """*gaps*, each to the power that makes their CV right, with the same sum. Raises UsageError."""
        # A gap of 0 is one too short for the clock: half of the shortest that it shows.
        known = np.maximum(gaps, gaps[gaps > 0].min() / 2)
        logs = np.log(known / known.max())  # powers stay below 1

        def powered(power: float) -> Floats:
            values: Floats = np.exp(power * logs)
            return values

        def cv(power: float) -> float:
            values = powered(power)
            return float(values.std() / values.mean())

        low, high = _GENTLEST, _SHARPEST
        if not cv(low) < self.cv < cv(high):
            reach = f"from {cv(low):.3g} to {cv(high):.3g}"
            raise self._wrong("cv", f"is {self.cv:g}, and no power of these gaps has it: they reach {reach}")
        while high / low > 1 + 1e-9:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if cv(middle) < self.cv else (low, middle)
        found = powered(low)
        found *= gaps.sum() / found.sum()
        return found


def _rounded(count: int, factor: float, random: np.random.Generator) -> Int64s:
    """
    How often each of *count* things in a row is taken, *factor* times on average.

    Systematic sampling: of any stretch of the row, as many as that is expected to have, to one.
    """
    steps = np.floor(np.arange(count + 1) * factor + random.random())
    times: Int64s = np.diff(steps).astype(np.int64)
    return times
