"""What every arrival process is: parameters, a drawing, and the formulas a drawing is checked against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.workload.arrivals import MOST_REQUESTS, NS_PER_S

if TYPE_CHECKING:
    from streambox.workload.events import Int64s

    Floats = np.ndarray[Any, np.dtype[np.float64]]

BLOCK: Final = 65_536  # what is drawn or converted at once, so that temporaries stay small
LONGEST_NS: Final = 2**62


class Range(NamedTuple):
    """The values a parameter may take: low < value < high, or from *low* on where it is *closed*."""

    low: float
    high: float
    unit: str = ""
    closed: bool = False

    def holds(self, value: float) -> bool:
        return (value >= self.low if self.closed else value > self.low) and value < self.high

    def __str__(self) -> str:
        least = f"of {self.low:g} or more" if self.closed else f"above {self.low:g}"
        return f"{least} and below {self.high:g}{self.unit}"


RATE: Final = Range(0, 1e9, "/s")
RATE_OR_NONE: Final = Range(0, 1e9, "/s", closed=True)
TIME: Final = Range(0, LONGEST_NS / NS_PER_S, " s")
TIME_OR_NONE: Final = Range(0, LONGEST_NS / NS_PER_S, " s", closed=True)


class Process(msgspec.Struct, frozen=True):
    """
    A random, seeded source of arrivals.

    A field's name ends in its unit, ``_per_s`` or ``_s``; users know it by its encoded name
    (``rate`` for ``rate_per_s``). A constructor raises UsageError naming the parameter.
    """

    name: ClassVar[str] = ""

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

    def _check(self, allowed: Range, **values: float) -> None:
        """Raises UsageError for the first of *values*, by a parameter's name, that is outside."""
        for parameter, value in values.items():
            if not allowed.holds(value):
                raise self._wrong(parameter, f"is {value:g}{allowed.unit}: give a number {allowed}")

    def _wrong(self, parameter: str, problem: str) -> UsageError:
        # A trailing underscore keeps a parameter's name apart from Python's words: from_.
        return UsageError(f"{self.name}: {parameter.rstrip('_')} {problem}")


def to_instants(times_s: Floats, duration_ns: int) -> Int64s:
    """Whole nanoseconds, rounded down; rounding never leaves [0, *duration_ns*)."""
    instants: Int64s = (times_s * NS_PER_S).astype(np.int64)
    np.clip(instants, 0, duration_ns - 1, out=instants)
    return instants


def joined(parts: list[Int64s]) -> Int64s:
    """All *parts*, one after another."""
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
