"""What a tenant may ask for."""

from __future__ import annotations

import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import Forbidden, QuotaExceeded

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
