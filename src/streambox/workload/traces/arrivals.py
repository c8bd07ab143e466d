"""What a trace's rows add up to: calls with an instant each, or counts per time unit."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import numpy as np

from streambox.errors import UsageError
from streambox.units import format_duration
from streambox.workload.arrivals import arrivals_in_cells
from streambox.workload.events import Events
from streambox.workload.traces.base import BadRow

if TYPE_CHECKING:
    from streambox.workload.events import Int32s, Int64s
    from streambox.workload.traces.base import TraceOptions

MOST_FUNCTIONS: Final = 1_000_000


class Functions:
    """Names and their numbers, in order of first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, name: bytes) -> int:
        number = self._numbers.get(name)
        if number is None:
            if len(self._numbers) >= MOST_FUNCTIONS:
                raise BadRow(f"there are more than {MOST_FUNCTIONS:,} functions before it")
            number = self._numbers[name] = len(self._numbers)
        return number

    def names(self) -> tuple[str, ...]:
        return tuple(name.decode("utf-8", "backslashreplace") for name in self._numbers)


class Calls:
    """
    Calls one by one, in any order.

    The first of them is at 0 of the events, unless the trace's times are *from_zero*, the
    start of the run. ``origin_ns``: what 0 is in the trace's own time; ``late`` how many
    calls were earlier than the one before. Both once the events are made.
    """

    def __init__(self, options: TraceOptions, random: np.random.Generator, *, from_zero: bool = False):
        self._options, self._random, self._from_zero = options, random, from_zero
        self._functions = Functions()
        self._fresh_ns: list[int] = []
        self._fresh_calls: list[int] = []
        self._instants: list[Int64s] = []
        self._calls: list[Int32s] = []
        self.total = 0
        self.origin_ns = 0
        self.late = 0

    def add(self, instant_ns: int, function: bytes = b"") -> None:
        """One call of *function*; |*instant_ns*| < 2**63."""
        number = self._functions.number(function)
        self._fresh_ns.append(instant_ns)
        self._fresh_calls.append(number)

    def settle(self) -> None:
        """Pack what has come since the last time, and thin it out; ``total`` says how much there is."""
        instants, calls = np.array(self._fresh_ns, np.int64), np.array(self._fresh_calls, np.int32)
        self._fresh_ns.clear()
        self._fresh_calls.clear()
        if self._options.thin < 1:
            kept = self._random.random(len(instants)) < self._options.thin
            instants, calls = instants[kept], calls[kept]
        self._instants.append(instants)
        self._calls.append(calls)
        self.total += len(instants)

    def events(self) -> Events:
        """All of them, ``total`` > 0. Raises UsageError where the part to cut out has none."""
        instants_ns, calls = np.concatenate(self._instants), np.concatenate(self._calls)
        self._instants.clear()
        self._calls.clear()
        self.late = int(np.count_nonzero(instants_ns[1:] < instants_ns[:-1]))
        if self.late:
            order = np.argsort(instants_ns, kind="stable")
            instants_ns, calls = instants_ns[order], calls[order]
        if not self._from_zero:
            self.origin_ns = int(instants_ns[0])
            instants_ns -= self.origin_ns
        events = Events(instants_ns, calls, self._functions.names(), int(instants_ns[-1]) + 1)
        return cut(events, self._options)


class Counts:
    """
    How often each function was called in each time unit of *unit_ns*.

    ``end_ns``: when the last unit ends, from the trace's start; whoever adds says so.
    """

    def __init__(self, unit_ns: int, options: TraceOptions, random: np.random.Generator) -> None:
        self._options, self._random = options, random
        self._functions = Functions()
        self._starts = array("q")
        self._counts = array("q")
        self._calls = array("i")
        self.unit_ns = unit_ns
        self.end_ns = 0
        self.total = 0

    def number(self, function: bytes) -> int:
        return self._functions.number(function)

    def add(self, starts_ns: Int64s, counts: Int64s, functions: Int32s) -> None:
        """``counts[i]`` >= 0 calls of ``functions[i]``, by number, in the unit from ``starts_ns[i]`` on."""
        wanted = counts > 0
        wanted &= starts_ns > self._options.from_ns - self.unit_ns
        if self._options.to_ns is not None:
            wanted &= starts_ns < self._options.to_ns
        counts = counts[wanted]
        if self._options.thin < 1:
            counts = self._random.binomial(counts, self._options.thin)
        self._starts.frombytes(starts_ns[wanted].astype(np.int64, copy=False).tobytes())
        self._counts.frombytes(counts.astype(np.int64, copy=False).tobytes())
        self._calls.frombytes(functions[wanted].astype(np.int32, copy=False).tobytes())
        self.total += int(counts.sum())

    def settle(self) -> None:
        """There is nothing to pack."""

    def events(self) -> Events:
        """Draws them. Raises UsageError where the part to cut out has none."""
        starts_ns, counts = np.frombuffer(self._starts, np.int64), np.frombuffer(self._counts, np.int64)
        functions = np.frombuffer(self._calls, np.int32)
        instants_ns, calls = arrivals_in_cells(starts_ns, counts, functions, self.unit_ns, self._random)
        return cut(Events(instants_ns, calls, self._functions.names(), self.end_ns), self._options)


def cut(events: Events, options: TraceOptions) -> Events:
    """The part from ``from_ns`` to ``to_ns``, which then begins at 0. Raises UsageError where it is empty."""
    begin_ns, end_ns = options.from_ns, options.to_ns
    end_ns = events.duration_ns if end_ns is None else min(end_ns, events.duration_ns)
    if not begin_ns and end_ns == events.duration_ns:
        return events
    first, last = np.searchsorted(events.instants_ns, [begin_ns, end_ns]).tolist()
    if first >= last:
        begin, end = format_duration(begin_ns), format_duration(end_ns)
        length = format_duration(events.duration_ns)
        raise UsageError(f"no request is between {begin} and {end} of its {length}")
    return Events(
        events.instants_ns[first:last] - begin_ns,
        events.function[first:last],
        events.functions,
        end_ns - begin_ns,
    )
