"""What every arrival process is: parameters, a drawing, and the formulas a drawing is checked against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import MOST_REQUESTS, NS_PER_S
from streambox.workload.parameters import LONGEST_NS, Named

if TYPE_CHECKING:
    from streambox.workload.events import Int64s

    Floats = np.ndarray[Any, np.dtype[np.float64]]

BLOCK: Final = 65_536  # what is drawn or converted at once, so that temporaries stay small


class Process(Named, frozen=True):
    """A random, seeded source of arrivals."""

    def arrivals(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        """
        Sorted instants in [0, *duration_ns*), in ns. The same generator state gives the same.

        Raises UsageError for a duration that no run can have, and, before anything is
        drawn, where more than MOST_REQUESTS are to be expected.
        """
        if not 0 < duration_ns < LONGEST_NS:
            raise UsageError(f"{self.name}: the duration is {duration_ns} ns: give one such as 30s")
        self.check_total(self.mean_rate_per_s(duration_ns) * duration_ns / NS_PER_S)
        return self._draw(duration_ns, random)

    def mean_rate_per_s(self, duration_ns: int) -> float:
        """The expected number of arrivals in [0, *duration_ns*), by its length in s."""
        raise NotImplementedError

    def cv(self) -> float | None:
        """Standard deviation by mean of the time between arrivals; None: no formula."""
        return None

    def idc(self, tau_s: float) -> float | None:
        """Variance by mean of the count in a window of *tau_s*; None: no formula."""
        return None

    def check_total(self, total: float) -> None:
        if not total <= MOST_REQUESTS:
            raise UsageError(
                f"{self.name}: that is {total:.3g} requests, the most is {MOST_REQUESTS:.0e}: "
                "lower the rate or the duration"
            )

    def _draw(self, duration_ns: int, random: np.random.Generator) -> Int64s:
        raise NotImplementedError


def to_instants(times_s: Floats, duration_ns: int) -> Int64s:
    """Whole nanoseconds, rounded down; rounding never leaves [0, *duration_ns*)."""
    instants: Int64s = (times_s * NS_PER_S).astype(np.int64)
    np.clip(instants, 0, duration_ns - 1, out=instants)
    return instants


def joined(parts: list[Int64s]) -> Int64s:
    """All *parts*, one after another."""
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
