from dataclasses import dataclass

import pytest

from streambox.batcher import Flush, FlushReason, SlotView, Wait, WindowPolicy
from streambox.batcher.policy import NEVER_NS, NO_ROWS


@dataclass
class Queue:
    rows: int
    oldest_ns: int
    closed: bool


FREE, STAGE, BUSY = SlotView(1, can_stage=False), SlotView(0, can_stage=True), SlotView(0, can_stage=False)
FULL, OPEN, EMPTY = Queue(8, 1000, closed=True), Queue(3, 1000, closed=False), Queue(0, 0, closed=False)

# Window 500 ns, 8 rows; the oldest arrived at 1000.
DECISIONS = [
    (EMPTY, FREE, 9999, Wait(NEVER_NS, 1), "nothing waits: ask again at the next arrival"),
    (OPEN, FREE, 1000, Wait(1500, 8), "just come: until its window ends, or the batch is full"),
    (OPEN, FREE, 1499, Wait(1500, 8), "one ns short of the window"),
    (OPEN, FREE, 1500, Flush(8, FlushReason.TIMEWINDOW), "the window has passed, to the nanosecond"),
    (OPEN, FREE, 9999, Flush(8, FlushReason.TIMEWINDOW), "long past it: a slot has freed late"),
    (FULL, FREE, 1000, Flush(8, FlushReason.BATCHSIZE), "full: the window does not matter"),
    (FULL, FREE, 9999, Flush(8, FlushReason.BATCHSIZE), "full and past its window: for its size"),
    (FULL, STAGE, 1000, Flush(8, FlushReason.BATCHSIZE), "full: it may wait behind a quick batch"),
    (FULL, BUSY, 9999, Wait(NEVER_NS, NO_ROWS), "full, no slot: only a freed slot matters"),
    (OPEN, BUSY, 9999, Wait(NEVER_NS, NO_ROWS), "past its window, no slot: it goes on growing"),
    (OPEN, STAGE, 9999, Wait(NEVER_NS, 8), "past its window, but only a full batch is staged"),
]


@pytest.mark.parametrize(
    ("queue", "slots", "now_ns", "decision", "why"), DECISIONS, ids=[row[-1] for row in DECISIONS]
)
def test_window_policy_decides(queue, slots, now_ns, decision, why):
    assert WindowPolicy(500, 8).decide(queue, slots, now_ns) == decision


def test_a_window_of_zero_sends_each_as_soon_as_a_slot_is_free():
    policy = WindowPolicy(0, 8)
    assert policy.decide(OPEN, FREE, 1000) == Flush(8, FlushReason.TIMEWINDOW)
    assert policy.decide(OPEN, BUSY, 1000) == Wait(NEVER_NS, NO_ROWS)


def test_the_same_state_gives_the_same_decision():
    policy = WindowPolicy(500, 8)
    assert len({policy.decide(OPEN, FREE, 1200) for _ in range(10)}) == 1
