"""Preferred sizes and allowed sizes: the rules, and batches that follow them in virtual time."""

import numpy as np
import pytest
import structlog

from streambox.batcher import Flush, FlushReason, SlotView, Wait
from streambox.batcher.latency_model import LatencyModel
from streambox.batcher.policy import NEVER_NS, Place, Refuse, WindowPolicy
from streambox.batcher.sizes import PreferredSizes, allowed_size, padded, without_padding
from streambox.executor.base import BatchResult, RowErrors
from virtual import BROKEN, MS, Bench, has_its_rows, states

FREE, BUSY, STAGE = SlotView(1, False), SlotView(0, False), SlotView(0, True)


class Queue:
    """Requests of these many rows, the oldest of time 0."""

    oldest_ns = 0

    def __init__(self, *rows, closed=False):
        self._rows = rows
        self.rows = sum(rows)
        self.closed = closed

    def ahead(self, requests):
        return [Place(0, rows) for rows in self._rows[:requests]]


def sizes(bench):
    return [batch.size for batch in bench.batches]


def decide(*rows, prefer=(4, 8), slots=FREE, now_ns=0, most=16):
    policy = PreferredSizes(WindowPolicy(100, most), prefer)
    return policy.decide(Queue(*rows, closed=sum(rows) >= most), slots, now_ns)


# ---- preferred -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "decision", "why"),
    [
        ([], Wait(NEVER_NS, 1), "nothing waits"),
        ([1] * 3, Wait(100, 4), "a preferred size is near: asked again there"),
        ([1] * 4, Flush(4, FlushReason.BATCHSIZE), "it is reached: no use waiting for the window"),
        ([1] * 7, Flush(4, FlushReason.BATCHSIZE), "the largest that there is, the rest waits"),
        ([1] * 11, Flush(8, FlushReason.BATCHSIZE), "the larger one"),
        ([1] * 30, Flush(8, FlushReason.BATCHSIZE), "also where a batch could be full"),
        ([3, 3], Wait(100, 8), "six rows, of which no four go together"),
        ([3, 5, 1], Flush(8, FlushReason.BATCHSIZE), "eight of them do"),
        ([9, 2], Wait(100, 16), "beyond the largest preferred size: as the policy has it"),
    ],
)
def test_a_batch_leaves_with_the_largest_preferred_size_that_waits(rows, decision, why):
    assert decide(*rows) == decision, why


def test_what_time_sends_off_leaves_whole():
    assert decide(*[1] * 7, prefer=(8,), now_ns=100) == Flush(16, FlushReason.TIMEWINDOW)


def test_without_a_slot_nothing_leaves_but_what_the_policy_stages():
    assert decide(*[1] * 5, slots=BUSY) == Wait(NEVER_NS, 2**63 - 1)
    assert decide(*[1] * 5, slots=STAGE) == Wait(NEVER_NS, 16)
    assert decide(*[1] * 16, slots=STAGE) == Flush(8, FlushReason.BATCHSIZE)


def test_a_preferred_size_above_the_maximum_is_left_out_of_account():
    assert decide(*[1] * 6, prefer=(4, 8), most=6) == Flush(4, FlushReason.BATCHSIZE)


def test_what_the_policy_refuses_or_skips_is_its_own_affair():
    class Own:
        max_batch_size, time_window_ns, by_deadline = 16, 100, True

        def decide(self, *_):
            return self.decision

    own = Own()
    policy = PreferredSizes(own, (2,))
    for own.decision in (Refuse(2), Flush(5, FlushReason.SLOTFREE, skip=1), Flush(5, FlushReason.DEADLINE)):
        assert policy.decide(Queue(1, 1, 1), FREE, 0) is own.decision
    assert policy.by_deadline
    policy.max_batch_size, policy.time_window_ns = 7, 8
    assert (own.max_batch_size, own.time_window_ns) == (7, 8)


def test_requests_leave_as_soon_as_they_make_up_a_preferred_size():
    bench = Bench(preferred=(4, 8), window_ms=100, slots=2)
    bench.submit_many(4)
    assert sizes(bench) == [4]
    bench.submit_many(3)
    bench.advance_ms(99)
    assert sizes(bench) == [4]
    bench.advance_ms(1)
    assert sizes(bench) == [4, 3]


def test_what_has_gathered_while_every_slot_was_busy_leaves_by_preferred_sizes():
    bench = Bench(preferred=(4, 8), policy="eager", max_batch_size=16, service_ns=10 * MS)
    bench.submit_many(14)
    bench.settle()
    assert sizes(bench) == [1, 8, 4, 1]


# ---- allowed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "allowed"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 9)])
def test_the_allowed_size_is_the_smallest_that_is_large_enough(rows, allowed):
    assert allowed_size(rows, (4, 8)) == allowed


def test_a_tensor_is_filled_up_with_its_last_row():
    full = padded({"x": np.array([[1, 2], [3, 4]]), "ids": np.array([7, 8])}, (3,))
    assert full["x"].tolist() == [[1, 2], [3, 4], [3, 4]]
    assert full["ids"].tolist() == [7, 8, 8]


def test_a_tensor_of_an_allowed_size_is_not_copied():
    x = np.zeros((4, 2))
    assert padded({"x": x}, (4,))["x"] is x


def test_batches_are_fed_in_allowed_sizes_and_answered_in_their_own():
    fed = []

    def outcome(batch):
        fed.append(len(batch.tensors["x"]))

    bench = Bench(pad_to=(4, 8), max_batch_size=8, window_ms=5, outcome=outcome)
    requests = bench.submit_many(3)
    bench.settle()
    requests.append(bench.submit(rows=5))
    bench.settle()
    assert (fed, sizes(bench)) == ([4, 8], [3, 5])
    assert all(has_its_rows(r, r.inputs["x"]) for r in requests)
    assert {len(r.batch.outputs["y"]) for r in requests} == {3, 5}
    assert bench.counters.padding_rows == 4
    assert (bench.counters.batch_size.total, bench.counters.completed) == (8, 4)


def test_the_parts_of_a_large_request_are_filled_up_too():
    bench = Bench(pad_to=(4,), max_batch_size=4)
    request = bench.submit(rows=6)
    bench.settle()
    assert has_its_rows(request, request.inputs["x"])
    assert bench.counters.padding_rows == 2


def test_a_batch_that_is_tried_again_is_filled_up_again():
    fed = []

    def outcome(batch):
        fed.append(len(batch.tensors["x"]))
        return BROKEN if len(batch.requests) > 1 else None

    with structlog.testing.capture_logs():
        bench = Bench(pad_to=(4,), max_batch_size=4, outcome=outcome)
        requests = bench.submit_many(4)
        bench.settle()
    assert fed == [4] * 7
    assert states(requests) == ["COMPLETED"] * 4


def test_a_fault_in_the_padding_is_the_last_requests():
    bench = Bench(pad_to=(4,), window_ms=5, outcome=lambda _: RowErrors({3: "no"}))
    first, last = bench.submit_many(2)
    bench.advance_ms(5)
    bench.executor.outcome = lambda _: None
    bench.settle()
    assert states([first, last]) == ["COMPLETED", "FAILED"]
    assert str(last.error) == "no"


def test_of_a_row_and_its_copies_the_first_word_counts():
    bench = Bench(pad_to=(4,), window_ms=0)
    batch = bench.submit(rows=2).batch
    result = without_padding(batch, RowErrors({0: "a", 1: "b", 2: "c", 3: "d"}))
    assert result.messages == {0: "a", 1: "b"}
    assert without_padding(batch, BROKEN) is BROKEN
    assert without_padding(batch, BatchResult({"y": np.arange(4)}, 7)).outputs["y"].tolist() == [0, 1]


def test_what_a_batch_is_expected_to_take_is_what_its_allowed_size_does():
    model = LatencyModel(32)
    for rows in (8, 16, 32) * 20:
        model.observe(rows, rows * MS)
    assert model.expected_ns(9) == pytest.approx(9 * MS, rel=0.01)
    model.sizes = (8, 16)
    assert model.expected_ns(9) == pytest.approx(16 * MS, rel=0.01)
    assert model.expected_ns(20) == pytest.approx(20 * MS, rel=0.01)
