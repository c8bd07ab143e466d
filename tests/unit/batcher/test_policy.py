from dataclasses import dataclass

import pytest

from streambox.batcher import Flush, FlushReason, SlotView, Wait, WindowPolicy
from streambox.batcher.policy import NEVER_NS, NO_ROWS, EagerPolicy, Place, Refuse, SloPolicy


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


EAGER = [
    (EMPTY, FREE, Wait(NEVER_NS, 1), "nothing waits"),
    (OPEN, FREE, Flush(8, FlushReason.SLOTFREE), "a slot is free: at once, whatever there is"),
    (OPEN, BUSY, Wait(NEVER_NS, NO_ROWS), "every slot is busy: the batch grows"),
    (OPEN, STAGE, Wait(NEVER_NS, 8), "only a full batch is staged"),
    (FULL, STAGE, Flush(8, FlushReason.BATCHSIZE), "a full one is"),
]


@pytest.mark.parametrize(("queue", "slots", "decision", "why"), EAGER, ids=[row[-1] for row in EAGER])
def test_eager_policy_decides(queue, slots, decision, why):
    assert EagerPolicy(500, 8).decide(queue, slots, 1000) == decision


class Deadlines:
    """A queue of single rows, by their deadlines; all have just come."""

    def __init__(self, *deadlines_ns: int, oldest_ns: int = 0) -> None:
        self._places = [Place(deadline_ns, 1) for deadline_ns in deadlines_ns]
        self.rows = len(deadlines_ns)
        self.closed = self.rows >= 8
        self.oldest_ns = oldest_ns

    def ahead(self, requests: int) -> list[Place]:
        return self._places[:requests]


@dataclass
class Known:
    """A batch of b rows takes 100 + 10 b ns."""

    rate: float = 0.04
    fixed_ns: float = 100.0

    def bound_ns(self, rows: int) -> float:
        return 100.0 + 10.0 * rows

    def rows_per_ns(self, now_ns: int) -> float:
        return self.rate

    def row_ns(self, rows: int) -> float:
        return self.bound_ns(rows) / rows


TWO = SlotView(2, can_stage=False)

# At most 8 rows, a window of 10,000 ns, 5 ns of slack; 4 rows come in the 100 ns that one batch costs.
SLO = [
    ((), FREE, 0, Wait(NEVER_NS, 1), "nothing waits"),
    ((2000, 2000), FREE, 0, Wait(2000 - 130 - 5, 3), "until one more row could no longer join"),
    ((2000, 2000), FREE, 1865, Flush(8, FlushReason.DEADLINE), "now it is that late"),
    ((2000, 2000), FREE, 1875, Flush(8, FlushReason.DEADLINE), "the last moment"),
    ((2000,) * 8, FREE, 0, Flush(8, FlushReason.BATCHSIZE), "full"),
    ((2000, 2000), BUSY, 1990, Wait(NEVER_NS, NO_ROWS), "every slot is busy"),
    ((100,), FREE, 0, Refuse(1), "not even alone, and not even now"),
    ((100, 110, 900), FREE, 0, Refuse(2), "the first two cannot be saved"),
    ((120, 900, 900), FREE, 0, Flush(1, FlushReason.DEADLINE), "first alone, then the others"),
    ((120, 230, 230, 230), FREE, 0, Refuse(1), "it would cost the three behind it"),
    ((120, 230, 230, 230), TWO, 0, Flush(8, FlushReason.DEADLINE, 1), "another slot is left for it"),
]


@pytest.mark.parametrize(
    ("deadlines", "slots", "now_ns", "decision", "why"), SLO, ids=[row[-1] for row in SLO]
)
def test_slo_policy_decides(deadlines, slots, now_ns, decision, why):
    policy = SloPolicy(10_000, 8, Known(), slack_ns=5)
    assert policy.decide(Deadlines(*deadlines), slots, now_ns) == decision


def test_slo_policy_does_not_wait_where_waiting_buys_nothing():
    policy = SloPolicy(10_000, 8, Known(rate=0.02), slack_ns=5)
    assert policy.decide(Deadlines(9000, 9000), FREE, 0) == Flush(8, FlushReason.SLOTFREE)
    assert isinstance(policy.decide(Deadlines(9000), FREE, 0), Wait)


def test_slo_policy_gives_up_one_request_where_a_batch_more_would_cost_ten():
    saturated = SloPolicy(10_000, 8, Known(rate=0.1), slack_ns=5)
    assert saturated.decide(Deadlines(120, 900, 900), FREE, 0) == Refuse(1)


def test_slo_policy_keeps_nobody_beyond_the_time_window():
    policy = SloPolicy(50, 8, Known(), slack_ns=5)
    assert policy.decide(Deadlines(9000), FREE, 0) == Wait(50, 2)
    assert policy.decide(Deadlines(9000), FREE, 50) == Flush(8, FlushReason.TIMEWINDOW)
