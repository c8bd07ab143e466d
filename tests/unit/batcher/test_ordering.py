"""Answers in the order of acceptance, in virtual time."""

import pytest
import structlog

from streambox.batcher import StreamBoxBatcher
from streambox.errors import QueueFull, Refused
from virtual import BROKEN, MS, Bench, has_its_rows, states


@pytest.fixture(autouse=True)
def logs():
    with structlog.testing.capture_logs() as captured:
        yield captured


def bench_of(*service_ms, **model):
    """Batches of one, as many slots, which take so long one after the other; answers keep their order."""
    times = iter(service_ms)
    return Bench(
        **{
            "preserve_ordering": True,
            "max_batch_size": 1,
            "slots": len(service_ms) or 1,
            "service_ns": lambda _: round(next(times, 1) * MS),
            **model,
        }
    )


def test_who_is_overtaken_is_answered_first_all_the_same():
    bench = bench_of(30, 10, 20)
    requests = bench.submit_many(3)
    bench.advance_ms(25)
    assert states(requests) == ["DISPATCHED", "COMPLETED", "COMPLETED"]
    assert bench.ended == []
    assert bench.counters.completed == 2
    bench.settle()
    assert bench.ended == requests
    assert all(has_its_rows(r, r.inputs["x"]) for r in requests)


def test_without_it_they_are_answered_as_they_end():
    bench = bench_of(30, 10, 20, preserve_ordering=False)
    first, second, third = bench.submit_many(3)
    bench.settle()
    assert bench.ended == [second, third, first]


def test_errors_keep_the_order_too():
    bench = bench_of(30, max_batch_size=4)
    bench.submit(rows=4)
    bench.submit(value=float("nan"))
    late = bench.submit(timeout_ms=5)
    bench.advance_ms(10)
    assert late.state.name == "EXPIRED"
    assert bench.ended == []
    bench.settle()
    assert [request.request_id for request in bench.ended] == ["0", "1", "2"]


def test_a_batch_tried_again_does_not_lose_its_turn():
    bench = bench_of(5, 5, 1, 1, max_batch_size=2, outcome=lambda b: BROKEN if len(b.requests) > 1 else None)
    requests = [*bench.submit_many(2), bench.submit(rows=2)]
    bench.settle()
    assert bench.ended == requests


def test_a_refusal_is_told_at_once():
    bench = bench_of(30, max_queue_size=1)
    bench.submit_many(2)
    assert isinstance(bench.refused(), QueueFull)


def test_a_caller_who_leaves_holds_nobody_up():
    bench = bench_of(30, 10, 10)
    gone, second, third = bench.submit_many(3)
    bench.advance_ms(15)
    bench.scheduler.cancel(gone)
    assert bench.ended == [second, third]
    bench.settle()
    assert bench.ended == [second, third]
    assert len(bench.served["m"].line) == 0


def test_a_caller_who_leaves_when_its_turn_has_not_come_is_not_told():
    bench = bench_of(30, 10)
    first, held = bench.submit_many(2)
    bench.advance_ms(15)
    assert held.state.name == "COMPLETED"
    bench.scheduler.cancel(held)
    bench.settle()
    assert bench.ended == [first]
    assert bench.counters.completed == 2


def test_who_submits_from_its_answer_is_behind_all_who_wait():
    bench = bench_of(30, 10, 10)
    told = []

    def again(request):
        told.append(request.request_id)
        bench.submit(value=float("nan"), on_done=lambda r: told.append(r.request_id))

    bench.submit(on_done=again)
    bench.submit_many(2, on_done=lambda r: told.append(r.request_id))
    bench.settle()
    assert told == ["0", "1", "2", "3"]


def test_a_chain_of_requests_that_each_end_at_once_does_not_recurse(logs):
    bench = bench_of(30)
    told = []

    def again(request):
        told.append(request)
        if len(told) < 300:
            bench.submit(value=float("nan"), on_done=again)

    bench.submit(value=float("nan"), on_done=again)
    assert (len(told), logs) == (300, [])
    assert bench.violations() == []


def test_a_fault_in_one_callers_code_keeps_nobody_from_its_answer(logs):
    def fault(_):
        raise ZeroDivisionError

    bench = bench_of(30, 10)
    bench.submit(on_done=fault)
    second = bench.submit()
    bench.settle()
    assert bench.ended == [second]
    assert [line["event"] for line in logs] == ["on_done raised"]


def test_a_request_in_parts_has_one_place():
    bench = bench_of(30, 10, 10, max_batch_size=2)
    small = bench.submit(rows=2)
    large = bench.submit(rows=4)
    bench.advance_ms(25)
    assert (large.state.name, bench.ended) == ("COMPLETED", [])
    bench.settle()
    assert bench.ended == [small, large]


def test_models_do_not_wait_for_one_another():
    bench = bench_of(30)
    bench.add_model("other", max_batch_size=1, preserve_ordering=True, service_ns=MS)
    bench.submit()
    other = bench.submit(model="other")
    bench.advance_ms(1)
    assert bench.ended == [other]


class Refusing(StreamBoxBatcher):
    def add_one(self, request):
        if request.request_id != "0":
            raise Refused("enough")
        super().add_one(request)


def test_who_is_refused_by_the_batcher_stands_in_no_line():
    bench = bench_of(30, make_batcher=Refusing)
    first = bench.submit()
    assert str(bench.refused()) == "enough"
    bench.settle()
    assert bench.ended == [first]
    assert len(bench.served["m"].line) == 0
