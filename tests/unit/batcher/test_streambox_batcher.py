"""Our Batcher on its engine, and the reference's faults as far as the core is concerned."""

import re

import pytest

from streambox.batcher import FlushReason, StreamBoxBatcher
from streambox.batcher.tenants import Tenant
from streambox.errors import ConfigError
from virtual import MS, Bench, states


def sizes(bench):
    return [batch.size for batch in bench.batches]


def sent_ms(bench):
    return [batch.at_ns / MS for batch in bench.batches]


# ---- the reference's faults ----------------------------------------------------------------------


def test_a_batch_that_fills_is_sent_where_the_reference_deadlocks():
    bench = Bench()
    requests = bench.submit_many(32)
    bench.settle()
    assert states(requests) == ["COMPLETED"] * 32
    assert sizes(bench) == [32]


def test_a_batch_is_sent_and_answered_where_the_reference_sends_nothing():
    bench = Bench()
    request = bench.submit()
    bench.settle()
    assert states([request]) == ["COMPLETED"]


def test_the_window_counts_from_the_oldest_arrival_not_from_a_ticker():
    """A free-running 100 ms ticker would send at 200; one restarted at each arrival at 240."""
    bench = Bench(window_ms=100)
    bench.advance_ms(130)
    bench.submit()
    bench.advance_ms(10)
    bench.submit()
    bench.settle()
    assert (sizes(bench), sent_ms(bench)) == ([2], [230])


def test_ten_thousand_rounds_of_exactly_a_full_batch_all_come_through():
    bench = Bench(service_ns=MS)
    for _ in range(10_000):
        for _ in range(32):
            bench.submit()
        bench.settle()
        assert len(bench.ended) == 32
        assert sizes(bench) == [32]
        bench.ended.clear()
        bench.submitted.clear()
        bench.batches.clear()
    counters = bench.counters
    assert (counters.completed, counters.flushes) == (320_000, {"batchsize": 10_000})
    assert bench.violations() == []


# ---- when a batch leaves -------------------------------------------------------------------------


def test_a_slot_that_frees_late_takes_all_that_has_gathered():
    bench = Bench(window_ms=5, service_ns=50 * MS)
    bench.submit()
    bench.advance_ms(10)
    for _ in range(4):
        bench.submit()
        bench.advance_ms(10)
    bench.settle()
    assert (sizes(bench), sent_ms(bench)) == ([1, 4], [5, 55])


def test_a_request_that_does_not_fit_closes_the_batch_before_it():
    bench = Bench(max_batch_size=8)
    bench.submit(rows=5)
    bench.submit(rows=5)
    assert [(batch.size, batch.reason) for batch in bench.batches] == [(5, "batchsize")]
    bench.settle()
    assert sent_ms(bench) == [0, 100]


def test_signatures_that_come_mixed_make_full_batches_each():
    bench = Bench(slots=2, max_batch_size=3)
    for width in (2, 3, 2, 3, 2, 3):
        bench.submit(width=width)
    assert [batch.ids for batch in bench.batches] == [["0", "2", "4"], ["1", "3", "5"]]


def test_each_signature_has_a_window_of_its_own():
    bench = Bench(window_ms=100, slots=2)
    bench.submit(width=2)
    bench.advance_ms(30)
    bench.submit(width=3)
    bench.settle()
    assert sent_ms(bench) == [100, 130]


def test_a_freed_slot_goes_to_the_signature_that_has_waited_longest():
    bench = Bench(window_ms=1, service_ns=50 * MS)
    bench.submit(width=9)
    bench.advance_ms(10)
    for width in (4, 3, 2):
        bench.submit(width=width)
        bench.advance_ms(5)
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0"], ["1"], ["2"], ["3"]]


def test_signatures_that_nobody_uses_any_more_leave_nothing_behind():
    bench = Bench(window_ms=1, max_queue_size=10**6)
    for width in range(2, 200):
        request = bench.submit(width=width)
        if width % 2:
            bench.scheduler.cancel(request)
    bench.settle()
    assert len(bench.batcher._models["m"].lanes) == 1


def test_a_lane_that_emptied_while_all_slots_were_busy_is_asked_again():
    bench = Bench(window_ms=10, service_ns=50 * MS)
    bench.submit()
    bench.advance_ms(10)  # it runs until 60
    gone = bench.submit()
    bench.advance_ms(20)
    bench.scheduler.cancel(gone)
    bench.advance_ms(100)
    late = bench.submit()
    bench.settle()
    assert states([late]) == ["COMPLETED"]


def test_each_window_counts_from_its_own_oldest():
    bench = Bench(window_ms=100, slots=9, max_batch_size=2)
    for at_ms in (0, 30, 60):
        bench.clock.advance_to(at_ms * MS)
        bench.submit()
    bench.settle()
    assert sent_ms(bench) == [30, 160]


def test_when_the_oldest_leaves_the_window_counts_from_the_next():
    bench = Bench(window_ms=100)
    first = bench.submit()
    bench.advance_ms(40)
    bench.submit()
    bench.scheduler.cancel(first)
    bench.settle()
    assert sent_ms(bench) == [140]


# ---- the four methods ----------------------------------------------------------------------------


WINDOWS = [
    (30, [30], "shorter: from the oldest's arrival"),
    (5, [20], "shorter than what it has waited: now"),
    (200, [200], "longer"),
    (0, [20], "none"),
]


@pytest.mark.parametrize(("ms", "sent", "why"), WINDOWS, ids=[row[-1] for row in WINDOWS])
def test_a_new_time_window_holds_for_what_waits_already(ms, sent, why):
    bench = Bench(window_ms=100)
    bench.submit()
    bench.advance_ms(20)
    bench.batcher.set_time_window(ms)
    bench.settle()
    assert sent_ms(bench) == sent


@pytest.mark.parametrize("ms", [-1, float("nan"), float("inf")])
def test_a_time_window_that_is_none_is_refused(ms):
    with pytest.raises(ValueError, match="0 ms or more"):
        Bench().batcher.set_time_window(ms)


SIZES = [
    (2, [2, 1], "smaller than what waits: sent at once"),
    (3, [3], "just what waits"),
    (5, [3], "larger: it goes on waiting"),
]


@pytest.mark.parametrize(("rows", "sent", "why"), SIZES, ids=[row[-1] for row in SIZES])
def test_a_new_batch_size_holds_for_what_waits_already(rows, sent, why):
    bench = Bench(slots=9)
    bench.submit_many(3)
    bench.batcher.set_batch_size(rows)
    assert bool(bench.batches) is (rows <= 3)
    bench.settle()
    assert sizes(bench) == sent


def test_a_request_let_in_under_a_larger_batch_size_runs_alone():
    bench = Bench()
    bench.submit(rows=9)
    bench.submit()
    bench.batcher.set_batch_size(4)
    bench.settle()
    assert sizes(bench) == [9, 1]


@pytest.mark.parametrize("rows", [0, -3])
def test_a_batch_size_below_one_is_refused(rows):
    with pytest.raises(ValueError, match="at least 1 row"):
        Bench().batcher.set_batch_size(rows)


def test_settings_change_for_one_model_or_for_all():
    bench = Bench()
    bench.add_model("other")
    bench.batcher.set_time_window(10, "m")
    for model in ("m", "other"):
        bench.submit(model=model)
    bench.advance_ms(10)
    assert [len(executor.started) for executor in bench.executors.values()] == [1, 0]
    bench.batcher.set_time_window(10)
    assert [len(executor.started) for executor in bench.executors.values()] == [1, 1]


def test_batch_sends_what_waits_for_the_reason_given():
    bench = Bench()
    bench.submit_many(3)
    batch = bench.batcher.batch("m", FlushReason.DEADLINE)
    assert (batch.size, batch.reason) == (3, FlushReason.DEADLINE)


def test_batch_sends_nothing_when_nothing_waits_or_no_slot_is_free():
    bench = Bench(max_batch_size=1)
    assert bench.batcher.batch("m", FlushReason.DEADLINE) is None
    bench.submit_many(2)
    assert bench.batcher.batch("m", FlushReason.DEADLINE) is None
    assert sizes(bench) == [1]


def test_a_freed_slot_does_not_end_a_window_that_still_runs():
    bench = Bench(window_ms=100)
    bench.submit()
    assert bench.batcher.batch("m", FlushReason.SLOTFREE) is None


# ---- no polling ----------------------------------------------------------------------------------


def test_an_idle_batcher_asks_for_no_wake_up():
    bench = Bench(timeout_ms=500)
    bench.submit()
    bench.settle()
    assert (bench.now_ms, bench.clock.next_ns()) == (500, None)  # one timer for its deadline, then none


def test_arrivals_below_the_row_count_do_not_ask_the_policy_again():
    bench = Bench()
    bench.submit()
    lane = bench.batcher._models["m"].lanes[2]  # by the width of its rows
    asked = []
    lane.policy = type("Counting", (), {"decide": lambda *_: asked.append(1)})()
    bench.submit_many(30)
    assert asked == []


def test_repr_says_what_waits():
    bench = Bench()
    assert repr(bench.batcher) == "<StreamBoxBatcher idle>"
    bench.submit_many(2)
    assert repr(bench.batcher) == "<StreamBoxBatcher m: 2 queued>"
    assert isinstance(bench.batcher, StreamBoxBatcher)


# ---- rules changed while requests wait -----------------------------------------------------------


def test_a_new_policy_decides_on_what_waits_already():
    bench = Bench(window_ms=100)
    bench.submit_many(3)
    bench.batcher.set_policy("eager", "m")
    assert [batch.size for batch in bench.batches] == [3]
    assert bench.scheduler.settings("m").policy == "eager"
    bench.submit(width=3)
    bench.settle()
    assert [batch.reason for batch in bench.batches] == ["slotfree"] * 2


@pytest.mark.parametrize("shared", [False, True])
def test_what_waits_is_put_into_the_order_of_the_new_policy_and_back(shared):
    bench = Bench(policy="window", max_batch_size=1, shared=shared)
    tenant = Tenant("a") if shared else None
    for timeout_ms in (None, 900, 500, 700):
        request = bench.request(timeout_ms=timeout_ms)
        request.tenant = tenant
        bench.scheduler.submit(request)
        bench.advance_ms(0.1)
    bench.batcher.set_policy("slo")
    bench.advance_ms(10)
    assert bench.batches[1].ids == ["2"]  # the earliest deadline
    bench.batcher.set_policy("window")
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0"], ["2"], ["1"], ["3"]]
    assert bench.violations() == []


def test_who_leaves_after_the_order_has_changed_leaves_the_queue():
    bench = Bench(shared=True, max_batch_size=1)
    tenant = Tenant("a")
    for _ in range(2):
        request = bench.request()
        request.tenant = tenant
        bench.scheduler.submit(request)
    bench.batcher.set_policy("slo")
    bench.scheduler.cancel(request)
    assert repr(bench.batcher) == "<StreamBoxBatcher m: 0 queued>"
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0"]]
    assert bench.violations() == []


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("windows", "'windows' is none of window, eager, slo"),
        ("nowhere:Policy", "cannot load 'nowhere:Policy': ModuleNotFoundError: No module named 'nowhere'"),
        ("lonely:Crowd", "cannot load 'lonely:Crowd': AttributeError"),
        ("lonely:annotations", "cannot make 'lonely:annotations': TypeError"),
    ],
)
def test_a_policy_that_cannot_be_had_changes_nothing(policy, reason):
    bench = Bench(window_ms=100)
    bench.submit_many(2)
    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        bench.batcher.set_policy(policy)
    assert "\n" not in str(caught.value)
    bench.settle()
    assert [batch.reason for batch in bench.batches] == ["timewindow"]


def test_new_preferred_sizes_hold_for_what_waits_already_and_can_be_taken_back():
    bench = Bench(window_ms=100, slots=3)
    bench.submit_many(3)
    bench.batcher.set_preferred_batch_size([4, 2, 2])
    assert [batch.size for batch in bench.batches] == [2]
    assert bench.scheduler.settings("m").preferred_batch_size == (2, 4)
    bench.batcher.set_preferred_batch_size([])
    bench.submit_many(3)
    bench.settle()
    assert [batch.size for batch in bench.batches] == [2, 4]
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        bench.batcher.set_preferred_batch_size([0, 4])


def behind_a_slow_batch(policy, tenant=None):
    """A bench whose slot has a batch of 35 ms, where 10 ms are usual; and what submits requests to it."""
    took_ms = [10] * 5 + [35]
    bench = Bench(
        shared=tenant is not None,
        policy=policy,
        window_ms=0,
        max_batch_size=4,
        timeout_ms=40,
        service_ns=lambda _: (took_ms.pop(0) if took_ms else 4) * MS,
    )

    def submit(count, rows=1):
        requests = [bench.request(rows) for _ in range(count)]
        for request in requests:
            request.tenant = tenant
            bench.scheduler.submit(request)
        return requests

    for _ in range(5):
        submit(1, rows=4)
        bench.settle()
    submit(1, rows=4)
    return bench, submit


@pytest.mark.parametrize("policy", ["window", "eager"])
@pytest.mark.parametrize("tenant", [None, Tenant("t")], ids=["one tenant", "tenants"])
def test_those_who_would_be_late_leave_their_places_in_a_full_batch_to_others(policy, tenant):
    bench, submit = behind_a_slow_batch(policy, tenant)
    late = submit(4)
    bench.advance_ms(20)
    in_time = submit(4)
    bench.advance_ms(15)
    assert states(late) == ["EXPIRED"] * 4  # at 35 ms, and not at their deadline of 40
    assert bench.batches[-1].ids == [request.request_id for request in in_time]
    bench.settle()
    assert states(in_time) == ["COMPLETED"] * 4
    assert bench.violations() == []


def test_one_who_would_be_late_runs_all_the_same_where_nobody_wants_the_place():
    bench, submit = behind_a_slow_batch("eager")
    last = submit(1)
    bench.settle()
    assert states(last) == ["COMPLETED"]  # after 39 ms: it was lucky
