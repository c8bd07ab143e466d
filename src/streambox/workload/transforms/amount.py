"""Transforms of how many arrivals there are: scale, thin, copies, superpose."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from msgspec import field

from streambox.workload.events import Events, superpose
from streambox.workload.parameters import TIME, Range
from streambox.workload.shape import best_unit_ns
from streambox.workload.source import read_source
from streambox.workload.transforms.base import (
    Promise,
    Transform,
    in_order,
    keep,
    mean_per_s,
    mean_rate,
    same_shape,
    to_ns,
)

if TYPE_CHECKING:
    from streambox.workload.events import Int64s

_FACTOR: Final = Range(0, 10_000)
_MOST_COPIES: Final = 10_000


class Scale(Transform, frozen=True):
    """
    The rate times ``factor``.

    Below 1 each arrival stays with that probability. Above 1 there are so many copies (of the
    last, a share), each turned round within every ``unit`` by an offset of its own: an arrival
    at u + x comes at u + (x + offset) mod unit.

    Keeps: the rate's shape, of every function too: counts per unit are multiplied, exactly so
    by a whole factor. The gaps of a copy, but for where it wraps. Functions' arrivals that
    belong together.
    Changes: below 1, the index of dispersion becomes 1 + factor (IDC − 1), nearer to Poisson.
    Above 1, it grows in windows longer than ``unit``, as the variation of a common rate does, and
    in shorter ones stays, since copies are independent there, as more users of the same
    kind would be; the gaps of many together tend to exponential ones (Cox and Smith, "On the
    superposition of renewal processes", Biometrika 41, 1954).

    ``unit`` separates the two: what is slower is the rate's shape. Without it, it is the one in
    which the rate is best told from chance (``best_unit_ns``).
    """

    name: ClassVar[str] = "scale"
    factor: float
    unit_s: float | None = field(name="unit", default=None)

    def __post_init__(self) -> None:
        self._check(_FACTOR, factor=self.factor)
        if self.unit_s is not None:
            self._check(TIME, unit=self.unit_s)
            if self.factor < 1:
                raise self._wrong("unit", "is for copies, which a factor below 1 makes none of: leave it out")

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        self._check_total(len(events) * self.factor)
        if self.factor < 1 or not len(events):
            return keep(events, random.random(len(events)) < self.factor)
        unit_ns, whole = self._unit_ns(events), math.floor(self.factor)
        parts = [events, *(_turned(events, unit_ns, random) for _ in range(whole - 1))]
        if self.factor > whole:
            last = _turned(events, unit_ns, random)
            parts.append(keep(last, random.random(len(last)) < self.factor - whole))
        return superpose(parts)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        return (mean_rate(self.factor * mean_per_s(before), after), *same_shape(before, after))

    def _unit_ns(self, events: Events) -> float:
        return best_unit_ns(events) if self.unit_s is None else self._given_unit_ns(self.unit_s, events)


def _turned(events: Events, unit_ns: float, random: np.random.Generator) -> Events:
    """A copy, turned round within each unit by an offset of its own."""
    unit = (events.instants_ns / unit_ns).astype(np.int64)
    begin_ns = np.ceil(unit * unit_ns).astype(np.int64)
    end_ns = np.minimum(np.ceil((unit + 1) * unit_ns), events.duration_ns).astype(np.int64)
    length_ns = np.maximum(1, end_ns - begin_ns)
    offsets = random.random(int(unit[-1]) + 1)
    turned = events.instants_ns - begin_ns + (offsets[unit] * length_ns).astype(np.int64)
    instants_ns = begin_ns + turned % length_ns
    return in_order(instants_ns, events.function, events.functions, events.duration_ns)


class Thin(Transform, frozen=True):
    """
    Each arrival stays with probability ``keep``; with ``only``, those of other functions stay.

    ``by=function``: that share of the functions, chosen at random, stays as it is, the others go.

    Keeps: the rate's shape, and each function's share. By function: all about those that stay.
    Changes: the rate times ``keep``; the index of dispersion becomes 1 + keep (IDC − 1), nearer to
    Poisson, as behind a load balancer that picks at random. By function: nothing but which
    functions there are, so that the rate follows from which ones stay.
    """

    name: ClassVar[str] = "thin"
    keep: float
    by: Literal["arrival", "function"] = "arrival"
    only: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise self._wrong("keep", f"is {self.keep:g}: give a share above 0, up to 1")
        if self.only is not None:
            if self.by == "function":
                raise self._wrong("by=function, only", "exclude each other: leave one of them out")
            if "," in self.only or self.only != self.only.strip() or not self.only:
                raise self._wrong("only", f"is {self.only!r}, which cannot be written on a command line")

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        if self.by == "function":
            return keep(events, self._chosen(events, random)[events.function])
        kept = random.random(len(events)) < self.keep
        if self.only is not None:
            kept |= events.function != self._number(events)
        return keep(events, kept)

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        if self.by == "function":
            called = len(np.unique(before.function))
            return (Promise("functions", self._stay(called), len(np.unique(after.function))),)
        if self.only is None:
            return (mean_rate(self.keep * mean_per_s(before), after), *same_shape(before, after))
        calls = [len(events.of_function(self._number(events))) for events in (before, after)]
        return (Promise(f"arrivals of {self.only}", self.keep * calls[0], calls[1]),)

    def _stay(self, called: int) -> int:
        return min(called, max(1, round(self.keep * called)))

    def _chosen(
        self, events: Events, random: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Of each function, whether it stays."""
        called = np.unique(events.function)
        chosen = np.zeros(len(events.functions), bool)
        chosen[random.permutation(called)[: self._stay(len(called))]] = True
        return chosen

    def _number(self, events: Events) -> int:
        if self.only not in events.functions:
            raise self._wrong("only", f"is {self.only!r}, and no function has that name")
        return events.functions.index(self.only)


class Copies(Transform, frozen=True):
    """
    The source ``count`` times over: copy i comes i ``shift`` later, and what then lies past the end
    comes at the start. Without ``shift`` each copy is shifted by a time of its own, at random.

    Keeps: the duration, the gaps of each copy but one, which functions there are.
    Changes: the rate times ``count``; its shape is smeared by the shifts, so that peaks of one
    copy meet the lulls of another, as those of users in other time zones. Where the rate's
    shape is to stay, ``scale``.
    """

    name: ClassVar[str] = "copies"
    count: int
    shift_s: float | None = field(name="shift", default=None)

    def __post_init__(self) -> None:
        self._check(Range(1, _MOST_COPIES, closed=True), count=self.count)
        if self.shift_s is not None:
            self._check(TIME, shift=self.shift_s)

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        self._check_total(len(events) * self.count)
        return superpose([events, *(self._shifted(events, i, random) for i in range(1, self.count))])

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        return (Promise("arrivals", len(before) * self.count, len(after)),)

    def _shifted(self, events: Events, copy: int, random: np.random.Generator) -> Events:
        if not events.duration_ns:
            return events
        by_ns = (
            int(random.integers(events.duration_ns))
            if self.shift_s is None
            else copy * to_ns(self.shift_s) % events.duration_ns
        )
        instants_ns = (events.instants_ns + by_ns) % events.duration_ns
        return in_order(instants_ns, events.function, events.functions, events.duration_ns)


class Superpose(Transform, frozen=True):
    """
    The arrivals of the file ``with`` as well, from the same start; equal names are one function.

    Keeps: every arrival of both.
    Changes: what lasts longer of the two is the duration.
    """

    name: ClassVar[str] = "superpose"
    with_file: str = field(name="with")

    def __post_init__(self) -> None:
        if "," in self.with_file or self.with_file != self.with_file.strip() or not self.with_file:
            raise self._wrong("with", f"is {self.with_file!r}, which cannot be written on a command line")

    def apply(self, events: Events, random: np.random.Generator) -> Events:
        other = read_source(Path(self.with_file), random)
        self._check_total(len(events) + len(other))
        return superpose([events, other])

    def promises(self, before: Events, after: Events) -> tuple[Promise, ...]:
        return (
            Promise("arrivals of the source", len(before), _found_in(before.instants_ns, after.instants_ns)),
        )


def _found_in(instants_ns: Int64s, all_ns: Int64s) -> int:
    """How many of *instants_ns* are in *all_ns*, as often there as here; both sorted."""
    each, often = np.unique(instants_ns, return_counts=True)
    there = np.searchsorted(all_ns, each, "right") - np.searchsorted(all_ns, each, "left")
    return int(np.minimum(often, there).sum())
