"""A policy of a user's own, for the tests."""

from __future__ import annotations

from streambox.batcher import Flush, FlushReason, Wait
from streambox.batcher.policy import NEVER_NS


class Lonely:
    """Nobody shares a batch."""

    by_deadline = False

    def __init__(self, time_window_ns, max_batch_size, outlook):
        self.time_window_ns = time_window_ns
        self.max_batch_size = max_batch_size

    def decide(self, queue, slots, now_ns):
        if queue.rows and slots.free:
            return Flush(1, FlushReason.SLOTFREE)
        return Wait(NEVER_NS, 1)
