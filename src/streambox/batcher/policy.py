"""
When a batch leaves its queue: pure decisions.

A policy is asked with what waits, what is free and what time it is, and answers
*act now* or *wait until then*. It keeps no clock, starts no timer and does no I/O.
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple, Protocol

from streambox.batcher.batch import FlushReason

NEVER_NS: Final = sys.maxsize
NO_ROWS: Final = sys.maxsize


class Flush(NamedTuple):
    """Form a batch of at most ``rows`` rows now."""

    rows: int
    reason: FlushReason


class Wait(NamedTuple):
    """Do not ask again before ``until_ns``, ``rows`` rows waiting, the head leaving, or a slot freeing."""

    until_ns: int
    rows: int


class QueueView(Protocol):
    """What a policy sees of a queue. ``oldest_ns`` may be read only when ``rows > 0``."""

    @property
    def rows(self) -> int: ...
    @property
    def oldest_ns(self) -> int: ...
    @property
    def closed(self) -> bool: ...


class SlotView(NamedTuple):
    """``free`` slots can run a batch now; ``can_stage``: one full batch may wait behind a busy slot."""

    free: int
    can_stage: bool


class Policy(Protocol):
    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Flush | Wait: ...


class WindowPolicy:
    """
    The reference's rule: a batch leaves when it is full, or when its oldest request has
    waited for the time window.

    The window counts from the arrival of the oldest request. A slot is reserved
    first (late binding), so with every slot busy a batch goes on growing past its
    window, and leaves as soon as a slot frees.
    """

    __slots__ = ("max_batch_size", "time_window_ns")

    def __init__(self, time_window_ns: int, max_batch_size: int) -> None:
        self.time_window_ns = time_window_ns
        self.max_batch_size = max_batch_size

    def decide(self, queue: QueueView, slots: SlotView, now_ns: int) -> Flush | Wait:
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
