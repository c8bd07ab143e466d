"""
When a batch leaves its queue: pure decisions.

A policy is asked with what waits, what is free and what time it is, and answers
*act now* or *wait until then*. It keeps no clock, starts no timer and does no I/O.
"""

from __future__ import annotations

import sys
from typing import ClassVar, Final, NamedTuple, Protocol

from streambox.batcher.batch import FlushReason

NEVER_NS: Final = sys.maxsize
NO_ROWS: Final = sys.maxsize
SLACK_NS: Final = 1_000_000  # from a decision to the worker, and from its answer to the caller
_LOOKED_OVER: Final = 64
_SATURATED: Final = 0.9  # from this utilization on, full batches given, time is what is lacking


class Flush(NamedTuple):
    """Form a batch of at most ``rows`` rows now, leaving out the first ``skip`` requests."""

    rows: int
    reason: FlushReason
    skip: int = 0


class Refuse(NamedTuple):
    """The first ``requests`` waiting cannot be answered in time any more: say so to their callers."""

    requests: int


class Wait(NamedTuple):
    """Do not ask again before ``until_ns``, ``rows`` rows waiting, the head leaving, or a slot freeing."""

    until_ns: int
    rows: int


Decision = Flush | Wait | Refuse


class QueueView(Protocol):
    """What a policy sees of a queue. ``oldest_ns`` may be read only when ``rows > 0``."""

    @property
    def rows(self) -> int: ...
    @property
    def oldest_ns(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def ahead(self, requests: int) -> list[Place]:
        """The first so many requests, in order."""
        ...


class Place(NamedTuple):
    """A request's place in a queue."""

    deadline_ns: int
    rows: int


class SlotView(NamedTuple):
    """``free`` slots can run a batch now; ``can_stage``: one full batch may wait behind a busy slot."""

    free: int
    can_stage: bool


class Policy(Protocol):
    """
    One model's. ``by_deadline``: its queue is kept in the order of deadlines, not of arrivals.

    ``max_batch_size`` and ``time_window_ns`` may change between two decisions.
    """

    max_batch_size: int
    time_window_ns: int

    @property
    def by_deadline(self) -> bool: ...

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision: ...


class Outlook(Protocol):
    """What is known of a model's load and speed."""

    def bound_ns(self, rows: int) -> float:
        """What a batch of *rows* rows will hardly exceed; 0 while nothing is known."""
        ...

    @property
    def fixed_ns(self) -> float:
        """What a batch costs however small it is."""
        ...

    def rows_per_ns(self, now_ns: int) -> float:
        """How fast rows arrive."""
        ...

    def row_ns(self, rows: int) -> float:
        """A row's part of the time of a batch of *rows* rows; 0 while nothing is known."""
        ...


class WindowPolicy:
    """
    The reference's rule: a batch leaves when it is full, or when its oldest request has
    waited for the time window.

    The window counts from the arrival of the oldest request. A slot is reserved
    first (late binding), so with every slot busy a batch goes on growing past its
    window, and leaves as soon as a slot frees.
    """

    __slots__ = ("max_batch_size", "time_window_ns")

    by_deadline: ClassVar[bool] = False

    def __init__(self, time_window_ns: int, max_batch_size: int) -> None:
        self.time_window_ns = time_window_ns
        self.max_batch_size = max_batch_size

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision:
        if not queue.rows:
            return Wait(NEVER_NS, 1)
        if queue.closed and (slots.free or slots.can_stage):
            return Flush(self.max_batch_size, FlushReason.BATCHSIZE)
        if not slots.free:
            return Wait(NEVER_NS, self.max_batch_size if slots.can_stage else NO_ROWS)
        due_ns = queue.oldest_ns + self.time_window_ns
        if now_ns >= due_ns:
            return Flush(self.max_batch_size, FlushReason.TIMEWINDOW)
        return Wait(due_ns, self.max_batch_size)


class EagerPolicy:
    """
    Work-conserving: whatever waits leaves as soon as a slot is free.

    Batches grow only while every slot is busy, so under a light load nobody waits for
    company, and under a heavy one batches are as large as the load makes them.
    """

    __slots__ = ("max_batch_size", "time_window_ns")

    by_deadline: ClassVar[bool] = False

    def __init__(self, time_window_ns: int, max_batch_size: int) -> None:
        self.time_window_ns = time_window_ns  # not minded
        self.max_batch_size = max_batch_size

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision:
        if queue.rows and queue.closed and (slots.free or slots.can_stage):
            return Flush(self.max_batch_size, FlushReason.BATCHSIZE)
        if not slots.free:
            return Wait(NEVER_NS, self.max_batch_size if slots.can_stage else NO_ROWS)
        return Flush(self.max_batch_size, FlushReason.SLOTFREE) if queue.rows else Wait(NEVER_NS, 1)


class SloPolicy:
    """
    As large a batch as its earliest deadline allows, and no doomed work.

    With a slot free, a batch of b rows leaves at once when it is full, or when waiting buys
    nothing: at a rate of λ, β λ rows would come in the time that one more batch costs, and b are
    as many. Otherwise it waits for company until the last moment at which one more row
    could still be taken, d − ℓ_q(b + 1) − δ, and never longer than the time window. After
    Symphony (Chen et al., arXiv 2308.07470).

    When the earliest deadline cannot be met by a batch of all that wait: a smaller batch first,
    if the others then still make it; else those that hold the batch up are left out of it,
    and refused at once when no slot is left for them.
    """

    __slots__ = ("_outlook", "max_batch_size", "slack_ns", "time_window_ns")

    by_deadline: ClassVar[bool] = True

    def __init__(
        self, time_window_ns: int, max_batch_size: int, outlook: Outlook, slack_ns: int = SLACK_NS
    ) -> None:
        self.time_window_ns = time_window_ns
        self.max_batch_size = max_batch_size
        self.slack_ns = slack_ns
        self._outlook = outlook

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision:
        if not queue.rows:
            return Wait(NEVER_NS, 1)
        if not slots.free:
            if slots.can_stage and queue.closed:
                return Flush(self.max_batch_size, FlushReason.BATCHSIZE)
            return Wait(NEVER_NS, self.max_batch_size if slots.can_stage else NO_ROWS)
        size = min(queue.rows, self.max_batch_size)
        deadline_ns = queue.ahead(1)[0].deadline_ns
        if now_ns > self._latest_ns(deadline_ns, size):
            return self._salvage(queue, slots, now_ns)
        if queue.closed:
            return Flush(self.max_batch_size, FlushReason.BATCHSIZE)
        if size >= self._outlook.fixed_ns * self._outlook.rows_per_ns(now_ns):
            return Flush(self.max_batch_size, FlushReason.SLOTFREE)
        window_ns = queue.oldest_ns + self.time_window_ns
        frontrun_ns = self._latest_ns(deadline_ns, size + 1)
        if now_ns >= min(window_ns, frontrun_ns):
            reason = FlushReason.TIMEWINDOW if now_ns >= window_ns else FlushReason.DEADLINE
            return Flush(self.max_batch_size, reason)
        return Wait(min(window_ns, frontrun_ns), size + 1)

    def _latest_ns(self, deadline_ns: int, rows: int) -> int:
        """When a batch of *rows* has to leave for that deadline."""
        return deadline_ns - int(self._outlook.bound_ns(rows)) - self.slack_ns

    def _salvage(self, queue: QueueView, slots: SlotView, now_ns: int) -> Decision:
        """The earliest deadline is too early for a batch of all: what can be saved?"""
        places = queue.ahead(self.max_batch_size + _LOOKED_OVER)
        lost = 0
        while lost < len(places) and now_ns > self._latest_ns(*places[lost]):
            lost += 1  # not even alone, and not even now
        if lost:
            return Refuse(lost)
        first, skip = self._fitting(places, now_ns), self._in_the_way(places, now_ns)
        worth_it = skip >= self._cost_of_a_batch(now_ns) and self._all_saved(places, first, now_ns)
        if worth_it or skip == len(places):
            return Flush(first, FlushReason.DEADLINE)
        return Refuse(skip) if slots.free == 1 else Flush(self.max_batch_size, FlushReason.DEADLINE, skip)

    def _cost_of_a_batch(self, now_ns: int) -> float:
        """In rows, what one batch more loses: none while there is time to spare, else its fixed cost."""
        rate = self._outlook.rows_per_ns(now_ns)
        busy = rate * self._outlook.row_ns(self.max_batch_size)
        return rate * self._outlook.fixed_ns if busy > _SATURATED else 0.0

    def _fitting(self, places: list[Place], now_ns: int) -> int:
        """The largest batch with the first request in it that meets its deadline, in rows."""
        rows = places[0].rows
        for place in places[1:]:
            more = rows + place.rows
            if more > self.max_batch_size or now_ns > self._latest_ns(places[0].deadline_ns, more):
                break
            rows = more
        return rows

    def _all_saved(self, places: list[Place], first: int, now_ns: int) -> bool:
        """Whether a batch of *first* rows, and one of the rest behind it, lose nobody."""
        rows = 0
        rest: list[Place] = []
        for place in places:
            rows += place.rows
            if rows > first:
                rest.append(place)
        left = min(sum(place.rows for place in rest), self.max_batch_size)
        free_ns = now_ns + int(self._outlook.bound_ns(first))
        return not rest or free_ns <= self._latest_ns(rest[0].deadline_ns, left)

    def _in_the_way(self, places: list[Place], now_ns: int) -> int:
        """How many requests, from the first on, a batch of those behind them has to leave out."""
        waiting = sum(place.rows for place in places)
        for skip, place in enumerate(places):
            if now_ns <= self._latest_ns(place.deadline_ns, min(waiting, self.max_batch_size)):
                return skip
            waiting -= place.rows
        return len(places)
