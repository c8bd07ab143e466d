"""How response times are distributed: a histogram, and the percentiles up to the very last request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.loadgen.buckets import DRAWN

if TYPE_CHECKING:
    from streambox.loadgen.record import Outcomes

    Numbers = np.ndarray[Any, np.dtype[Any]]

_MOST_BARS: Final = 90
_POINTS_PER_DECADE: Final = 40


class Distribution(msgspec.Struct):
    """
    Durations, counted by logarithmic bucket: a percentile of theirs is within 0.2 %.

    Distributions of parts of a run add up to that of the run. ``least_ns`` and
    ``largest_ns`` are exact.
    """

    counts: Numbers
    least_ns: int = 1 << 62
    largest_ns: int = 0

    @classmethod
    def empty(cls) -> Distribution:
        return cls(np.zeros(DRAWN.count, np.int64))

    def add(self, values_ns: Numbers) -> None:
        self.counts += np.bincount(DRAWN.of(values_ns), minlength=DRAWN.count)
        self.least_ns = min(self.least_ns, int(values_ns.min(initial=self.least_ns)))
        self.largest_ns = max(self.largest_ns, int(values_ns.max(initial=self.largest_ns)))

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def percentiles_ms(self, shares: Numbers) -> Numbers:
        """The values that these shares, in 0..1, do not exceed; NaN where there is no value."""
        # A share that is a whole number of values is just that number, whatever rounding makes of it.
        return self.ranked_ms(np.ceil(np.asarray(shares) * self.total - 1e-6))

    def ranked_ms(self, ranks: Numbers) -> Numbers:
        """The values at these places in their order, from 1 (the least) on; NaN where there is no value."""
        below = np.cumsum(self.counts)
        if not below[-1]:
            return np.full(len(ranks), np.nan)
        ranks = np.clip(ranks, 1, below[-1])
        buckets = np.searchsorted(below, ranks)
        counts = self.counts[buckets]
        into = (ranks - below[buckets] + counts - 0.5) / counts  # as if they lay evenly in their bucket
        values_ns = DRAWN.lower_ns(buckets) * (1 - into) + DRAWN.lower_ns(buckets + 1) * into
        values_ns[ranks == below[-1]] = self.largest_ns
        found: Numbers = np.clip(values_ns, self.least_ns, self.largest_ns) / 1e6
        return found

    def bars(self) -> tuple[Numbers, Numbers]:
        """
        At most 90 bars of equal width on a logarithmic axis: n + 1 edges, in ms, and n counts.

        There are fewer where the values are close together: no bar is narrower than a bucket.
        """
        filled = np.flatnonzero(self.counts)
        if not len(filled):
            return np.zeros(1), np.zeros(0, np.int64)
        first, last = int(filled[0]), int(filled[-1])
        width = -(-(last - first + 1) // _MOST_BARS)
        # Whole multiples of the width: the bars of two runs stand at the same places.
        edges = np.arange(first // width, last // width + 2) * width
        counts = np.add.reduceat(np.pad(self.counts, (0, width)), edges[:-1])
        return DRAWN.lower_ns(edges) / 1e6, counts


class Tail(msgspec.Struct, frozen=True):
    """A curve, from the least value to the largest: one in ``one_in[i]`` of them is ``ms[i]`` or more."""

    one_in: Numbers
    ms: Numbers

    @classmethod
    def of(cls, distribution: Distribution) -> Tail:
        total = distribution.total
        if not total:
            return cls(np.empty(0), np.empty(0))
        one_in = np.geomspace(1, total, int(np.log10(total) * _POINTS_PER_DECADE) + 2)
        return cls(one_in, distribution.ranked_ms(total + 1 - np.maximum(np.round(total / one_in), 1)))


class Responses(msgspec.Struct, frozen=True):
    """Response times of all completed requests, counted from both instants."""

    intended: Distribution
    sent: Distribution

    @classmethod
    def of(cls, outcomes: Outcomes) -> Responses:
        """Reads a part at a time: what it takes does not grow with the number of *outcomes*."""
        found = cls(Distribution.empty(), Distribution.empty())
        for some in outcomes.in_parts():
            found.intended.add(some.response_ns)
            found.sent.add(some.since_sent_ns(some.done_ns))
        return found
