"""Transforms of time: warp, cut, len, lap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from msgspec import field

from streambox.units import format_duration
from streambox.workload.events import Events
from streambox.workload.figures import gap_cv
from streambox.workload.parameters import TIME, TIME_OR_NONE, Range
from streambox.workload.transforms.base import Promise, Transform, duration, same_arrivals, same_shape, to_ns

if TYPE_CHECKING:
    from streambox.errors import UsageError

_FACTOR: Final = Range(0, 1e9)


class Warp(Transform, frozen=True):
    """
    Time runs ``factor`` times as fast: an arrival at t comes at t/factor.

    Keeps: every arrival and their order, and what has no unit of time: the CV of gaps, the rate's
    shape over the whole, the index of dispersion in windows that shrink likewise.
    Changes: the duration by 1/factor, and so the rate, and every speed at which it moves: a
    server that has to follow it gets less time to.
    """

    name: ClassVar[str] = "warp"
    factor: float

    def __post_init__(self) -> None:
        self._check(_FACTOR, factor=self.factor)

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        self._check_duration(events.duration_ns / self.factor)
        duration_ns = math.ceil(events.duration_ns / self.factor)
        instants_ns = (events.instants_ns / self.factor).astype(np.int64)
        np.minimum(instants_ns, duration_ns - 1, out=instants_ns)
        return Events(instants_ns, events.function, events.functions, duration_ns)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        kept = [same_arrivals(before, after), duration(before.duration_ns / self.factor, after)]
        was, became = gap_cv(before.instants_ns), gap_cv(after.instants_ns)
        if was is not None and became is not None:
            kept.append(Promise("CV of gaps", was, became))
        return (*kept, *same_shape(before, after))


class Part(Transform, frozen=True):
    """What comes within some bounds, and counts from 0 then; a subclass says which."""

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        begin_ns, end_ns = self._bounds_ns(events)
        first, last = np.searchsorted(events.instants_ns, [begin_ns, end_ns])
        part = slice(first, last)
        instants_ns = events.instants_ns[part] - begin_ns
        return Events(instants_ns, events.function[part], events.functions, end_ns - begin_ns)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        begin_ns, end_ns = self._bounds_ns(before)
        within = np.count_nonzero((before.instants_ns >= begin_ns) & (before.instants_ns < end_ns))
        return (Promise("arrivals", int(within), len(after)), duration(end_ns - begin_ns, after))

    def _bounds_ns(self, events: Events) -> tuple[int, int]:
        """Raises UsageError where they are not within *events*."""
        raise NotImplementedError

    def _beyond(self, parameter: str, value_s: float, events: Events, fix: str) -> UsageError:
        lasts = format_duration(events.duration_ns)
        return self._wrong(parameter, f"is {value_s:g} s, but the source lasts for {lasts}: {fix}")


class Cut(Part, frozen=True):
    """
    What comes between ``from`` and ``to``, which counts from 0 then.

    Keeps: all about the arrivals within.
    Changes: what all of it looks like: a part is not like the whole.
    """

    name: ClassVar[str] = "cut"
    from_s: float = field(name="from", default=0.0)
    to_s: float | None = field(name="to", default=None)

    def __post_init__(self) -> None:
        self._check(TIME_OR_NONE, from_=self.from_s)
        if self.to_s is not None:
            self._check(TIME, to=self.to_s)
            if self.to_s <= self.from_s:
                raise self._wrong("to", f"is {self.to_s:g} s, which is not after from, {self.from_s:g} s")
        elif not self.from_s:
            raise self._wrong("from, to", "are not given: give one of them")

    def _bounds_ns(self, events: Events) -> tuple[int, int]:
        begin_ns = to_ns(self.from_s)
        end_ns = events.duration_ns if self.to_s is None else to_ns(self.to_s)
        if self.to_s is not None and end_ns > events.duration_ns:
            raise self._beyond("to", self.to_s, events, "give at most that")
        if begin_ns >= end_ns:
            raise self._beyond("from", self.from_s, events, "begin earlier")
        return begin_ns, end_ns


class Length(Part, frozen=True):
    """
    The first ``time`` of it: ``len:300s`` is ``cut:to=300s``.

    Keeps: all about the arrivals within.
    Changes: what all of it looks like: a part is not like the whole.
    """

    name: ClassVar[str] = "len"
    time_s: float = field(name="time")

    def __post_init__(self) -> None:
        self._check(TIME, time=self.time_s)

    def _bounds_ns(self, events: Events) -> tuple[int, int]:
        if to_ns(self.time_s) > events.duration_ns:
            raise self._beyond("time", self.time_s, events, "give at most that")
        return 0, to_ns(self.time_s)


class Lap(Transform, frozen=True):
    """
    After every ``gap`` of time comes idle time of ``lap``, as the reference's gap_time and lap_time do.

    Keeps: every arrival, and all about those of one group.
    Changes: the duration; the rate falls to gap/(gap + lap) of what it was, and what bridged two
    groups is torn apart. A last group that is not full gets no idle time.
    """

    name: ClassVar[str] = "lap"
    gap_s: float = field(name="gap")
    lap_s: float = field(name="lap")

    def __post_init__(self) -> None:
        self._check(TIME, gap=self.gap_s)
        self._check(TIME_OR_NONE, lap=self.lap_s)
        if not to_ns(self.gap_s):
            raise self._wrong("gap", f"is {self.gap_s:g} s: give at least 1 ns")

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        duration_ns = self._duration_ns(events)
        self._check_duration(duration_ns)
        instants_ns = events.instants_ns + events.instants_ns // to_ns(self.gap_s) * to_ns(self.lap_s)
        return Events(instants_ns, events.function, events.functions, duration_ns)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        return (same_arrivals(before, after), duration(self._duration_ns(before), after))

    def _duration_ns(self, events: Events) -> int:
        return events.duration_ns + events.duration_ns // to_ns(self.gap_s) * to_ns(self.lap_s)
