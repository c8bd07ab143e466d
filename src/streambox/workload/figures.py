"""
What arrivals look like in figures, and how far two sources are apart.

All of it is computed block by block: beside the instants themselves it takes a few MB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streambox.workload.events import Events, Int64s

    Floats = np.ndarray[Any, np.dtype[np.float64]]

TAUS_S: Final = (0.1, 1.0, 10.0, 60.0)
FEWEST_WINDOWS: Final = 10  # with fewer, variance over mean says nothing

_BLOCK: Final = 65_536
_MOST_WINDOWS: Final = 2_000_000
_SHARES: Final = 65_536
_BINS_PER_OCTAVE: Final = 256
_OCTAVES: Final = 40  # either side of the mean


class Figures(msgspec.Struct, frozen=True):
    """
    One source in figures; None where there is too little to tell, as in a source without arrivals.

    Args:
        arrivals: How many.
        functions: How many functions were called at all.
        duration_s: Of what was observed, idle time at its ends included.
        mean_per_s: ``arrivals`` / ``duration_s``.
        unit_s: The time unit of ``peak_over_mean``, ``idle_share`` and ``lag1``; whole ones count.
        peak_over_mean: The largest count of a unit over the mean one.
        idle_share: The share of units without an arrival.
        lag1: Correlation of a unit's count with the next one's.
        gap_cv: Standard deviation by mean of the times between arrivals; 1 if they are Poisson.
        idc: τ in s, and the index of dispersion: variance by mean of the counts of whole windows
            of τ; 1 if arrivals are Poisson. Only τ of which the duration holds 10.
    """

    arrivals: int
    functions: int
    duration_s: float
    mean_per_s: float | None
    unit_s: float
    peak_over_mean: float | None
    idle_share: float | None
    lag1: float | None
    gap_cv: float | None
    idc: tuple[tuple[float, float], ...]

    @property
    def burstiness(self) -> float | None:
        """(CV−1)/(CV+1): −1 for a metronome, 0 for Poisson arrivals, towards 1 for ever longer pauses."""
        return None if self.gap_cv is None else (self.gap_cv - 1) / (self.gap_cv + 1)


def figures_of(events: Events, unit_ns: int | None = None) -> Figures:
    """
    *unit_ns* None: ``usual_unit_ns``.

    Raises UsageError for a unit that is nothing, or of which there are more than 2 million.
    """
    unit_ns = usual_unit_ns(events.duration_ns) if unit_ns is None else unit_ns
    _check_unit(events, unit_ns)
    count, duration_s = len(events), events.duration_ns / NS_PER_S
    counts = whole_counts(events, unit_ns)
    lag = autocorrelation(counts, 1)
    return Figures(
        arrivals=count,
        functions=int(np.count_nonzero(_calls(events))),
        duration_s=duration_s,
        mean_per_s=count / duration_s if duration_s else None,
        unit_s=unit_ns / NS_PER_S,
        peak_over_mean=float(counts.max() / counts.mean()) if counts.any() else None,
        idle_share=float((counts == 0).mean()) if len(counts) else None,
        lag1=float(lag[0]) if len(lag) else None,
        gap_cv=gap_cv(events.instants_ns),
        idc=dispersion_curve(events, TAUS_S),
    )


def usual_unit_ns(duration_ns: int) -> int:
    """A second; a minute of what lasts for weeks, an hour of what lasts for years."""
    units_ns = (seconds * NS_PER_S for seconds in (1, 60, 3600))
    return next(unit_ns for unit_ns in units_ns if duration_ns // unit_ns <= _MOST_WINDOWS)


def whole_counts(events: Events, unit_ns: int) -> Floats:
    """The count of each whole unit of *unit_ns*; what is left at the end is left out."""
    counts = events.counts_per_unit(unit_ns)[: events.duration_ns // unit_ns]
    return counts.astype(np.float64)


def gap_cv(instants_ns: Int64s) -> float | None:
    """Standard deviation by mean of the gaps; None with fewer than two, or where all are 0."""
    gaps = len(instants_ns) - 1
    if gaps < 2 or instants_ns[0] == instants_ns[-1]:
        return None
    mean_ns = float(instants_ns[-1] - instants_ns[0]) / gaps
    square = sum(float(((part - mean_ns) ** 2).sum()) for part in _gaps(instants_ns))
    return math.sqrt(square / gaps) / mean_ns


def dispersion_curve(events: Events, taus_s: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """τ and index of dispersion, for each of *taus_s* of which the duration holds 10 to 2 million."""
    curve = []
    for tau_s in taus_s:
        tau_ns = round(tau_s * NS_PER_S)
        if tau_ns and FEWEST_WINDOWS <= events.duration_ns // tau_ns <= _MOST_WINDOWS:
            value = index_of_dispersion(whole_counts(events, tau_ns), 1)
            if value is not None:
                curve.append((tau_s, value))
    return tuple(curve)


def index_of_dispersion(pattern: Floats, units: int) -> float | None:
    """
    Variance over mean of the counts in whole, disjoint windows of *units* time units.

    1 for Poisson arrivals. None with fewer than two windows or no request.
    """
    windows = len(pattern) // units
    sums = pattern[: windows * units].reshape(windows, units).sum(axis=1)
    return float(sums.var() / sums.mean()) if windows > 1 and sums.any() else None


def autocorrelation(pattern: Floats, lags: int) -> Floats:
    """Sample autocorrelation at lags 1 … *lags*, as far as there are counts; empty for a constant pattern."""
    centred = pattern - pattern.mean() if len(pattern) else pattern
    total = float(centred @ centred)
    if total == 0:
        return np.empty(0)
    reach = min(lags, len(pattern) - 1)
    return np.array([float(centred[:-lag] @ centred[lag:]) / total for lag in range(1, reach + 1)])


# ---- how far apart -------------------------------------------------------------------------------


class Distances(msgspec.Struct, frozen=True):
    """Kolmogorov–Smirnov distances of two sources, 0 to 1; None where one has too few arrivals."""

    gaps: float | None
    shape: float | None


def distances(one: Events, other: Events) -> Distances:
    return Distances(gap_distance(one, other), shape_distance(one, other))


def gap_distance(one: Events, other: Events) -> float | None:
    """
    Of the times between arrivals, each source's divided by their mean: sup |F(x) − G(x)|.

    F and G are the shares of gaps of at most x means. They are compared at 256 x per octave, so
    that the distance comes out too small by what one step of 0.3 % holds, and rounding to
    nanoseconds does not count. None with fewer than two gaps, or none above 0.
    """
    first, second = gap_histogram(one.instants_ns), gap_histogram(other.instants_ns)
    if first is None or second is None:
        return None
    return float(np.abs(np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()).max())


def gap_histogram(instants_ns: Int64s) -> Int64s | None:
    """
    How many gaps are of each size, in means; None with fewer than two, or none above 0.

    Entry 0 counts gaps of 0, entry i those between ``gap_edges()[i-1]`` and ``gap_edges()[i]``;
    what lies beyond is in the first or last of these.
    """
    gaps = len(instants_ns) - 1
    if gaps < 2 or instants_ns[0] == instants_ns[-1]:
        return None
    mean_ns = float(instants_ns[-1] - instants_ns[0]) / gaps
    last = 2 * _OCTAVES * _BINS_PER_OCTAVE
    histogram = np.zeros(last + 1, np.int64)
    for part in _gaps(instants_ns):
        positive = part[part > 0]
        octaves = np.log2(positive / mean_ns) + _OCTAVES
        # Half a step up: gaps that are all alike lie in the middle of one, and stay there.
        entry = np.clip((octaves * _BINS_PER_OCTAVE + 0.5).astype(np.int64) + 1, 1, last)
        histogram += np.bincount(entry, minlength=last + 1)
        histogram[0] += len(part) - len(positive)
    return histogram


def gap_edges() -> Floats:
    """The bounds of ``gap_histogram``'s entries from entry 1 on, in means."""
    steps = np.arange(2 * _OCTAVES * _BINS_PER_OCTAVE + 1) - 0.5
    return np.exp2(steps / _BINS_PER_OCTAVE - _OCTAVES)


def shape_distance(one: Events, other: Events) -> float | None:
    """
    Of the rate over time, each source's duration taken as 1: sup |F(x) − G(x)|.

    F and G are the shares of arrivals in the first x of the duration: their slopes are the rates,
    each by its mean. Compared at 65,536 equal steps. None where one has no arrival.
    """
    if not len(one) or not len(other):
        return None
    return float(np.abs(_shares_before(one) - _shares_before(other)).max())


def _shares_before(events: Events) -> Floats:
    edges_ns = np.ceil(np.arange(1, _SHARES) * (events.duration_ns / _SHARES)).astype(np.int64)
    shares: Floats = np.searchsorted(events.instants_ns, edges_ns) / len(events)
    return shares


# ---- blocks --------------------------------------------------------------------------------------


def _gaps(instants_ns: Int64s) -> Iterator[Int64s]:
    for start in range(0, len(instants_ns) - 1, _BLOCK):
        yield np.diff(instants_ns[start : start + _BLOCK + 1])


def _calls(events: Events) -> Int64s:
    """How often each function was called."""
    calls = np.zeros(len(events.functions), np.int64)
    for start in range(0, len(events), _BLOCK):
        calls += np.bincount(events.function[start : start + _BLOCK], minlength=len(calls))
    return calls


def _check_unit(events: Events, unit_ns: int) -> None:
    if unit_ns < 1:
        raise UsageError(f"a time unit of {unit_ns} ns holds nothing: give at least 1 ns")
    units = events.duration_ns // unit_ns
    if units > _MOST_WINDOWS:
        raise UsageError(
            f"{events.duration_ns / NS_PER_S:g} s are {units:,} time units of {unit_ns / NS_PER_S:g} s, "
            f"the most is {_MOST_WINDOWS:,}: choose a longer one"
        )
