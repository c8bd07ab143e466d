"""
Percentiles of any number of durations in a bounded room: exact of up to a million, to 0.05 % beyond.

Histograms of parts of a run, of several runs or workers, add up to that of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_EXACT: Final = 1 << 20
_BITS: Final = (
    10  # an octave has 1024 buckets: each is at most 0.1 % of its value wide, and read at its middle
)
_SHIFT: Final = 52 - _BITS  # of a float64, which has 52 bits behind its leading one
_FIRST: Final = int(np.float64(1).view(np.int64)) >> _SHIFT
_OCTAVES: Final = 48  # up to three days, in ns
_BUCKETS: Final = _OCTAVES << _BITS


class Histogram:
    """
    How many durations, in ns, fall into each of some 50,000 logarithmic buckets: 0.4 MB.

    What is below 1 ns counts as 1 ns, what is beyond three days as three days. Cost: 10 ns a value.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Int64s = np.zeros(_BUCKETS, np.int64)

    def add(self, values_ns: Int64s) -> None:
        self.counts += np.bincount(_bucket_of(values_ns), minlength=_BUCKETS)

    def merge(self, other: Histogram) -> None:
        self.counts += other.counts

    def smallest(self, numbers: Int64s) -> Floats:
        """Of all values in order those with these *numbers*, counted from 1, to within 0.05 %."""
        buckets = np.searchsorted(np.cumsum(self.counts), numbers)
        middles: Floats = (_lower_ns(buckets) + _lower_ns(buckets + 1)) / 2
        return middles


class Durations:
    """Durations, in ns, or other whole numbers from 0 on, of which the percentiles are wanted in the end."""

    __slots__ = ("_exact", "_histogram", "count", "largest", "total")

    def __init__(self) -> None:
        self._exact: list[Int64s] = []
        self._histogram: Histogram | None = None
        self.count = 0
        self.total = 0
        self.largest = 0

    def add(self, values_ns: Int64s) -> None:
        """Keeps *values_ns* as they are, if it keeps any: do not change them."""
        if not len(values_ns):
            return
        self.count += len(values_ns)
        self.total += int(values_ns.sum(dtype=np.int64))
        self.largest = max(self.largest, int(values_ns.max()))
        if self._histogram is None:
            self._exact.append(values_ns)
            if self.count <= MOST_EXACT:
                return
            self._histogram = Histogram()
            values_ns, self._exact = np.concatenate(self._exact), []
        self._histogram.add(values_ns)

    def percentiles(self, ranks: Sequence[float]) -> Floats:
        """The values at *ranks*, in 0..100, between two values in proportion. There must be one."""
        if self._histogram is None:
            found: Floats = np.percentile(np.concatenate(self._exact), ranks)
            return found
        at = np.asarray(ranks) / 100 * (self.count - 1)
        return self._histogram.smallest(np.rint(at).astype(np.int64) + 1)

    def smallest(self, number: int) -> float:
        """Of all values in order the one with this *number*, counted from 1. There must be as many."""
        if self._histogram is None:
            return float(np.partition(np.concatenate(self._exact), number - 1)[number - 1])
        return float(self._histogram.smallest(np.array([number]))[0])


def _bucket_of(values_ns: Int64s) -> Int64s:
    """
    A float64 is its exponent followed by the fraction, so that its leading bits, read as a whole
    number, count buckets that divide every octave evenly.
    """
    leading = np.maximum(values_ns, 1).astype(np.float64).view(np.int64) >> _SHIFT
    found: Int64s = np.minimum(leading - _FIRST, _BUCKETS - 1)
    return found


def _lower_ns(buckets: Int64s) -> Floats:
    """The smallest value of each bucket: that of bucket + 1 is the first one beyond it."""
    edges: Floats = ((np.asarray(buckets, np.int64) + _FIRST) << _SHIFT).view(np.float64)
    return edges
