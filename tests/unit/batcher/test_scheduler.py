import contextlib
import math

import pytest
import structlog

from streambox.batcher import FlushReason, Scheduler, SlotView, State, StreamBoxBatcher
from streambox.clock import VirtualClock
from streambox.errors import QueueFull, StreamBoxError
from streambox.executor.base import RowErrors
from virtual import BROKEN, DIED, HOPELESS, MS, Bench, states


@pytest.fixture(autouse=True)
def logs():
    with structlog.testing.capture_logs() as captured:
        yield captured


def poison(*ids, outcome=BROKEN):
    """An executor on which every batch with one of these requests fails."""
    return lambda batch: outcome if {request.request_id for request in batch.requests} & set(ids) else None


# ---- in and out ----------------------------------------------------------------------------------


def test_a_request_is_answered_with_its_own_rows_once():
    bench = Bench(max_batch_size=2)
    a, b = bench.submit_many(2)
    bench.settle()
    assert states([a, b]) == ["COMPLETED"] * 2
    assert bench.ended == [a, b]
    assert [a.batch.outputs["y"][r.first_row].tolist() for r in (a, b)] == [[0.0], [2 / 8 + 1]]


def test_the_stamps_of_a_request_are_those_of_the_clock():
    bench = Bench(window_ms=100)
    bench.advance_ms(5)
    request = bench.submit()
    bench.settle()
    assert (request.enqueued_ns, request.batch.dispatched_ns) == (5 * MS, 105 * MS)
    assert (request.batch.wait_ns, request.batch.service_ns) == (100 * MS, 10 * MS)


def test_received_is_refused_plus_accepted():
    bench = Bench(max_queue_size=1, max_batch_size=4)
    bench.submit()
    assert isinstance(bench.refused(), QueueFull)
    assert bench.refused(rows=5).code in {"queue_full", "bad_request"}
    counters = bench.counters
    assert (counters.received, counters.refused, counters.accepted) == (3, 2, 1)
    assert bench.violations() == []


def test_models_do_not_wait_for_one_another():
    bench = Bench(service_ns=1000 * MS)
    bench.add_model("other", window_ms=5)
    bench.submit_many(32)
    other = bench.submit(model="other")
    bench.advance_ms(20)
    assert other.state is State.COMPLETED


def test_repr_of_a_model_says_what_it_holds():
    bench = Bench(max_batch_size=2)
    bench.submit_many(3)
    assert repr(bench.served["m"]) == "<ServedModel m: 1 queued, 2 executing>"
    assert bench.scheduler.in_flight == 3


def test_the_scheduler_needs_no_more_than_a_clock():
    """Its constructor starts nothing, and a Batcher may use the engine from its own constructor on."""
    seen = []

    class Curious(StreamBoxBatcher):
        def __init__(self, engine):
            super().__init__(engine)
            seen.extend([engine.clock.now_ns(), list(engine.models())])

    Scheduler(VirtualClock(7), Curious)
    assert seen == [7, []]


# ---- slots ---------------------------------------------------------------------------------------


def test_slots_are_taken_by_dispatch_and_freed_by_the_end_of_the_batch():
    bench = Bench(slots=2, max_batch_size=1)
    free = []
    for _ in range(3):
        free.append(bench.scheduler.slots("m").free)
        bench.submit()
    assert free == [2, 1, 0]
    bench.advance_ms(10)
    assert bench.scheduler.slots("m").free == 1  # the third has taken one of the two


STAGES = [
    (0.5, True, "a quick model: the hand-over is worth hiding"),
    (1.9, True, "just below the limit"),
    (2, False, "not below it"),
    (50, False, "a slow model: late binding is worth more"),
]


@pytest.mark.parametrize(("service_ms", "staged", "why"), STAGES, ids=[row[-1] for row in STAGES])
def test_a_full_batch_is_staged_behind_a_quick_model_only(service_ms, staged, why):
    bench = Bench(max_batch_size=2, service_ns=round(service_ms * MS))
    for _ in range(40):  # until its time is known
        bench.submit_many(2)
        bench.settle()
    before = len(bench.batches)
    bench.submit_many(8)
    assert len(bench.batches) - before == 1 + staged
    assert bench.scheduler.slots("m") == SlotView(0, can_stage=False)


def test_a_model_that_has_shown_no_time_yet_gets_nothing_staged():
    bench = Bench(max_batch_size=2, service_ns=MS // 10)
    bench.submit_many(4)
    assert len(bench.batches) == 1


def test_a_partial_batch_is_never_staged():
    bench = Bench(max_batch_size=2, window_ms=0, service_ns=MS // 10)
    for _ in range(40):
        bench.submit()
        bench.settle()
    before = len(bench.batches)
    bench.submit_many(2)
    assert len(bench.batches) - before == 1
    bench.settle()
    assert bench.batches[-1].size == 1


# ---- no doomed work ------------------------------------------------------------------------------


def test_who_leaves_while_queued_is_never_executed_and_its_mates_are_answered():
    bench = Bench()
    a, b, c = bench.submit_many(3)
    bench.scheduler.cancel(b)
    bench.settle()
    assert states([a, b, c]) == ["COMPLETED", "CANCELLED", "COMPLETED"]
    assert bench.batches[0].ids == ["0", "2"]


def test_who_leaves_is_forgotten_though_nothing_else_happens():
    bench = Bench(window_ms=1000, max_batch_size=10_000)
    for request in bench.submit_many(1000):
        bench.scheduler.cancel(request)
    assert len(bench.served["m"].expiry._queue) < 100


def test_who_leaves_while_its_batch_runs_is_not_called_and_its_mates_are():
    bench = Bench(max_batch_size=2)
    a, b = bench.submit_many(2)
    bench.scheduler.cancel(a)
    bench.settle()
    assert bench.ended == [b]
    assert bench.violations() == []


def test_a_deadline_that_passes_in_the_queue_ends_the_wait_then_and_there():
    bench = Bench(slots=1, max_batch_size=1, service_ns=1000 * MS)
    bench.submit()
    late = bench.submit(timeout_ms=30)
    bench.advance_ms(30)
    assert (late.state, late.error.status) == (State.EXPIRED, 504)
    assert str(late.error) == "the deadline of 30 ms passed while it waited"
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0"]]


def test_a_deadline_that_passes_while_its_batch_runs_ends_the_wait_too():
    bench = Bench(max_batch_size=2, service_ns=100 * MS)
    late, mate = bench.submit(timeout_ms=30), bench.submit()
    bench.advance_ms(30)
    assert str(late.error) == "the deadline of 30 ms passed while it ran"
    bench.settle()
    assert (late.state, mate.state) == (State.EXPIRED, State.COMPLETED)
    assert bench.violations() == []


def test_a_deadline_at_the_very_instant_of_dispatch_is_passed():
    bench = Bench(window_ms=30)
    late, mate = bench.submit(timeout_ms=30), bench.submit()
    bench.settle()
    assert (late.state, mate.state) == (State.EXPIRED, State.COMPLETED)
    assert bench.batches[0].ids == ["1"]


def test_a_request_without_any_time_never_runs():
    bench = Bench(max_batch_size=1)
    assert bench.submit(timeout_ms=0).state is State.EXPIRED
    assert (bench.batches, bench.violations()) == ([], [])


def test_shorter_deadlines_that_come_later_are_watched_as_well():
    bench = Bench(window_ms=10_000, timeout_ms=1000)
    requests = [bench.submit(timeout_ms=ms) for ms in (None, 50, 20, 40)]
    for now_ms, expired in ((20, 1), (40, 2), (50, 3), (1000, 4)):
        bench.clock.advance_to(now_ms * MS)
        assert sum(request.done for request in requests) == expired


def test_a_log_that_raises_loses_no_request(monkeypatch):
    class Full:
        def warning(self, *_, **__):
            raise OSError("No space left on device")

    monkeypatch.setattr("streambox.batcher.scheduler.log", Full())
    bench = Bench(max_batch_size=2, outcome=poison("1"))
    requests = bench.submit_many(2)
    while not all(request.done for request in requests):
        with contextlib.suppress(OSError):
            bench.settle()
    assert states(requests) == ["COMPLETED", "FAILED"]


def test_a_failed_batch_is_a_warning_and_a_refused_row_is_not(logs):
    for outcome in (BROKEN, RowErrors({0: "no"})):
        bench = Bench(max_batch_size=1, outcome=poison("0", outcome=outcome))
        bench.submit()
        bench.settle()
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("warning", "batch failed"),
        ("debug", "rows refused"),
    ]
    assert (logs[0]["kind"], logs[0]["cause"], logs[0]["size"]) == ("model", "the model raised", 1)


# ---- what a Batcher may do wrong -----------------------------------------------------------------


class Careless(StreamBoxBatcher):
    """Misbehaves as *fault* says."""

    fault = ""

    def add_one(self, request):
        if self.fault == "refuses":
            raise QueueFull("not today")
        if self.fault == "raises":
            raise ZeroDivisionError
        super().add_one(request)

    def batch(self, model, reason):
        if self.fault == "raises in batch":
            raise ZeroDivisionError
        return super().batch(model, reason)


def test_a_request_that_the_batcher_refuses_was_never_accepted():
    bench = Bench(Careless)
    bench.batcher.fault = "refuses"
    assert isinstance(bench.refused(), QueueFull)
    assert (bench.counters.refused, bench.counters.accepted, bench.counters.in_flight) == (1, 0, 0)
    assert bench.submitted[0].counters is None  # which is how the edge knows that there is nothing to cancel
    assert bench.violations() == []


def test_a_batcher_that_raises_loses_no_request(logs):
    bench = Bench(Careless)
    bench.batcher.fault = "raises"
    request = bench.submit()
    assert (request.state, request.error.status) == (State.FAILED, 500)
    assert logs[0]["event"] == "batcher failed"
    assert bench.violations() == []


def test_a_batcher_that_raises_when_a_slot_frees_does_not_keep_the_batch_from_its_answer():
    bench = Bench(Careless, max_batch_size=1)
    first, second = bench.submit_many(2)
    bench.batcher.fault = "raises in batch"
    bench.advance_ms(10)
    assert first.state is State.COMPLETED
    bench.settle()
    assert second.state is State.EXPIRED


def test_dispatch_drops_who_has_ended_and_sends_the_rest():
    bench = Bench()
    a, b = bench.submit_many(2)
    bench.batcher._models["m"].lanes[2].queue.take(2)
    bench.scheduler.cancel(a)
    assert bench.scheduler.dispatch("m", [a, b], FlushReason.DEADLINE).size == 1
    bench.settle()
    assert states([a, b]) == ["CANCELLED", "COMPLETED"]
    assert bench.counters.flushes == {"deadline": 1}


def test_a_request_that_is_dispatched_twice_at_once_runs_and_ends_once():
    bench = Bench()
    first, second = bench.submit_many(2)
    bench.batcher._models["m"].lanes[2].queue.take(2)
    bench.scheduler.dispatch("m", [first, second, first], FlushReason.BATCHSIZE)
    assert [batch.ids for batch in bench.batches] == [["0", "1"]]
    assert bench.batches[0].size == 2
    bench.settle()
    assert bench.ended == [first, second]
    assert states([first, second]) == ["COMPLETED"] * 2
    assert bench.violations() == []
    assert bench.scheduler.in_flight == 0


def test_dispatch_of_nobody_takes_no_slot():
    bench = Bench()
    assert bench.scheduler.dispatch("m", [], FlushReason.DEADLINE) is None
    assert bench.scheduler.slots("m").free == 1


def test_rows_that_do_not_fit_together_end_their_requests_at_once(logs):
    bench = Bench()
    a, b = bench.submit(width=2), bench.submit(width=3)
    bench.settle()
    c, d = bench.request(width=2), bench.request(width=3)
    for request in (c, d):
        request.accept(bench.counters, 0, 10**15)
        bench.counters.received += 1
    assert bench.scheduler.dispatch("m", [c, d], FlushReason.DEADLINE) is None
    assert states([a, b, c, d]) == ["COMPLETED"] * 2 + ["FAILED"] * 2
    assert [entry["event"] for entry in logs] == ["batch cannot be formed"]
    assert (bench.violations(), bench.scheduler.slots("m").free) == ([], 1)


# ---- one request never harms another -------------------------------------------------------------


def test_a_row_that_is_not_finite_fails_alone_before_it_runs():
    bench = Bench()
    a, bad, c = bench.submit(), bench.submit(value=math.nan), bench.submit()
    bench.settle()
    assert states([a, bad, c]) == ["COMPLETED", "FAILED", "COMPLETED"]
    assert (bad.error.status, [batch.ids for batch in bench.batches]) == (400, [["0", "2"]])


def test_a_batch_of_nothing_but_bad_rows_takes_no_slot():
    bench = Bench(max_batch_size=2)
    bad = [bench.submit(value=math.inf) for _ in range(2)]
    assert states(bad) == ["FAILED"] * 2
    assert (bench.batches, bench.scheduler.slots("m").free, bench.violations()) == ([], 1, [])


def test_a_caller_who_submits_again_from_a_bad_rows_answer_finds_the_slot_taken():
    """A pipelined connection does: two batches must not come of one slot."""
    bench = Bench(window_ms=0, max_batch_size=3)
    busy = bench.submit()
    bad = bench.submit(value=math.nan, on_done=lambda _: bench.submit_many(3))
    mate = bench.submit()
    bench.advance_ms(10)  # the first has ended: the bad one and its mate are formed into a batch
    assert states([busy, bad, mate]) == ["COMPLETED", "FAILED", "DISPATCHED"]
    assert max(batch.running_before for batch in bench.batches) == 0
    bench.settle()
    assert states(bench.submitted) == ["COMPLETED", "FAILED"] + ["COMPLETED"] * 4


def test_so_does_one_whose_bad_row_leaves_at_the_end_of_its_window():
    bench = Bench(window_ms=5, max_batch_size=3)
    bench.submit(value=math.nan, on_done=lambda _: bench.submit_many(3))
    bench.submit()
    bench.settle()
    assert [len(batch.ids) for batch in bench.batches] == [1, 3]
    assert max(batch.running_before for batch in bench.batches) == 0


@pytest.mark.parametrize("position", [0, 7, 15])
@pytest.mark.parametrize("outcome", [BROKEN, DIED, RowErrors({0: "no"})], ids=["raises", "dies", "refuses"])
def test_one_bad_request_in_sixteen_leaves_fifteen_with_their_answers(position, outcome):
    def fail(batch):
        ids = [request.request_id for request in batch.requests]
        if str(position) not in ids:
            return None
        return RowErrors({ids.index(str(position)): "no"}) if isinstance(outcome, RowErrors) else outcome

    bench = Bench(max_batch_size=16, outcome=fail)
    requests = bench.submit_many(16)
    bench.settle()
    assert [r.request_id for r in requests if r.state is not State.COMPLETED] == [str(position)]
    assert bench.violations() == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 32])
def test_a_poison_request_stands_alone_after_log2_rounds(size):
    bench = Bench(max_batch_size=size, outcome=poison(str(size // 3)))
    bench.submit_many(size)
    bench.settle()
    with_poison = [batch for batch in bench.batches if str(size // 3) in batch.ids]
    assert len(with_poison) == (size - 1).bit_length() + 1
    assert bench.counters.failed == 1


def test_an_innocent_mate_of_a_poison_whose_caller_left_is_answered():
    bench = Bench(max_batch_size=2, outcome=poison("0"))
    bad, innocent = bench.submit_many(2)
    bench.scheduler.cancel(bad)  # while the batch runs
    bench.settle()
    assert (bad.state, innocent.state) == (State.CANCELLED, State.COMPLETED)


def test_retries_go_before_what_waits():
    bench = Bench(max_batch_size=2, outcome=poison("1"))
    bench.submit_many(4)
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0", "1"], ["0"], ["1"], ["2", "3"]]
    assert [batch.reason for batch in bench.batches] == ["batchsize", "retry", "retry", "batchsize"]


def test_nothing_is_staged_ahead_of_retries_however_quick_the_model():
    bench = Bench(max_batch_size=2, service_ns=MS // 10, outcome=poison("80"))
    for _ in range(40):  # until its time is known
        bench.submit_many(2)
        bench.settle()
    before = len(bench.batches)
    bad, mate = bench.submit_many(2)
    assert bad.request_id == "80"
    while bench.batches[-1].reason != "retry":
        bench.clock.advance_to(bench.clock.next_ns())
    bench.submit_many(2)  # a full batch, while one half runs and the other waits
    bench.settle()
    assert [batch.reason for batch in bench.batches[before:]] == ["batchsize", "retry", "retry", "batchsize"]
    assert states([bad, mate]) == ["FAILED", "COMPLETED"]


def test_retries_are_not_started_before_a_slot_is_free():
    bench = Bench(slots=1, max_batch_size=4, outcome=poison("0"))
    bench.submit_many(4)
    bench.settle()
    assert {batch.running_before for batch in bench.batches} == {0}


def test_who_leaves_while_it_waits_to_run_again_does_not_run_again():
    bench = Bench(max_batch_size=4, outcome=poison("0"))
    requests = bench.submit_many(4)
    bench.advance_ms(10)  # failed: 0 and 1 run again, 2 and 3 wait
    bench.scheduler.cancel(requests[2])
    bench.scheduler.cancel(requests[3])
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0", "1", "2", "3"], ["0", "1"], ["0"], ["1"]]


def test_a_failure_that_another_try_cannot_mend_ends_the_batch_at_once():
    bench = Bench(max_batch_size=4, outcome=lambda _: HOPELESS)
    requests = bench.submit_many(4)
    bench.settle()
    assert states(requests) == ["FAILED"] * 4
    assert len(bench.batches) == 1


def test_a_batch_that_has_ended_lets_go_of_its_inputs_and_keeps_its_outputs():
    bench = Bench(max_batch_size=1)
    request = bench.submit()
    bench.settle()
    assert (request.batch.tensors, request.batch.requests) == ({}, [])
    assert "y" in request.batch.outputs


# ---- lazy models ---------------------------------------------------------------------------------


def test_a_lazy_models_requests_wait_for_it_and_run_when_it_is_ready():
    bench = Bench(ready=False, window_ms=5)
    asked = []
    bench.scheduler.on_unloaded = asked.append
    requests = bench.submit_many(2)
    bench.advance_ms(50)
    assert (asked, bench.batches) == (["m", "m"], [])
    bench.scheduler.model_ready("m")
    bench.settle()
    assert states(requests) == ["COMPLETED"] * 2


def test_a_lazy_model_that_cannot_be_loaded_fails_who_waits_and_may_be_tried_again():
    bench = Bench(ready=False)
    first = bench.submit()
    bench.served["m"].admission.fail("disk full")
    bench.scheduler.model_failed("m", "disk full")
    assert (first.state, first.error.status) == (State.FAILED, 503)
    assert bench.refused().code == "model_unavailable"

    bench.scheduler.model_ready("m")
    second = bench.submit()
    bench.settle()
    assert second.state is State.COMPLETED
    assert bench.violations() == []


# ---- drain ---------------------------------------------------------------------------------------


def test_a_drain_refuses_what_comes_and_answers_what_is_in_without_its_window():
    bench = Bench(window_ms=10_000, service_ns=10 * MS)
    idle_at = []
    bench.scheduler.on_idle = lambda: idle_at.append(bench.now_ms)
    requests = bench.submit_many(40)
    bench.scheduler.drain()
    assert bench.refused().code == "draining"
    bench.settle()
    assert states(requests) == ["COMPLETED"] * 40
    assert [(batch.size, batch.reason) for batch in bench.batches] == [(32, "batchsize"), (8, "drain")]
    assert idle_at[0] == 20


def test_a_drain_with_nothing_in_flight_is_idle_at_once():
    bench = Bench()
    idle = []
    bench.scheduler.on_idle = lambda: idle.append(True)
    bench.scheduler.drain()
    assert idle


@pytest.mark.parametrize("last", ["cancel", "expire"])
def test_a_drain_is_over_when_the_last_request_ends_in_whatever_way(last):
    bench = Bench(window_ms=0, max_batch_size=1, service_ns=60_000 * MS)
    idle = []
    request = bench.submit(timeout_ms=20)
    bench.scheduler.drain()
    bench.scheduler.on_idle = lambda: idle.append(True)
    if last == "cancel":
        bench.scheduler.cancel(request)
    bench.advance_ms(20)
    assert idle


# ---- counters ------------------------------------------------------------------------------------


def test_counters_tell_sizes_waits_service_times_and_reasons():
    bench = Bench(window_ms=20, max_batch_size=4)
    bench.submit(rows=4)
    bench.settle()
    bench.submit(rows=2)
    bench.settle()
    counters = bench.counters
    assert counters.flushes == {"batchsize": 1, "timewindow": 1}
    assert (counters.batch_size.total, sum(counters.batch_size.counts)) == (6, 2)
    assert (counters.wait_ns.total, sum(counters.wait_ns.counts)) == (20 * MS, 2)
    assert (counters.service_ns.total, sum(counters.service_ns.counts)) == (20 * MS, 2)


def test_an_executor_that_raises_against_its_contract_loses_no_request(logs):
    bench = Bench(max_batch_size=2)

    def begin(batch, on_end):
        raise RuntimeError("out of order")

    bench.executor.begin = begin
    requests = bench.submit_many(10)
    bench.advance_ms(1)
    assert states(requests) == ["FAILED"] * 10
    assert "out of order" in str(requests[0].error)
    assert bench.scheduler.slots("m").free == 1


# ---- what would be late --------------------------------------------------------------------------


def loaded(policy: str) -> Bench:
    """10 ms a batch of one row, as it has shown; one runs, and twenty wait with a second to go."""
    bench = Bench(policy=policy, max_batch_size=1, timeout_ms=1000, service_ns=10 * MS, window_ms=0)
    for _ in range(5):
        bench.submit()
        bench.settle()
    bench.submit_many(21)
    return bench


@pytest.mark.parametrize(("policy", "refused"), [("window", True), ("eager", True), ("slo", False)])
def test_an_urgent_request_is_hopeless_only_where_it_has_to_queue_behind_the_patient(policy, refused):
    bench = loaded(policy)
    if refused:
        assert bench.refused(timeout_ms=50).code == "deadline_hopeless"
        return
    urgent = bench.submit(timeout_ms=50)
    bench.settle()
    assert urgent.state.name == "COMPLETED"


def test_a_deadline_shorter_than_the_model_takes_is_told_from_one_that_the_load_forbids():
    assert loaded("slo").refused(timeout_ms=5).code == "deadline_exceeded"


@pytest.mark.parametrize("policy", ["window", "eager", "slo"])
@pytest.mark.parametrize("own_ms", [None, 50])
def test_a_model_that_was_slow_once_is_not_kept_idle_for_ever(policy, own_ms):
    took_ns = [400 * MS]
    bench = Bench(policy=policy, timeout_ms=50, window_ms=5, service_ns=lambda _: took_ns[0])
    bench.submit()
    bench.settle()  # its first batch, too slow for anybody's deadline
    took_ns[0] = 2 * MS
    for _ in range(20):
        with contextlib.suppress(StreamBoxError):
            bench.submit(timeout_ms=own_ms)
        bench.advance_ms(1000)
    assert bench.submitted[-1].state.name == "COMPLETED"
    assert bench.served["m"].latency.bound_ns(1) < 50 * MS


def test_a_deadline_shorter_than_an_idle_model_takes_is_refused_but_for_an_odd_one():
    bench = Bench(policy="slo", window_ms=0, service_ns=10 * MS)
    for _ in range(50):
        bench.submit()
        bench.settle()
    answers = []
    for _ in range(100):
        bench.advance_ms(500)
        try:
            bench.submit(timeout_ms=5)
        except StreamBoxError as error:
            answers.append(error.code)
    assert answers.count("deadline_exceeded") == len(answers) >= 50


# ---- a Batcher that exceeds the maximum batch size -----------------------------------------------


class Greedy(StreamBoxBatcher):
    """Whatever waits for the window is one batch, however large."""

    def add_one(self, request):
        self.held = [*getattr(self, "held", []), request]

    def batch(self, model, reason):
        held, self.held = getattr(self, "held", []), []
        return self._engine.dispatch(model, held, reason) if held else None


def test_what_exceeds_the_maximum_batch_size_is_cut_and_its_rest_is_next(logs):
    bench = Bench(Greedy, max_batch_size=4, service_ns=10 * MS)
    requests = [bench.submit(rows) for rows in (2, 2, 3, 1, 1)]
    bench.batcher.batch("m", FlushReason.TIMEWINDOW)
    assert [batch.size for batch in bench.batches] == [4]
    bench.settle()
    assert [batch.size for batch in bench.batches] == [4, 4, 1]
    assert states(requests) == ["COMPLETED"] * 5
    assert bench.violations() == []
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["event"], warning["size"], warning["max_batch_size"]) == (
        "batch exceeds max_batch_size",
        9,
        4,
    )


def test_what_exceeds_it_runs_at_once_where_there_are_slots():
    bench = Bench(Greedy, max_batch_size=2, slots=2)
    bench.submit_many(5)
    bench.batcher.batch("m", FlushReason.TIMEWINDOW)
    assert [batch.size for batch in bench.batches] == [2, 2]


def test_a_caller_who_leaves_while_the_rest_waits_never_runs():
    bench = Bench(Greedy, max_batch_size=1, slots=1)
    first, second = bench.submit_many(2)
    bench.batcher.batch("m", FlushReason.TIMEWINDOW)
    bench.scheduler.cancel(second)
    bench.settle()
    assert [batch.ids for batch in bench.batches] == [["0"]]
    assert states([first, second]) == ["COMPLETED", "CANCELLED"]


# ---- availability --------------------------------------------------------------------------------


def test_a_lazy_model_is_available_until_it_fails_to_load_and_again_when_it_has():
    bench = Bench(ready=False)
    served = bench.served["m"]
    assert served.available
    bench.scheduler.model_failed("m", "no such file")
    assert not served.available
    bench.scheduler.model_ready("m")
    assert served.available
