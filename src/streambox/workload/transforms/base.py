"""What every transform is: parameters, arrivals to arrivals, and figures that it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.errors import UsageError
from streambox.units import format_duration
from streambox.workload.arrivals import MOST_REQUESTS, NS_PER_S
from streambox.workload.events import Events
from streambox.workload.figures import shape_distance
from streambox.workload.parameters import LONGEST_NS, Named

if TYPE_CHECKING:
    from streambox.workload.events import Int32s, Int64s

    Bools = np.ndarray[Any, np.dtype[np.bool_]]

_MOST_UNITS: Final = 10_000_000


class Promise(msgspec.Struct, frozen=True):
    """A figure that a transform promises: what it was to be, and what it came to."""

    figure: str
    expected: float
    found: float
    unit: str = ""

    @property
    def deviation(self) -> float:
        """Of the expected; where that is 0, what was found itself."""
        return self.found / self.expected - 1 if self.expected else self.found


class Transform(Named, frozen=True):
    """
    Changes arrivals. The names of their functions stay, even of those without an arrival left.

    Too few arrivals to do it with are no error: they come back as they were.
    """

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        """*events*, changed. The same state of *random* gives the same. Raises UsageError."""
        raise NotImplementedError

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        """What was promised of *before*, as far as it can be told, and what became of it."""
        raise NotImplementedError

    def _given_unit_ns(self, unit_s: float, events: Events) -> int:
        unit_ns = max(1, to_ns(unit_s))
        if events.duration_ns // unit_ns > _MOST_UNITS:
            lasts = format_duration(events.duration_ns)
            raise self._wrong("unit", f"is {unit_s:g} s, and {lasts} has more than {_MOST_UNITS:,} of them")
        return unit_ns

    def _check_total(self, total: float) -> None:
        if not total <= MOST_REQUESTS:
            raise UsageError(
                f"{self.name}: that is {total:.3g} requests, the most is {MOST_REQUESTS:.0e}: ask for fewer"
            )

    def _check_duration(self, duration_ns: float) -> None:
        if not duration_ns < LONGEST_NS:
            raise UsageError(f"{self.name}: that lasts for {duration_ns / NS_PER_S:.3g} s: make it shorter")


def keep(events: Events, kept: Bools) -> Events:
    """The arrivals where *kept*."""
    return Events(events.instants_ns[kept], events.function[kept], events.functions, events.duration_ns)


def in_order(instants_ns: Int64s, function: Int32s, functions: tuple[str, ...], duration_ns: int) -> Events:
    """Arrivals that come in whatever order."""
    order = np.argsort(instants_ns, kind="stable")
    return Events(instants_ns[order], function[order], functions, duration_ns)


# ---- promises that several make ------------------------------------------------------------------


def same_arrivals(before: Events, after: Events) -> Promise:
    return Promise("arrivals", len(before), len(after))


def same_shape(before: Events, after: Events) -> tuple[Promise, ...]:
    distance = shape_distance(before, after)
    return () if distance is None else (Promise("KS of the rate's shape", 0.0, distance),)


def mean_rate(expected_per_s: float, after: Events) -> Promise:
    return Promise("mean rate", expected_per_s, mean_per_s(after), "/s")


def duration(expected_ns: float, after: Events) -> Promise:
    return Promise("duration", expected_ns / NS_PER_S, after.duration_ns / NS_PER_S, " s")


# ---- quantities ----------------------------------------------------------------------------------


def to_ns(time_s: float) -> int:
    return round(time_s * NS_PER_S)


def mean_per_s(events: Events) -> float:
    return len(events) / events.duration_ns * NS_PER_S if events.duration_ns else 0.0
