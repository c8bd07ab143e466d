"""Requests of more rows than a batch may have, in virtual time."""

import contextlib
import math

import numpy as np
import pytest
import structlog

from streambox.batcher import FlushReason, StreamBoxBatcher
from streambox.batcher.tenants import Tenant, TokenBucket
from streambox.errors import BadRequest, DeadlineExceeded, Hopeless, Quarantined, QueueFull, Refused
from streambox.executor.base import RowErrors
from virtual import BROKEN, DIED, HOPELESS, MS, Bench, has_its_rows, pieces, states


@pytest.fixture(autouse=True)
def logs():
    with structlog.testing.capture_logs() as captured:
        yield captured


def sizes(bench):
    return [batch.size for batch in bench.batches]


def counts(bench):
    counters = bench.counters
    return {
        name: getattr(counters, name)
        for name in ("received", "accepted", "refused", "completed", "failed", "expired", "cancelled")
        if getattr(counters, name)
    }


# ---- one answer ----------------------------------------------------------------------------------


def test_a_large_request_runs_in_parts_and_is_answered_as_one():
    bench = Bench(max_batch_size=4)
    request = bench.submit(rows=11)
    bench.settle()
    assert sizes(bench) == [4, 4, 3]
    assert bench.ended == [request]
    assert has_its_rows(request, request.inputs["x"])
    assert request.batch.outputs["y"].shape == (11, 1)


def test_it_is_counted_once_and_its_parts_beside():
    bench = Bench(max_batch_size=4, window_ms=5)
    bench.submit(rows=11)
    assert (bench.counters.in_flight, bench.counters.queued) == (1, 1)
    parts = bench.served["m"].parts
    assert (parts.in_flight, parts.queued) == (3, 2)
    bench.settle()
    assert counts(bench) == {"received": 1, "accepted": 1, "completed": 1}
    assert (parts.accepted, parts.completed, parts.in_flight) == (3, 3, 0)
    assert bench.violations() == []


def test_it_waits_until_its_last_part_has_left():
    bench = Bench(max_batch_size=4, slots=2)
    request = bench.submit(rows=10)
    assert (request.state.name, bench.counters.queued) == ("QUEUED", 1)
    bench.advance_ms(100)
    assert (request.state.name, bench.counters.queued) == ("DISPATCHED", 0)


def test_the_last_part_shares_its_batch_with_others():
    bench = Bench(max_batch_size=4)
    large = bench.submit(rows=6)
    small = bench.submit(rows=2)
    bench.settle()
    assert sizes(bench) == [4, 4]
    assert [has_its_rows(r, r.inputs["x"]) for r in (large, small)] == [True, True]


def test_parts_that_end_out_of_order_are_joined_in_order():
    slow_first = iter([50 * MS, MS, MS])
    bench = Bench(max_batch_size=2, slots=3, service_ns=lambda _: next(slow_first))
    request = bench.submit(rows=6)
    bench.settle()
    assert has_its_rows(request, request.inputs["x"])


def test_the_answer_tells_of_the_batch_that_ended_last():
    slow_first = iter([50 * MS, 10 * MS])
    bench = Bench(max_batch_size=2, slots=2, service_ns=lambda _: next(slow_first))
    request = bench.submit(rows=4)
    bench.settle()
    batch = request.batch
    assert (batch.id, batch.size, batch.service_ns) == (bench.batches[0].id, 2, 50 * MS)
    assert batch.reason is FlushReason.BATCHSIZE
    assert (batch.requests, batch.tensors) == ([], {})


def test_as_many_rows_as_a_batch_may_have_are_not_cut():
    bench = Bench(max_batch_size=4)
    request = bench.submit(rows=4)
    assert pieces(request) == [request]
    assert bench.served["m"].parts.received == 0


def test_a_batch_size_made_smaller_cuts_what_comes_and_not_what_waits():
    bench = Bench(max_batch_size=8)
    waiting = bench.submit(rows=6)
    bench.batcher.set_batch_size(4)
    assert sizes(bench) == [6]
    bench.submit(rows=6)
    bench.settle()
    assert sizes(bench) == [6, 4, 2]
    assert waiting.state.name == "COMPLETED"


# ---- bounds --------------------------------------------------------------------------------------


def test_a_request_may_have_1024_rows_or_as_many_as_a_batch():
    assert Bench(max_batch_size=4).served["m"].admission.max_rows == 1024
    assert Bench(max_batch_size=4000).served["m"].admission.max_rows == 4000


def test_more_rows_than_a_request_may_have_are_refused():
    bench = Bench(max_batch_size=4, max_request_rows=9)
    assert bench.refused(rows=10).code == "bad_request"
    assert bench.submit(rows=9).state.name == "QUEUED"
    assert Bench(max_batch_size=4, max_request_rows=3).refused(rows=4).code == "bad_request"


def test_a_full_queue_refuses_it_whole():
    bench = Bench(max_batch_size=4, max_queue_size=1)
    bench.submit()
    assert isinstance(bench.refused(rows=9), QueueFull)
    assert bench.served["m"].parts.received == 0


def test_it_is_hopeless_when_its_last_part_would_be_late():
    bench = Bench(max_batch_size=4, service_ns=10 * MS, timeout_ms=60)
    for _ in range(5):
        bench.submit(rows=4)
        bench.settle()
    assert bench.submit(rows=16).counters is not None
    assert isinstance(bench.refused(rows=16), Hopeless)
    bench.settle()
    assert isinstance(bench.refused(rows=40), DeadlineExceeded)
    assert counts(bench)["completed"] == 6


@pytest.mark.parametrize("rows", [4, 16])
def test_a_request_of_one_row_behind_a_few_of_many_is_told_at_once_that_it_is_hopeless(rows):
    """Rows are counted, not requests: so few requests alone would not be too many before it."""
    bench = Bench(max_batch_size=4, service_ns=10 * MS, timeout_ms=100)
    for _ in range(5):
        bench.submit(rows=4)
        bench.settle()
    for size in (rows, 1):
        accepted = 0
        with contextlib.suppress(Hopeless):
            while accepted < 100:
                bench.submit(rows=size)
                accepted += 1
        assert 0 < accepted < 10
    assert bench.counters.queued < bench.served["m"].forecast.patience


def test_requests_of_many_rows_count_as_many_arrivals():
    bench = Bench(max_batch_size=4)
    served = bench.served["m"]
    served.rows_per_ns(0)
    for _ in range(5):
        bench.submit(rows=4)
        bench.advance_ms(200)
    rate_per_s = served.rows_per_ns(bench.clock.now_ns()) * 1e9
    assert rate_per_s == pytest.approx(20 * (1 - math.exp(-1)), rel=0.01)


def test_a_tenant_has_one_request_in_flight_and_pays_for_its_rows():
    bench = Bench(max_batch_size=4, shared=True)
    tenant = Tenant("t", bucket=TokenBucket(1, 11, 0), max_in_flight=1)
    request = bench.request(10)
    request.tenant = tenant
    bench.scheduler.submit(request)
    assert (tenant.in_flight, tenant.queued, tenant.accepted) == (1, 1, 1)
    assert tenant.bucket.take(2, 0) > 0
    bench.settle()
    assert (tenant.in_flight, tenant.queued) == (0, 0)
    assert (tenant.completed, tenant.rows) == (1, 10)


def test_it_crowds_a_half_full_queue_as_one_request():
    bench = Bench(shared=True, max_batch_size=2, max_queue_size=4, service_ns=100 * MS)
    tenant = Tenant("t")
    waiting_of = bench.batcher.waiting_of
    for rows in (1, 11, 1):
        request = bench.request(rows)
        request.tenant = tenant
        bench.scheduler.submit(request)
    assert waiting_of(tenant, "m") == tenant.queued
    bench.scheduler.cancel(bench.submitted[1])
    assert waiting_of(tenant, "m") == tenant.queued
    bench.settle()
    assert waiting_of(tenant, "m") == 0


# ---- failures ------------------------------------------------------------------------------------


def test_a_row_at_fault_fails_the_request_once_and_what_of_it_waits_never_runs():
    bench = Bench(max_batch_size=2, outcome=lambda batch: RowErrors({0: "no"}))
    request = bench.submit(rows=8)
    mate = bench.submit(rows=1)
    bench.executor.outcome = lambda _: None
    bench.settle()
    assert (request.state.name, request.error.code, str(request.error)) == ("FAILED", "row_failed", "no")
    assert mate.state.name == "COMPLETED"
    assert sizes(bench) == [2, 1]
    assert counts(bench) == {"received": 2, "accepted": 2, "completed": 1, "failed": 1}
    assert bench.ended == [request, mate]


def test_a_part_that_is_not_finite_is_named_by_its_place_in_the_whole():
    bench = Bench(max_batch_size=2)
    request = bench.request(6, width=3)
    request.inputs["x"][5, 1] = float("nan")
    bench.scheduler.submit(request)
    bench.settle()
    assert isinstance(request.error, BadRequest)
    assert "value 16 " in str(request.error)


def test_a_request_at_fault_from_its_first_row_is_ended_before_the_rest_is_queued():
    bench = Bench(max_batch_size=2)
    request = bench.submit(rows=6, value=float("nan"))
    assert request.state.name == "FAILED"
    assert bench.ended == [request]
    assert bench.counters.in_flight == bench.served["m"].parts.in_flight == 0
    assert bench.batches == []


def test_a_failed_batch_of_parts_and_others_is_tried_again_apart():
    def outcome(batch):
        return BROKEN if len(batch.requests) > 1 else None

    bench = Bench(max_batch_size=4, outcome=outcome)
    requests = [bench.submit(rows=5), bench.submit(rows=1), bench.submit(rows=2)]
    bench.settle()
    assert states(requests) == ["COMPLETED"] * 3
    assert all(has_its_rows(r, r.inputs["x"]) for r in requests)
    assert bench.violations() == []


def test_its_parts_whose_workers_die_are_one_failure_to_the_breaker():
    bench = Bench(max_batch_size=1, slots=3, outcome=lambda _: DIED)
    request = bench.submit(rows=3)
    bench.settle()
    assert (request.state.name, request.error.code) == ("FAILED", "worker_died")
    assert len(bench.batches) == 6  # each alone from the start, and so tried once more
    guard = bench.served["m"].guard
    assert (guard.breaker.failures, guard.retried) == (1, 3)
    assert bench.violations() == []


def test_when_the_breaker_opens_it_is_turned_out_with_all_of_its_parts():
    bench = Bench(max_batch_size=1, window_ms=0, outcome=lambda _: HOPELESS)
    bench.submit_many(5)
    request = bench.submit(rows=7)
    bench.settle()
    assert bench.served["m"].guard.breaker.opened == 1
    assert (request.state.name, request.error.code) == ("FAILED", "circuit_open")
    assert len(bench.batches) == 5
    assert bench.violations() == []
    assert bench.served["m"].parts.in_flight == 0


def test_an_input_like_a_part_that_failed_by_itself_is_kept_out_and_the_whole_is_not():
    bench = Bench(max_batch_size=2, outcome=lambda _: BROKEN)
    for _ in range(2):
        request = bench.request(rows=4)
        request.inputs["x"][:] = -1.0
        bench.scheduler.submit(request)
        bench.settle()
    for rows, kept_out in ((2, True), (4, False)):
        request = bench.request(rows)
        request.inputs["x"][:] = -1.0
        if kept_out:
            with pytest.raises(Quarantined):
                bench.scheduler.submit(request)
        else:
            bench.scheduler.submit(request)


def test_a_caller_who_leaves_takes_waiting_parts_along_and_those_to_be_tried_again():
    bench = Bench(max_batch_size=2, slots=2, outcome=lambda _: DIED)
    request = bench.submit(rows=8)
    assert [part.state.name for part in pieces(request)] == ["DISPATCHED"] * 2 + ["QUEUED"] * 2
    bench.scheduler.cancel(request)
    bench.settle()
    assert sizes(bench) == [2, 2]
    assert bench.ended == []
    assert counts(bench) == {"received": 1, "accepted": 1, "cancelled": 1}
    assert bench.violations() == []


def test_it_expires_as_a_whole_while_a_part_runs():
    bench = Bench(max_batch_size=2, service_ns=100 * MS)
    request = bench.submit(rows=4, timeout_ms=50)
    bench.settle()
    assert request.state.name == "EXPIRED"
    assert sizes(bench) == [2]
    assert bench.served["m"].parts.in_flight == 0


def test_outputs_that_do_not_join_are_the_models_fault():
    bench = Bench(max_batch_size=2)
    request = bench.submit(rows=4)
    first, second = pieces(request)
    bench.advance_ms(10)
    first.batch.outputs["y"] = np.zeros((2, 7))
    bench.settle()
    assert (request.state.name, request.error.code) == ("FAILED", "bad_model_output")
    assert "its 2 parts do not join" in str(request.error)
    assert second.state.name == "COMPLETED"


class Choosy(StreamBoxBatcher):
    """Takes the first two requests, or parts."""

    taken = 0

    def add_one(self, request):
        self.taken += 1
        if self.taken > 2:
            raise Refused("enough")
        super().add_one(request)


def test_a_batcher_that_refuses_one_part_refuses_the_whole():
    bench = Bench(Choosy, max_batch_size=2)
    request = bench.request(8)
    with pytest.raises(Refused, match="enough"):
        bench.scheduler.submit(request)
    bench.settle()
    assert counts(bench) == {"received": 1, "refused": 1}
    assert request.counters is None
    assert bench.violations() == []
    assert bench.ended == []


class Faulty(StreamBoxBatcher):
    def add_one(self, request):
        if self._models:
            raise ZeroDivisionError
        super().add_one(request)


def test_a_batcher_that_fails_on_a_part_fails_the_request_alone():
    bench = Bench(Faulty, max_batch_size=2)
    request = bench.submit(rows=8)
    bench.settle()
    assert (request.state.name, request.error.code) == ("FAILED", "internal")
    assert bench.violations() == []
    assert bench.served["m"].parts.in_flight == 0
