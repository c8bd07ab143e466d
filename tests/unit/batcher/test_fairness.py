"""Whose rows a batch is made of."""

from __future__ import annotations

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
