"""How fast requests arrive, from a count that is kept anyway. Pure."""

from __future__ import annotations

import math
from typing import Final

_MEMORY_NS: Final = 1_000_000_000  # what is older than a second fades
_SHORTEST_NS: Final = 1_000_000


class ArrivalRate:
    """
    An exponentially weighted mean over about the last second.

    Nothing per request: it looks at the *total* so far whenever somebody wants to know.
    """

    __slots__ = ("_last_ns", "_rate", "_total")

    def __init__(self, now_ns: int) -> None:
        self._last_ns = now_ns
        self._total = 0
        self._rate = 0.0

    def per_ns(self, total: int, now_ns: int) -> float:
        """Arrivals per ns, where *total* have come by *now_ns*."""
        passed_ns = now_ns - self._last_ns
        if passed_ns >= _SHORTEST_NS:
            fresh = -math.expm1(-passed_ns / _MEMORY_NS)
            self._rate += fresh * ((total - self._total) / passed_ns - self._rate)
            self._last_ns, self._total = now_ns, total
        return self._rate
