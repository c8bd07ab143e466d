import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.counters import ModelCounters
from streambox.batcher.expiry import Expiry

MODEL_TIMEOUT_NS = 1000


class Door:
    """Adds requests to an Expiry as the scheduler does."""

    def __init__(self):
        self.expiry = Expiry()
        self.counters = ModelCounters()

    def add(self, now_ns, own_ns=None):
        request = PendingRequest("m", lambda _: None)
        request.timeout_ns = own_ns
        request.accept(self.counters, now_ns, MODEL_TIMEOUT_NS)
        self.expiry.add(request)
        return request

    def kept(self):
        return len(self.expiry._queue) + len(self.expiry._heap)


@pytest.fixture
def door():
    return Door()


NEXT = [
    ([], None, "nobody waits"),
    ([(0, None), (5, None)], 1000, "under the model's time-out the first to come is the first to go"),
    ([(0, None), (5, 20)], 25, "one with a short deadline of its own goes first"),
    ([(0, 900), (5, 20), (6, 400)], 25, "the shortest of several"),
    ([(0, None), (5, 9999)], 1000, "a deadline of its own beyond the model's is the model's"),
    ([(0, 9999)], 1000, "also when it is alone"),
]


@pytest.mark.parametrize(("arrivals", "next_ns", "why"), NEXT, ids=[row[-1] for row in NEXT])
def test_the_next_deadline_is_the_earliest(door, arrivals, next_ns, why):
    for now_ns, own_ns in arrivals:
        door.add(now_ns, own_ns)
    assert door.expiry.next_ns() == next_ns


def test_pop_due_gives_each_one_whose_deadline_has_come_once(door):
    a, b, c = door.add(0), door.add(5, 20), door.add(6)
    assert door.expiry.pop_due(24) is None
    assert door.expiry.pop_due(25) is b
    assert door.expiry.pop_due(25) is None
    assert [door.expiry.pop_due(2000) for _ in range(3)] == [a, c, None]


def test_who_has_ended_has_no_deadline_any_more(door):
    a, b = door.add(0), door.add(5, 20)
    b.cancel()
    assert door.expiry.next_ns() == 1000
    a.finish()
    assert door.expiry.next_ns() is None


def test_unfinished_lists_who_has_not_ended_of_both_kinds(door):
    a, b, c = door.add(0), door.add(5, 20), door.add(6)
    c.finish()
    assert set(door.expiry.unfinished()) == {a, b}


@pytest.mark.parametrize("own_ns", [None, 500])
def test_the_ended_do_not_pile_up_behind_one_that_hangs(door, own_ns):
    door.add(0, own_ns)
    for now_ns in range(1, 1000):
        door.add(now_ns, own_ns).finish()
        door.expiry.prune(door.counters.in_flight)
    assert door.kept() < 100
    assert door.expiry.next_ns() == (1000 if own_ns is None else 500)
