"""
Percentiles of any number of durations in a bounded room: exact of up to a million, to 0.05 % beyond.

Histograms of parts of a run, of several runs or workers, add up to that of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.loadgen.buckets import TOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_EXACT: Final = 1 << 20


class Histogram:
    """
    How many durations, in ns, fall into each of some 50,000 logarithmic buckets: 0.4 MB.

    What is below 1 ns counts as 1 ns, what is beyond three days as three days. Cost: 10 ns a value.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Int64s = np.zeros(TOLD.count, np.int64)

    def add(self, values_ns: Int64s) -> None:
        self.counts += np.bincount(TOLD.of(values_ns), minlength=TOLD.count)

    def merge(self, other: Histogram) -> None:
        self.counts += other.counts

    def smallest(self, numbers: Int64s) -> Floats:
        """Of all values in order those with these *numbers*, counted from 1, to within 0.05 %."""
        buckets = np.searchsorted(np.cumsum(self.counts), numbers)
        middles: Floats = (TOLD.lower_ns(buckets) + TOLD.lower_ns(buckets + 1)) / 2
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
