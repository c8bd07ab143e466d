"""How late requests came that were to come at a steady rate: pure arithmetic on their arrivals."""

from __future__ import annotations

from typing import Any

import numpy as np

Int64s = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def late_ns(instants_ns: Int64s, rate_per_s: float) -> Floats:
    """
    How much later each request came than one every 1/*rate_per_s* s, the earliest of all on time.

    *instants_ns*: sorted. The i-th to come stands for the i-th that was due, whoever sent it: no other
    pairing makes them less late. A generator that falls behind for good is later and later.
    """
    offsets = instants_ns - instants_ns[0] - np.arange(len(instants_ns)) * (1e9 / rate_per_s)
    late: Floats = offsets - offsets.min(initial=0)
    return late


def late_by_own_clocks_ns(instants_ns: Int64s, connections: Int64s, rate_per_s: float, clocks: int) -> Floats:
    """
    The same where each of *clocks* connections has a clock of its own, at its share of the rate.

    Each clock is on time by itself: that several tick together is not held against them.
    """
    found = [
        late_ns(instants_ns[connections == connection], rate_per_s / clocks)
        for connection in np.unique(connections)
    ]
    return np.concatenate(found) if found else np.empty(0)
