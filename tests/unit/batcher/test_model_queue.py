import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.counters import ModelCounters
from streambox.batcher.model_queue import ModelQueue

COUNTERS = ModelCounters()


def fill(queue, *sizes, signatures=""):
    """Requests a, b, c … of these rows, at 0, 1, 2 … ns; *signatures*: one letter each, all equal if none."""
    made = []
    for number, rows in enumerate(sizes):
        request = PendingRequest("m", lambda _: None, "abcdefghij"[number], rows=rows)
        request.signature = signatures[number] if signatures else None
        request.accept(COUNTERS, number, 1_000_000)
        queue.append(request)
        made.append(request)
    return made


def names(requests):
    return "".join(request.request_id for request in requests)


TAKES = [
    ((1, 1, 1), "", 8, "abc", "all fit: all go"),
    ((1, 1, 1), "", 2, "ab", "the room is for two rows"),
    ((3, 3, 3), "", 8, "ab", "the third does not fit and closes the batch"),
    ((3, 6, 1), "", 8, "a", "a later, smaller one does not overtake one that does not fit"),
    ((8, 1), "", 8, "a", "one that fills the batch by itself"),
    ((9, 1), "", 8, "a", "one let in under a larger maximum runs alone"),
    ((1, 1, 1), "xxy", 8, "ab", "another signature closes the batch"),
    ((1, 1, 1), "xyx", 8, "a", "equal signatures do not overtake one between them"),
    ((), "", 8, "", "nothing waits"),
]


@pytest.mark.parametrize(("sizes", "signatures", "room", "taken", "why"), TAKES, ids=[t[-1] for t in TAKES])
def test_take_removes_the_head_batch(sizes, signatures, room, taken, why):
    queue = ModelQueue(8)
    requests = fill(queue, *sizes, signatures=signatures)

    assert names(queue.take(room)) == taken

    left = requests[len(taken) :]
    assert (queue.count, queue.rows) == (len(left), sum(request.rows for request in left))
    assert all(request.queue is queue for request in left)
    assert all(request.queue is None for request in requests[: len(taken)])


CLOSED = [
    ((), "", False, "nothing waits"),
    ((7,), "", False, "there is room for one more row"),
    ((8,), "", True, "it is full"),
    ((5, 5), "", True, "the second does not fit: the first will not grow any more"),
    ((1, 1), "xx", False, "equal signatures share a batch"),
    ((1, 1), "xy", True, "another signature waits behind"),
]


@pytest.mark.parametrize(("sizes", "signatures", "closed", "why"), CLOSED, ids=[t[-1] for t in CLOSED])
def test_closed_says_whether_the_head_batch_can_still_grow(sizes, signatures, closed, why):
    queue = ModelQueue(8)
    fill(queue, *sizes, signatures=signatures)
    assert queue.closed is closed


def test_closed_reopens_when_the_other_signature_leaves():
    queue = ModelQueue(8)
    _, other = fill(queue, 1, 1, signatures="xy")
    other.cancel()
    assert not queue.closed


def test_a_dead_tail_does_not_hide_that_two_signatures_wait():
    queue = ModelQueue(8)
    _, other = fill(queue, 1, 1, signatures="xy")
    other.cancel()
    assert not queue.closed  # which settles `mixed`, the dead one still being last

    fill(queue, 1, signatures="y")

    assert queue.closed


def test_who_ends_while_waiting_leaves_the_counts_at_once_and_is_never_taken():
    queue = ModelQueue(8)
    a, b, c = fill(queue, 1, 2, 3)
    b.cancel()
    assert (queue.count, queue.rows) == (2, 4)
    assert queue.take(8) == [a, c]


def test_the_oldest_is_the_oldest_still_waiting():
    queue = ModelQueue(8)
    a, _ = fill(queue, 1, 1)
    assert queue.oldest_ns == 0
    a.cancel()
    assert queue.oldest_ns == 1


def test_the_dead_do_not_pile_up_behind_a_living_head():
    queue = ModelQueue(8)
    fill(queue, 1)
    for _ in range(1000):
        (caller_who_leaves,) = fill(queue, 1)
        caller_who_leaves.cancel()
    assert queue.count == 1
    assert len(queue._requests) < 100


def test_repr_and_len_count_the_living():
    queue = ModelQueue(8)
    a, *_ = fill(queue, 2, 3)
    a.cancel()
    assert (repr(queue), len(queue)) == ("<ModelQueue 1 requests, 3 rows>", 1)
