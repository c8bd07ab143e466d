"""Whose rows a batch is made of."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.counters import ModelCounters
from streambox.batcher.fairness import FairQueue
from streambox.batcher.model_queue import DeadlineQueue, ModelQueue
from streambox.batcher.tenants import Tenant

COUNTERS = ModelCounters()
BATCH = 8


def fair(queue=ModelQueue) -> FairQueue:
    """Of a model that takes 2 ms whatever the batch."""
    return FairQueue(BATCH, queue, lambda rows: 2e6 / rows)


def put(queue, tenant, count=1, rows=1, at_ns=0, timeout_ns=10**9):
    """*count* requests of *tenant*, named after it."""
    made = []
    for _ in range(count):
        request = PendingRequest("m", lambda _: None, tenant.name, rows=rows)
        request.tenant, request.timeout_ns = tenant, timeout_ns
        tenant.in_flight += 1
        tenant.queued += 1
        request.accept(COUNTERS, at_ns, 10**12)
        queue.append(request)
        made.append(request)
    return made


def shares(queue: FairQueue, batches: int) -> Counter[str]:
    served: Counter[str] = Counter()
    for _ in range(batches):
        for request in queue.take(BATCH):
            served[request.request_id] += request.rows
    return served


def test_tenants_that_wait_are_served_in_proportion_to_their_weights():
    queue, tenants = fair(), [Tenant(str(weight), weight=weight) for weight in (1, 2, 4)]
    for tenant in tenants:
        put(queue, tenant, 1000)
    served = shares(queue, 70)  # 560 rows: 80, 160, 320
    assert [served[name] for name in "124"] == pytest.approx([80, 160, 320], abs=BATCH)


def test_rows_count_and_not_requests():
    queue, small, large = fair(), Tenant("small"), Tenant("large")
    put(queue, small, 1000)
    put(queue, large, 400, rows=4)
    served = shares(queue, 100)
    assert served["small"] == pytest.approx(served["large"], abs=BATCH)


def test_who_is_alone_gets_all_there_is():
    queue, tenant = fair(), Tenant("a")
    put(queue, tenant, 10)
    put(queue, Tenant("idle", weight=100))
    queue.take(2)
    assert [r.request_id for r in queue.take(BATCH)] == ["a"] * BATCH


def test_idle_time_earns_no_credit():
    queue, busy, late = fair(), Tenant("busy"), Tenant("late")
    put(queue, late)
    put(queue, busy, 1000)
    shares(queue, 50)
    put(queue, late, 1000)
    served = shares(queue, 10)
    assert served["late"] == pytest.approx(served["busy"], abs=2)


def test_a_flood_does_not_hold_up_who_asks_for_little():
    queue, flood, little = fair(), Tenant("flood"), Tenant("little")
    put(queue, flood, 5000)
    for _ in range(50):
        (request,) = put(queue, little)
        assert request in queue.take(BATCH)


def test_a_higher_priority_goes_first_whatever_it_has_had():
    queue, first, rest = fair(), Tenant("first", priority=1), Tenant("rest", weight=100)
    put(queue, rest, 100)
    put(queue, first, 12)
    assert [r.request_id for r in queue.take(BATCH)] == ["first"] * 8
    assert [r.request_id for r in queue.take(BATCH)] == ["first"] * 4 + ["rest"] * 4


def test_a_request_that_does_not_fit_closes_the_batch():
    queue, tenant, other = fair(), Tenant("a"), Tenant("b")
    put(queue, tenant, rows=5)
    put(queue, other, rows=5)
    assert sum(r.rows for r in queue.take(BATCH)) == 5
    assert (queue.count, queue.rows) == (1, 5)


def test_who_ends_while_waiting_leaves_all_counts():
    queue, tenant = fair(), Tenant("a")
    first, second = put(queue, tenant, 2, rows=3)
    first.cancel()
    assert (queue.count, queue.rows, tenant.queued, tenant.in_flight) == (1, 3, 1, 1)
    assert queue.take(BATCH) == [second]
    assert queue.take(BATCH) == []


def test_what_is_skimmed_are_the_earliest_deadlines_of_all_tenants():
    queue, a, b = fair(DeadlineQueue), Tenant("a"), Tenant("b")
    late = put(queue, a, timeout_ns=900)
    soon = put(queue, b, 2, timeout_ns=100)
    assert [place.deadline_ns for place in queue.ahead(5)] == [100, 100, 900]
    skimmed = queue.skim(2)
    assert skimmed == soon
    queue.put_back(skimmed)
    assert (queue.count, queue.skim(9)) == (3, soon + late)


def test_the_oldest_is_the_oldest_of_all():
    queue, a, b = fair(), Tenant("a"), Tenant("b")
    put(queue, a, at_ns=7)
    put(queue, b, at_ns=3)
    assert queue.oldest_ns == 3


def test_tenants_that_have_gone_leave_nothing_behind():
    queue = fair()
    for number in range(1000):
        put(queue, Tenant(str(number)))
        queue.take(BATCH)
    assert len(queue._flows) == 0


def test_queues_of_one_model_count_together_who_waits():
    waiting, a, b = Counter(), Tenant("a"), Tenant("b")
    one, two = (FairQueue(BATCH, ModelQueue, lambda _: 1e6, waiting) for _ in range(2))
    first, *_ = put(one, a, 3)
    put(two, a, 2)
    put(two, b, 4)
    first.cancel()
    two.put_back(two.skim(2))
    assert (waiting[a], waiting[b]) == (4, 4)
    one.take(BATCH)
    two.take(BATCH)
    assert (waiting[a], waiting[b]) == (0, 0)


# ---- how much is before a request ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ModelQueue, DeadlineQueue])
@pytest.mark.parametrize("seed", range(50))
def test_what_is_said_to_be_before_a_request_is_what_is_taken_before_it(seed, kind):
    draw = random.Random(seed)
    queue = FairQueue(BATCH, kind, lambda _: 1e6)
    tenants = [Tenant(str(number), weight=draw.choice([1, 2, 5])) for number in range(4)]
    for _ in range(draw.randint(0, 60)):
        put(queue, draw.choice(tenants), draw.randint(1, 4), timeout_ns=draw.choice([10, 10**9]))
        if draw.random() < 0.3:
            queue.take(draw.randint(1, BATCH))
    tenant = draw.choice(tenants)
    told = queue.rows_before(10**9, tenant)
    (request,) = put(queue, tenant)
    taken = [queue.take(1)[0] for _ in range(queue.count)]
    assert told - taken.index(request) in range(4)  # of those with the very same tag, some come after it


def test_a_flood_is_not_before_who_asks_for_little():
    queue, flood, little, equal = fair(), Tenant("flood"), Tenant("little"), Tenant("equal")
    put(queue, flood, 5000)
    assert queue.rows_before(10**9, flood) == 5000
    assert queue.rows_before(10**9, little) <= 1
    put(queue, equal, 100)
    assert queue.rows_before(10**9, equal) == pytest.approx(200, abs=2)


def test_all_of_a_higher_priority_is_before_and_nothing_of_a_lower_one():
    queue, first, middle, last = (fair(), *(Tenant(str(level), priority=level) for level in (2, 1, 0)))
    put(queue, first, 30)
    put(queue, last, 30)
    assert queue.rows_before(10**9, middle) == 30
