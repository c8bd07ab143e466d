"""Logarithmic buckets for many durations at once: counts of them add up over seconds, workers and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_FRACTION: Final = 52  # bits of a float64 behind its leading one
_OCTAVES: Final = 48  # up to three days, in ns


class Buckets:
    """``count`` of them: an octave has 2**bits, each at most 1/2**bits of its value wide."""

    def __init__(self, bits: int) -> None:
        self.count = _OCTAVES << bits
        self._shift = _FRACTION - bits
        self._first = int(np.float64(1).view(np.int64)) >> self._shift

    def of(self, values_ns: Int64s) -> Int64s:
        """
        The bucket of each value; what is below 1 ns is in the first, what is beyond three days in the last.

        A float64 is its exponent followed by the fraction, so its leading bits, read as a whole
        number, count buckets that divide every octave evenly. Cost: 3 ns a value.
        """
        leading = np.maximum(values_ns, 1).astype(np.float64).view(np.int64) >> self._shift
        found: Int64s = np.minimum(leading - self._first, self.count - 1)
        return found

    def lower_ns(self, buckets: Int64s) -> Floats:
        """The smallest value of each bucket: that of bucket + 1 is the first one beyond it."""
        edges: Floats = ((np.asarray(buckets, np.int64) + self._first) << self._shift).view(np.float64)
        return edges


DRAWN: Final = Buckets(8)  # each within 0.4 %: for pictures, and where there are many histograms
TOLD: Final = Buckets(10)  # each within 0.1 %: for the percentiles that a summary tells
