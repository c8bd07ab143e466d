"""
Huawei 2023: how often each function was called in each second or minute.

``day,time,0,…,N``, a row per time unit and a column per function; ``time`` in s. From "How
Does It Function?" (Joosen et al., SoCC 2023).
"""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.errors import UsageError
from streambox.units import format_duration
from streambox.workload.counts import MOST_PER_UNIT
from streambox.workload.traces.arrivals import Counts
from streambox.workload.traces.base import BadRow
from streambox.workload.traces.numbers import SECONDS, whole_count, whole_ns
from streambox.workload.traces.table import Table, names_of, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.workload.events import Int64s
    from streambox.workload.traces.base import TraceOptions

_DAY_NS: Final = 86_400 * 1_000_000_000
_MOST_DAYS: Final = 10_000
_NONE: Final = frozenset({b"", b"0", b"0.0", b"nan", b"NaN"})


class Huawei(Table):
    """Blank and NaN are no call. The unit is the step of the first rows' times, unless it is given."""

    name = "huawei"
    title = "Huawei 2023, requests per second or minute"
    columns = (b"day", b"time")
    takes = frozenset({"unit_ns"})

    def __init__(self, head: Sequence[bytes], options: TraceOptions, random: np.random.Generator) -> None:
        super().__init__(head, options, random)
        if not self.recognises(head):
            raise BadRow("its columns are not day, time, 0, 1, …")
        unit_ns = _step_ns(head[1:]) if options.unit_ns is None else options.unit_ns
        self.arrivals = self._counts = Counts(unit_ns, options, random)
        self._functions = np.array([self._counts.number(name) for name in self.names[2:]], np.int32)
        self._origin_ns: int | None = None

    @classmethod
    def recognises(cls, head: Sequence[bytes]) -> bool:
        day_and_time, functions = names_of(head[0])[:2], names_of(head[0])[2:]
        return day_and_time == list(cls.columns) and b"".join(functions).isdigit() and all(functions)

    def row(self, line: bytes) -> None:
        cells = self.cells(line)
        start_ns = _start_ns(cells)
        origin_ns = start_ns if self._origin_ns is None else self._origin_ns
        if start_ns < origin_ns:
            raise BadRow("it is earlier than the first row")
        if (start_ns - origin_ns) % self._counts.unit_ns:
            unit = format_duration(self._counts.unit_ns)
            raise BadRow(f"it begins within the {unit} of another row: does --unit fit?")
        called, counts = self._called(cells[2:])
        self._origin_ns = origin_ns
        self._counts.end_ns = max(self._counts.end_ns, start_ns - origin_ns + self._counts.unit_ns)
        self._counts.add(np.full(len(counts), start_ns - origin_ns), counts, self._functions[called])

    def _called(self, cells: list[bytes]) -> tuple[Int64s, Int64s]:
        """Which functions were called, and how often. Raises BadRow."""
        places = [place for place, cell in enumerate(cells) if cell not in _NONE]
        counts = [
            whole_count(cells[place], f"function {self.names[2 + place].decode()}", MOST_PER_UNIT)
            for place in places
        ]
        return np.array(places, np.int64), np.array(counts, np.int64)


def _step_ns(rows: Sequence[bytes]) -> int:
    """How long a row counts, by the shortest time between the first ones. Raises UsageError."""
    starts = []
    for row in rows:
        with contextlib.suppress(BadRow):  # it will be reported when its turn comes
            starts.append(_start_ns(split(row)[:2]))
    steps = [second - first for first, second in pairwise(starts) if second > first]
    if not steps:
        raise UsageError("do its rows count seconds or minutes? Give --unit 1s or 1m")
    return min(steps)


def _start_ns(cells: list[bytes]) -> int:
    """
    Since when the row counts, from day 0 on.

    ``time`` goes on from day to day in the public files; one that starts anew with each will do.
    """
    day_ns = whole_count(cells[0], "day", _MOST_DAYS) * _DAY_NS
    time_ns = whole_ns(cells[1], SECONDS, "time")
    return time_ns if time_ns >= day_ns else day_ns + time_ns
