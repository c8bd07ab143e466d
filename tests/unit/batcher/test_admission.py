import pytest

from streambox.batcher import PendingRequest
from streambox.batcher.admission import Admission
from streambox.batcher.counters import ModelCounters
from streambox.batcher.tenants import Tenant


def ask(admission, rows=1, queued=0):
    counters = ModelCounters()
    counters.queued = queued
    return admission.refusal(PendingRequest("m", lambda _: None, rows=rows), counters)


@pytest.fixture
def admission():
    return Admission("m", max_queue_size=3, max_rows=8)


DOORS = [
    (1, 0, None, "room for it"),
    (8, 2, None, "as large as a batch, and the last place in the queue"),
    (9, 0, ("bad_request", 400, None), "more rows than a batch holds: the caller's to mend"),
    (1, 3, ("queue_full", 503, 1), "the queue is full: try again later"),
    (9, 3, ("queue_full", 503, 1), "full, and too large: told that it is full"),
]


@pytest.mark.parametrize(("rows", "queued", "refusal", "why"), DOORS, ids=[row[-1] for row in DOORS])
def test_the_door_lets_in_what_fits(admission, rows, queued, refusal, why):
    error = ask(admission, rows, queued)
    assert (error and (error.code, error.status, error.retry_after_s)) == refusal


def test_refusals_name_the_model_and_the_limit(admission):
    assert "model 'm' has 3 requests waiting, its max_queue_size" in str(ask(admission, queued=3))
    assert "9 rows exceed the 8 that a request to model 'm' may have" in str(ask(admission, rows=9))


def test_a_draining_door_stays_shut(admission):
    admission.drain()
    admission.open()
    assert ask(admission).code == "draining"


def test_a_failed_model_answers_why_until_it_opens_again(admission):
    admission.fail("no such file")
    assert (ask(admission).code, str(ask(admission))) == (
        "model_unavailable",
        "model 'm' cannot be served now: no such file",
    )
    admission.open()
    assert ask(admission) is None


def test_every_refusal_is_an_error_of_its_own(admission):
    """One shared would grow a traceback, and keep the frames, of every caller that was ever refused."""
    admission.drain()
    assert ask(admission) is not ask(admission)


def test_in_a_queue_that_is_half_full_a_tenant_may_have_its_share_of_the_rest():
    door, tenant = Admission("m", max_queue_size=100, max_rows=8), Tenant("a")
    tenant.share = 0.2
    assert door.crowding(tenant, 9) is None
    refusal = door.crowding(tenant, 10)
    assert (refusal.status, refusal.code) == (503, "queue_full")
    assert "tenant 'a' has 10 requests waiting, its share" in str(refusal)
    tenant.share = 0.0001
    assert door.crowding(tenant, 0) is None
