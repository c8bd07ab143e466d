import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.counters import ModelCounters
from streambox.batcher.model_queue import DeadlineQueue, ModelQueue

COUNTERS = ModelCounters()


def fill(queue, *sizes):
    """Requests a, b, c … of these rows, at 0, 1, 2 … ns."""
    made = []
    for number, rows in enumerate(sizes):
        request = PendingRequest("m", lambda _: None, "abcdefghij"[number], rows=rows)
        request.accept(COUNTERS, number, 1_000_000)
        queue.append(request)
        made.append(request)
    return made


def names(requests):
    return "".join(request.request_id for request in requests)


TAKES = [
    ((1, 1, 1), 8, "abc", "all fit: all go"),
    ((1, 1, 1), 2, "ab", "the room is for two rows"),
    ((3, 3, 3), 8, "ab", "the third does not fit and closes the batch"),
    ((3, 6, 1), 8, "a", "a later, smaller one does not overtake one that does not fit"),
    ((8, 1), 8, "a", "one that fills the batch by itself"),
    ((9, 1), 8, "a", "one let in under a larger maximum runs alone"),
    ((), 8, "", "nothing waits"),
]


@pytest.mark.parametrize(("sizes", "room", "taken", "why"), TAKES, ids=[t[-1] for t in TAKES])
def test_take_removes_the_head_batch(sizes, room, taken, why):
    queue = ModelQueue(8)
    requests = fill(queue, *sizes)

    assert names(queue.take(room)) == taken

    left = requests[len(taken) :]
    assert (queue.count, queue.rows) == (len(left), sum(request.rows for request in left))
    assert all(request.queue is queue for request in left)
    assert all(request.queue is None for request in requests[: len(taken)])


CLOSED = [
    ((), False, "nothing waits"),
    ((7,), False, "there is room for one more row"),
    ((8,), True, "it is full"),
    ((5, 5), True, "the second does not fit: the first will not grow any more"),
]


@pytest.mark.parametrize(("sizes", "closed", "why"), CLOSED, ids=[t[-1] for t in CLOSED])
def test_closed_says_whether_the_head_batch_can_still_grow(sizes, closed, why):
    queue = ModelQueue(8)
    fill(queue, *sizes)
    assert queue.closed is closed


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


def queued_by_deadline(*deadlines):
    """Requests a, b, c … with these time-outs, all at 0 ns."""
    queue, made = DeadlineQueue(8), []
    for number, deadline_ns in enumerate(deadlines):
        request = PendingRequest("m", lambda _: None, "abcdefghij"[number])
        request.timeout_ns = deadline_ns
        request.accept(COUNTERS, 0, 1_000_000)
        queue.append(request)
        made.append(request)
    return queue, made


ORDERS = [
    ((10, 20, 30), "abc", "as they come"),
    ((30, 20, 10), "cba", "the earliest first"),
    ((20, 20, 10, 20), "cabd", "among equal ones in the order of arrival"),
]


@pytest.mark.parametrize(("deadlines", "order", "why"), ORDERS, ids=[row[-1] for row in ORDERS])
def test_by_deadline_the_earliest_is_taken_first(deadlines, order, why):
    queue, _ = queued_by_deadline(*deadlines)
    assert [place.deadline_ns for place in queue.ahead(9)] == sorted(deadlines)
    assert names(queue.take(8)) == order


def test_by_deadline_the_oldest_need_not_be_the_first():
    queue = DeadlineQueue(8)
    for enqueued_ns, timeout_ns in ((1, 100), (5, 10)):
        request = PendingRequest("m", lambda _: None)
        request.timeout_ns = timeout_ns
        request.accept(COUNTERS, enqueued_ns, 1_000_000)
        queue.append(request)
    assert (queue.ahead(1)[0].deadline_ns, queue.oldest_ns) == (15, 1)


def test_what_is_skimmed_is_the_living_first_and_can_be_put_back():
    queue = ModelQueue(8)
    a, b, c, d = fill(queue, 1, 2, 3, 4)
    b.cancel()
    skimmed = queue.skim(2)
    assert (skimmed, queue.count, queue.rows) == ([a, c], 1, 4)
    queue.put_back(skimmed)
    assert (queue.count, queue.rows, queue.take(100)) == (3, 8, [a, c, d])


def test_no_more_can_be_skimmed_than_waits():
    queue = ModelQueue(8)
    (a,) = fill(queue, 1)
    assert queue.skim(5) == [a]
    assert queue.skim(5) == []
