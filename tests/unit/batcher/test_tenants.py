"""What a tenant may ask for."""

from __future__ import annotations

import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import Forbidden, QuotaExceeded, StreamBoxError
from virtual import Bench, states

SECOND = 1_000_000_000


def request(rows: int = 1, model: str = "m") -> PendingRequest:
    return PendingRequest(model, lambda _: None, rows=rows)


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate():
    bucket = TokenBucket(10, 5, 0)
    assert [bucket.take(1, 0) for _ in range(5)] == [0] * 5
    assert bucket.take(1, 0) == SECOND // 10
    assert bucket.take(1, SECOND // 10) == 0
    assert bucket.take(1, SECOND // 10) > 0


def test_a_bucket_never_holds_more_than_its_burst():
    bucket = TokenBucket(10, 5, 0)
    assert [bool(bucket.take(1, 3600 * SECOND)) for _ in range(6)] == [False] * 5 + [True]


def test_over_a_long_time_the_rate_is_kept():
    bucket = TokenBucket(100, 10, 0)
    taken = sum(not bucket.take(1, at) for at in range(0, 60 * SECOND, SECOND // 1000))
    assert taken == pytest.approx(60 * 100 + 10, abs=1)


def test_what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_for_afterwards():
    bucket = TokenBucket(10, 5, 0)
    assert bucket.take(20, 0) == 0
    assert bucket.take(1, SECOND) > 0
    assert bucket.take(1, round(1.6 * SECOND) + 1) == 0


def test_what_was_not_used_is_given_back():
    bucket = TokenBucket(10, 5, 0)
    bucket.take(5, 0)
    bucket.give_back(2)
    assert [bool(bucket.take(1, 0)) for _ in range(3)] == [False, False, True]


def test_a_limit_on_what_is_in_flight_or_queued():
    tenant = Tenant("a", max_in_flight=2, max_queued=1)
    tenant.admit(request(), 0)
    with pytest.raises(QuotaExceeded, match="waiting"):
        tenant.admit(request(), 0)
    tenant.queued = 0  # dispatched
    tenant.admit(request(), 0)
    with pytest.raises(QuotaExceeded, match="in flight"):
        tenant.admit(request(), 0)
    assert (tenant.accepted, tenant.queued, tenant.in_flight) == (2, 1, 2)


def test_over_its_rate_it_is_told_when_to_come_back():
    tenant = Tenant("a", bucket=TokenBucket(0.5, 1, 0))
    tenant.admit(request(), 0)
    with pytest.raises(QuotaExceeded) as refusal:
        tenant.admit(request(), 0)
    assert (refusal.value.status, refusal.value.retry_after_s) == (429, 2)


def test_a_model_that_is_not_its_own_is_forbidden():
    tenant = Tenant("a", models=frozenset(["m"]))
    tenant.admit(request(model="m"), 0)
    with pytest.raises(Forbidden, match="'other'"):
        tenant.admit(request(model="other"), 0)


# ---- in the system ---------------------------------------------------------------------------------


def of(bench, tenant, count=1, **options):
    """*count* requests of *tenant*; those that are accepted."""
    accepted = []
    for _ in range(count):
        made = bench.request(**options)
        made.tenant = tenant
        try:
            bench.scheduler.submit(made)
        except StreamBoxError:
            continue
        accepted.append(made)
    return accepted


def two() -> tuple[Tenant, Tenant]:
    flood, little = Tenant("flood"), Tenant("little")
    flood.share = little.share = 0.5
    return flood, little


def test_a_flood_leaves_room_in_the_queue_for_the_others():
    bench, (flood, little) = Bench(shared=True, max_queue_size=40, max_batch_size=8, service_ns=10**9), two()
    assert len(of(bench, flood, 500)) == 20 + 8  # the first half, and the batch that runs
    assert flood.refused == {"queue_full": 500 - 28}
    assert len(of(bench, little, 500)) == 10
    assert bench.counters.queued <= 40
    assert bench.violations() == []


def test_one_tenant_is_not_told_that_anothers_flood_makes_its_deadline_hopeless():
    """Of a model that takes 10 ms for a batch of 4: 400 rows are a second, of one tenant alone."""
    bench = Bench(shared=True, max_batch_size=4, window_ms=0, service_ns=10_000_000)
    flood, little = two()
    for _ in range(20):
        of(bench, flood, 4)
        bench.settle()
    of(bench, flood, 400)
    assert of(bench, flood, timeout_ms=100) == []
    assert flood.refused == {"deadline_hopeless": 1}
    (request,) = of(bench, little, timeout_ms=100)
    assert little.refused == {}
    bench.settle()
    assert states([request]) == ["COMPLETED"]


def test_what_a_tenant_has_got_is_counted_in_requests_and_rows():
    bench, (tenant, other) = Bench(shared=True, window_ms=5), two()
    of(bench, tenant, 3, rows=2)
    of(bench, other)
    (left,) = of(bench, tenant)
    bench.scheduler.cancel(left)
    bench.settle()
    assert (tenant.accepted, tenant.completed, tenant.rows, tenant.in_flight, tenant.queued) == (
        4,
        3,
        6,
        0,
        0,
    )
    assert (other.completed, other.rows) == (1, 1)


def test_every_refusal_is_counted_under_its_code_wherever_it_is_made():
    bench = Bench(shared=True, max_batch_size=2, max_request_rows=2)
    tenant = Tenant("a", models=frozenset(["m"]), max_in_flight=1)
    bench.add_model("other")
    of(bench, tenant, rows=3)
    of(bench, tenant, model="other")
    of(bench, tenant, 2)
    bench.scheduler.drain()
    of(bench, tenant)
    assert tenant.refused == {"bad_request": 1, "forbidden": 1, "quota_exceeded": 1, "draining": 1}
