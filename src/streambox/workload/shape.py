"""
How the rate of arrivals moves, in steps: what of a source is its shape, and what is chance.

On the axis of expected counts, Λ(t) = ∫ rate, the shape is taken out: there arrivals come at
rate 1 (operational time). What changes gaps there, and goes back, leaves the shape as it was.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from streambox.workload.events import Events, Int64s

    Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_BINS: Final = 2000
_FEWEST_PER_BIN: Final = 5  # on average
_BLOCK: Final = 65_536
_MOST_DISPERSION: Final = 1e4


class Shape(msgspec.Struct, frozen=True):
    """
    A rate that is constant in each unit, from the arrivals of *events*.

    ``edges_ns`` (U+1) bound the units: equal ones, but that the last may be cut short.
    ``before`` (U+1) is Λ at them: how many arrivals had come.
    """

    edges_ns: Floats
    before: Floats

    @classmethod
    def of(cls, events: Events, unit_ns: float) -> Shape:
        units = math.ceil(events.duration_ns / unit_ns)
        edges_ns = np.minimum(np.arange(units + 1) * float(unit_ns), events.duration_ns)
        before = np.searchsorted(events.instants_ns, np.ceil(edges_ns).astype(np.int64))
        return cls(edges_ns, before.astype(np.float64))

    def expected(self, instants_ns: Int64s) -> Floats:
        """Λ at each of *instants_ns*."""
        return np.interp(instants_ns, self.edges_ns, self.before)

    def instants_ns(self, expected: Floats) -> Int64s:
        """When Λ reaches each of *expected*; a stretch without a rate is passed over."""
        instants: Int64s = np.interp(expected, self.before, self.edges_ns).astype(np.int64)
        return instants


def best_unit_ns(events: Events) -> float:
    """
    The unit in which the rate of *events* is best told from chance: an equal part of their duration.

    Chance is what gaps vary by at an unchanging rate: their local variation says how much.
    """
    bins = best_bins(events.instants_ns, events.duration_ns, max(1.0, local_dispersion(events.instants_ns)))
    return events.duration_ns / bins


def best_bins(times: Int64s | Floats, duration: float, dispersion: float = 1.0) -> int:
    """
    How many bins estimate the rate with the least mean integrated squared error.

    The cost of a width Δ is (2 F k − v)/Δ², with k and v the mean and the (biased) variance of
    the counts: Shimazaki and Shinomoto, "A method for selecting the bin size of a time
    histogram", Neural Computation 19 (2007), with F = 1, for Poisson arrivals; Omi and
    Shinomoto, "Optimizing time histograms for non-Poissonian spike trains", Neural
    Computation 23 (2011), with F the *dispersion* of counts at an unchanging rate.
    Among 1 to MOST_BINS of 5 arrivals or more on average, in steps of 10 %.
    """
    most = max(1, min(MOST_BINS, len(times) // _FEWEST_PER_BIN))
    tried = np.unique(np.append(np.geomspace(1, most, 1 + round(math.log(most) * 10)).astype(int), most))
    costs = []
    for bins in tried.tolist():
        counts = bin_counts(times, duration, bins)
        costs.append((2 * dispersion * counts.mean() - counts.var()) * bins**2)
    return int(tried[int(np.argmin(costs))])


def bin_counts(times: Int64s | Floats, duration: float, bins: int) -> Int64s:
    """How many of the sorted *times* are in each of *bins* equal parts of *duration*."""
    edges = np.arange(1, bins) * (duration / bins)
    if times.dtype.kind == "i":
        edges = np.ceil(edges).astype(np.int64)  # else all times would be copied as floats
    before = np.searchsorted(times, edges)
    return np.diff(before, prepend=0, append=len(times)).astype(np.int64)


def local_dispersion(instants_ns: Int64s) -> float:
    """
    Variance by mean of the counts of long windows, as far as pairs of successive gaps tell.

    From the local variation, Lv = mean of 3 ((x − y)/(x + y))² over successive gaps x, y, which a
    rate that moves slowly leaves alone (Shinomoto, Shima and Tanji, Neural Computation 15,
    2003). Gamma gaps of shape k have Lv = 3/(2k + 1), and counts of variance by mean 1/k.
    1 where there is no pair to tell by.
    """
    total, pairs = 0.0, 0
    for start in range(0, len(instants_ns) - 2, _BLOCK):
        gaps = np.diff(instants_ns[start : start + _BLOCK + 2]).astype(np.float64)
        sums = gaps[1:] + gaps[:-1]
        told = sums > 0
        total += float((3 * ((gaps[1:] - gaps[:-1])[told] / sums[told]) ** 2).sum())
        pairs += int(np.count_nonzero(told))
    if not pairs:
        return 1.0
    variation = total / pairs
    return min(_MOST_DISPERSION, 2 * variation / max(3 - variation, 1e-9))
