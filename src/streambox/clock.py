"""
Time, behind one small interface, so that the core runs the same under a real and a virtual clock.

All instants are monotonic nanoseconds. A timer fires at or after its instant, never before.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_NS_PER_S = 1_000_000_000
_NEVER_NS = 1 << 62


class Timer:
    """One call due at ``when_ns``; ``cancel()`` is idempotent and O(1)."""

    __slots__ = ("callback", "cancelled", "when_ns")

    def __init__(self, when_ns: int, callback: Callable[[], None]) -> None:
        self.when_ns = when_ns
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock(Protocol):
    def now_ns(self) -> int: ...
    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer: ...


class _Agenda:
    """Timers in due order; cancelled ones are dropped when they surface."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0

    def add(self, timer: Timer) -> None:
        self._count += 1
        heapq.heappush(self._heap, (timer.when_ns, self._count, timer))

    def next_ns(self) -> int | None:
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    @property
    def added(self) -> int:
        """How many timers there have ever been: the number of the newest one."""
        return self._count

    def pop_due(self, now_ns: int, newest: int | None = None) -> Timer | None:
        """The earliest timer, if it is due and not newer than number *newest*."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > now_ns or (newest is not None and self._heap[0][1] > newest):
            return None
        return heapq.heappop(self._heap)[2]


class VirtualClock:
    """A clock that only moves when told to: ``advance`` runs every timer on its way, in order."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._agenda = _Agenda()

    def now_ns(self) -> int:
        return self._now_ns

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(when_ns, callback)
        self._agenda.add(timer)
        return timer

    def next_ns(self) -> int | None:
        """The next timer's instant; None when nothing is due ever."""
        return self._agenda.next_ns()

    def advance_to(self, until_ns: int) -> None:
        while (due_ns := self._agenda.next_ns()) is not None and due_ns <= until_ns:
            self._now_ns = max(self._now_ns, due_ns)
            timer = self._agenda.pop_due(self._now_ns)
            assert timer is not None  # noqa: S101 - next_ns() has just seen it
            timer.callback()
        self._now_ns = max(self._now_ns, until_ns)

    def advance(self, by_ns: int) -> None:
        self.advance_to(self._now_ns + by_ns)


class LoopClock:
    """The event loop's clock, with timers as fine as a ``WakeUp``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._agenda = _Agenda()
        self._armed_ns: int | None = None
        self.now_ns = time.monotonic_ns  # no call of ours between
        self._wake_up = WakeUp(loop, self._run_due)

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(when_ns, callback)
        self._agenda.add(timer)
        if self._armed_ns is None or when_ns < self._armed_ns:
            self._arm(when_ns)
        return timer

    def close(self) -> None:
        self._wake_up.close()

    def _arm(self, when_ns: int) -> None:
        self._armed_ns = when_ns
        self._wake_up.at(when_ns)

    def _run_due(self) -> None:
        self._armed_ns = None
        # What a callback adds waits for the next alarm, even if it is due: I/O gets its turn first.
        newest = self._agenda.added
        try:
            while (timer := self._agenda.pop_due(self.now_ns(), newest)) is not None:
                timer.callback()
        finally:  # also when a callback has raised: the others' timers must not be lost with it
            next_ns = self._agenda.next_ns()
            if next_ns is not None and (self._armed_ns is None or next_ns < self._armed_ns):
                self._arm(next_ns)
            elif self._armed_ns is None:
                self._wake_up.never()


class WakeUp:
    """
    Calls *callback* on the loop at one instant, which can be moved; at or after it, never before.

    libuv rounds its timers to 1 ms; a ``timerfd`` in the loop's poll set wakes within tens of
    microseconds, and what it takes for that is learnt and allowed for (``Lead``). Where there is
    none (macOS) the loop's own timers serve.

    The callback has to say when to be called next: ``at`` an instant, or ``never``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None
        self._when_ns = self._alarm_ns = _NEVER_NS
        self._lead = Lead()
        self._alarm = Alarm.create()
        if self._alarm is not None:
            loop.add_reader(self._alarm.fd, self._on_alarm)

    def at(self, when_ns: int) -> None:
        self._when_ns = when_ns
        now_ns = time.monotonic_ns()
        if self._alarm is not None:
            alarm_ns = max(when_ns - self._lead.ns, now_ns)
            # One that has gone off is on until it is set anew, which costs much: it can just stay so.
            if alarm_ns > now_ns or self._alarm_ns:
                self._alarm_ns = alarm_ns
                self._alarm.set(alarm_ns)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0, when_ns - now_ns) / _NS_PER_S, self._on_timer)

    def never(self) -> None:
        self._when_ns = self._alarm_ns = _NEVER_NS
        if self._alarm is not None:
            self._alarm.clear()
        elif self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        self.never()
        if self._alarm is not None:
            self._loop.remove_reader(self._alarm.fd)
            self._alarm.close()
            self._alarm = None

    def _on_alarm(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns < self._alarm_ns:
            return  # it was moved when it had gone off already
        if self._alarm_ns:
            self._lead.observe(now_ns - self._alarm_ns)
            self._alarm_ns = 0  # heard
        if now_ns >= self._when_ns:
            self._callback()
        # Else it is early by a little. The alarm stays on: the loop comes round again, by way of its I/O.

    def _on_timer(self) -> None:
        if time.monotonic_ns() < self._when_ns:  # the loop rounds
            self.at(self._when_ns)
        else:
            self._callback()


class Lead:
    """
    How much before an instant to set an alarm, so as to be awake at it: ``ns``. Pure.

    The median of what alarms take to be heard, by the steps of a running quantile (Robbins and
    Monro, 1951). Half of them are early then, by microseconds: with more, the loop would spend
    more time awake without making the late ones any earlier.
    """

    MOST_NS = 100_000
    STEP_NS = 300

    __slots__ = ("ns",)

    def __init__(self) -> None:
        self.ns = 0

    def observe(self, late_ns: int) -> None:
        """An alarm was heard *late_ns* after the instant that it was set to."""
        if late_ns < self.ns:
            self.ns = max(0, self.ns - self.STEP_NS)
        elif late_ns > self.ns:
            self.ns = min(self.MOST_NS, self.ns + self.STEP_NS)


class Alarm:
    """
    A Linux ``timerfd`` on CLOCK_MONOTONIC, set to absolute instants.

    Python has it from 3.13 on; before that it is reached through ctypes.
    """

    __slots__ = ("_at", "_set", "_spec", "fd")

    _CLOCK_MONOTONIC = 1
    _NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
    _ABSOLUTE = 1

    def __init__(self, libc: ctypes.CDLL, fd: int) -> None:
        self._set = libc.timerfd_settime
        self._spec = (ctypes.c_int64 * 4)()  # interval and instant, each in seconds and ns
        self._at = ctypes.byref(self._spec)
        self.fd = fd

    @classmethod
    def create(cls) -> Alarm | None:
        """A new alarm, or None on a platform that has none."""
        if not sys.platform.startswith("linux"):
            return None
        # These calls never block: to let go of the interpreter for them would double their cost.
        libc = ctypes.PyDLL(None, use_errno=True)
        fd = libc.timerfd_create(cls._CLOCK_MONOTONIC, cls._NONBLOCK_CLOEXEC)
        return cls(libc, fd) if fd >= 0 else None

    def set(self, when_ns: int) -> None:
        """Make ``fd`` readable at *when_ns*; an instant that has passed makes it readable now."""
        self._arm(max(when_ns, 1))  # zero would disarm it

    def clear(self) -> None:
        """``fd`` is not readable, and will not be until it is set again."""
        self._arm(0)

    def _arm(self, when_ns: int) -> None:
        self._spec[2], self._spec[3] = divmod(when_ns, _NS_PER_S)
        if self._set(self.fd, self._ABSOLUTE, self._at, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def close(self) -> None:
        os.close(self.fd)
