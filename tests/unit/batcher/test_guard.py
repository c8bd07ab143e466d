import numpy as np
import pytest
import structlog

from streambox.batcher import State
from streambox.batcher.breaker import HOLD_NS, BreakerState
from streambox.errors import CircuitOpen, Quarantined
from streambox.executor.base import BatchError, BatchErrorKind, RowErrors
from virtual import BROKEN, DIED, HOPELESS, MS, Bench, states

TIMED_OUT = BatchError(BatchErrorKind.TIMEOUT, "too long", retryable=False)
BAD = BatchError(BatchErrorKind.BAD_OUTPUT, "a row too few", retryable=False)
POISON = np.array([[666.0, 666.0]])


@pytest.fixture(autouse=True)
def logs():
    with structlog.testing.capture_logs() as captured:
        yield captured


class Trouble(Bench):
    """Its executor answers ``failing`` while that is set, and ``poison`` to batches with the poison row."""

    def __init__(self, **model):
        self.failing = None
        self.poison = BROKEN
        super().__init__(outcome=self.outcome, **{"window_ms": 1, **model})

    def outcome(self, batch):
        if self.failing is not None:
            return self.failing
        poisoned = any(np.array_equal(request.inputs["x"], POISON) for request in batch.requests)
        return self.poison if poisoned else None

    def settle(self):
        """Until everything has ended, and no longer: deadlines, which are far, are timers as well."""
        while self.scheduler.in_flight:
            self.clock.advance_to(self.clock.next_ns())

    @property
    def guard(self):
        return self.served["m"].guard

    @property
    def breaker(self):
        return self.guard.breaker

    def poisoned(self):
        request = self.request()
        request.inputs = {"x": POISON}
        return request

    def submit_poison(self):
        request = self.poisoned()
        self.scheduler.submit(request)
        self.settle()
        return request

    def refused_poison(self):
        with pytest.raises(Quarantined) as refusal:
            self.scheduler.submit(self.poisoned())
        return refusal.value

    def fail(self, times, failure=HOPELESS):
        self.failing = failure
        requests = []
        for _ in range(times):
            requests.append(self.submit())
            self.settle()
        self.failing = None
        return requests


# ---- quarantine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [BROKEN, DIED], ids=["raises", "kills"])
def test_an_input_that_fails_alone_twice_is_refused_at_once_and_for_a_while(poison):
    bench = Trouble()
    bench.poison = poison
    first, second = bench.submit_poison(), bench.submit_poison()
    ran = len(bench.batches)
    refusal = bench.refused_poison()
    assert states([first, second]) == ["FAILED"] * 2
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (422, "quarantined", 60)
    assert str(refusal) == (
        "this input has failed by itself more than once and is not run for another 60 s: mend it"
    )
    assert (len(bench.batches), bench.guard.quarantined, bench.counters.refused) == (ran, 1, 1)
    assert bench.violations() == []


def test_the_innocent_are_let_in_while_another_is_quarantined():
    bench = Trouble()
    for _ in range(2):
        bench.submit_poison()
    innocent = bench.submit()
    bench.settle()
    assert innocent.state is State.COMPLETED


def test_nothing_is_looked_up_again_once_the_quarantine_is_over():
    bench = Trouble(quarantine_ns=1000 * MS)
    for _ in range(2):
        bench.submit_poison()
    assert bench.guard.alert
    bench.advance_ms(1000)
    bench.submit()
    assert not bench.guard.alert
    bench.settle()
    bench.submit_poison()  # one more chance, which it does not use
    assert bench.refused_poison().code == "quarantined"


def test_no_input_is_digested_unless_somebody_has_failed_alone_twice():
    bench = Trouble(max_batch_size=4)
    digests = []
    digest = bench.served["m"].digest
    bench.served["m"].digest = lambda request, spec: digests.append(request) or digest(request, spec)
    bench.submit_many(20)
    bench.settle()
    assert digests == []
    poison = bench.submit_poison()
    bench.submit_many(20)
    assert digests == [poison]


def test_a_row_that_the_model_refuses_in_good_order_is_no_offence():
    bench = Trouble()
    bench.poison = RowErrors({0: "no"})
    for _ in range(5):
        assert bench.submit_poison().error.code == "row_failed"
    assert not bench.guard.alert


def test_a_quarantine_of_no_time_is_none():
    bench = Trouble(quarantine_ns=0)
    for _ in range(5):
        assert bench.submit_poison().error.code == "row_failed"


def test_another_model_knows_nothing_of_it():
    bench = Trouble()
    bench.add_model("other", window_ms=1, outcome=bench.outcome)
    for _ in range(2):
        bench.submit_poison()
    request = bench.poisoned()
    request.model = "other"
    bench.scheduler.submit(request)
    bench.settle()
    assert request.error.code == "row_failed"


# ---- once only -----------------------------------------------------------------------------------

ONCE = [
    (BROKEN, ["batch_failed"] * 4, "it raised: nobody knows on which row"),
    (DIED, ["worker_died"] * 4, "its worker died"),
    (RowErrors({1: "no"}), ["batch_failed", "row_failed", "batch_failed", "batch_failed"], "it named a row"),
    (TIMED_OUT, ["deadline_exceeded"] * 4, "it hung"),
]


@pytest.mark.parametrize(("failure", "codes", "why"), ONCE, ids=[row[-1] for row in ONCE])
def test_what_is_not_idempotent_never_runs_twice(failure, codes, why):
    bench = Trouble(max_batch_size=4, idempotent=False)
    bench.failing = failure
    requests = bench.submit_many(4)
    bench.settle()
    assert [request.error.code for request in requests] == codes
    assert len(bench.batches) == 1


def test_a_request_alone_that_fails_and_may_not_run_again_is_told_the_models_message():
    bench = Trouble(idempotent=False)
    (request,) = bench.fail(1, BROKEN)
    assert (request.error.status, str(request.error)) == (422, "the model raised")
    (request,) = bench.fail(1, DIED)
    assert (request.error.status, len(bench.batches)) == (500, 2)


def test_who_failed_with_others_is_told_that_and_why():
    bench = Trouble(max_batch_size=2, idempotent=False)
    bench.failing = BROKEN
    request, _ = bench.submit_many(2)
    bench.settle()
    assert str(request.error) == (
        "the batch of 2 requests failed, and this model's are not run again: the model raised"
    )


# ---- a bad answer --------------------------------------------------------------------------------


def test_a_bad_answer_fails_its_batch_as_a_whole_with_502():
    bench = Trouble(max_batch_size=4)
    bench.failing = BAD
    requests = bench.submit_many(4)
    bench.settle()
    assert {request.error.status for request in requests} == {502}
    assert (len(bench.batches), bench.breaker.failures) == (1, 0)


# ---- retries that no row explains ----------------------------------------------------------------


def test_one_whose_worker_dies_under_it_alone_gets_a_second_try():
    bench = Trouble()
    bench.failing = DIED
    request = bench.submit()
    bench.advance_ms(5)
    bench.failing = None
    bench.settle()
    assert (request.state, [batch.reason for batch in bench.batches]) == (
        State.COMPLETED,
        ["timewindow", "retry"],
    )
    assert bench.guard.budget.spent == 1


def test_the_second_death_is_its_own():
    bench = Trouble()
    (request,) = bench.fail(1, DIED)
    assert (request.error.code, len(bench.batches)) == ("worker_died", 2)


def test_without_budget_there_is_no_second_try():
    bench = Trouble()
    bench.guard.budget.spend(100, 0)
    (request,) = bench.fail(1, DIED)
    assert (request.error.code, len(bench.batches), bench.breaker.failures) == ("worker_died", 1, 1)


def test_workers_that_die_of_everything_are_not_given_all_the_parts_of_a_batch():
    """Of 32, 63 parts might be run. One row explains 6 deaths; 5 more and the breaker opens."""
    bench = Trouble(max_batch_size=32)
    bench.failing = DIED
    requests = bench.submit_many(32)
    bench.settle()
    assert len(bench.batches) == 11
    assert {request.error.code for request in requests} == {"circuit_open"}
    assert bench.breaker.state is BreakerState.OPEN


def test_nor_beyond_the_budget():
    bench = Trouble(max_batch_size=32)
    bench.guard.budget.spend(100, 0)
    bench.failing = DIED
    requests = bench.submit_many(32)
    bench.settle()
    assert {request.error.code for request in requests} == {"retry_budget_spent", "circuit_open"}
    assert all(request.error.retry_after_s for request in requests)


@pytest.mark.parametrize("place", range(8))
def test_isolating_a_killer_costs_no_budget_and_counts_towards_no_breaker(place):
    bench = Trouble(max_batch_size=8)
    bench.poison = DIED
    requests = [bench.poisoned() if i == place else bench.request() for i in range(8)]
    for request in requests:
        bench.scheduler.submit(request)
    most = 0
    while bench.scheduler.in_flight:
        bench.clock.advance_to(bench.clock.next_ns())
        most = max(most, bench.breaker.failures)
    assert [request.error.status if request.error else 200 for request in requests] == [
        500 if i == place else 200 for i in range(8)
    ]
    assert (most, bench.guard.budget.spent) == (0, 0)
    assert bench.guard.bisections == 3


# ---- the breaker ---------------------------------------------------------------------------------

COUNT = [
    (HOPELESS, True, "no worker can be had"),
    (TIMED_OUT, True, "hung"),
    (DIED, True, "its worker died, twice"),
    (BROKEN, False, "the model raised: its row's fault"),
    (BAD, False, "a bad answer: the model's fault"),
    (RowErrors({0: "no"}), False, "refused by the model"),
]


@pytest.mark.parametrize(("failure", "opens", "why"), COUNT, ids=[row[-1] for row in COUNT])
def test_five_failures_of_the_infrastructure_in_a_row_open_it(failure, opens, why):
    bench = Trouble()
    bench.fail(4, failure)
    assert bench.breaker.closed
    bench.fail(1, failure)
    assert bench.breaker.closed is not opens


def test_while_it_is_open_requests_are_refused_at_once_and_told_when_to_come_again():
    bench = Trouble()
    bench.fail(5)
    bench.advance_ms(1500)
    refusal = bench.refused()
    assert (type(refusal), refusal.status, refusal.retry_after_s) == (CircuitOpen, 503, 4)
    assert bench.violations() == []


def test_another_model_is_served_meanwhile():
    bench = Trouble()
    bench.add_model("other", window_ms=1)
    bench.fail(5)
    other = bench.submit(model="other")
    bench.settle()
    assert other.state is State.COMPLETED


def test_after_a_while_one_request_may_try_and_if_it_is_answered_so_are_all():
    bench = Trouble()
    bench.fail(5)
    bench.advance_ms(HOLD_NS / MS)
    probe = bench.submit()
    assert (bench.breaker.state, bench.refused().code) == (BreakerState.PROBING, "circuit_open")
    bench.settle()
    assert (probe.state, bench.breaker.state) == (State.COMPLETED, BreakerState.CLOSED)
    assert not bench.guard.alert
    assert bench.submit().state is State.QUEUED


@pytest.mark.parametrize("failure", [HOPELESS, DIED], ids=["unavailable", "dies"])
def test_a_probe_that_fails_has_no_second_try_and_opens_it_again(failure):
    bench = Trouble()
    bench.fail(5)
    ran = len(bench.batches)
    bench.advance_ms(HOLD_NS / MS)
    bench.fail(1, failure)
    assert (len(bench.batches), bench.breaker.opened) == (ran + 1, 2)
    assert bench.refused().code == "circuit_open"


def test_a_row_of_its_own_fault_shows_that_the_workers_work():
    bench = Trouble()
    bench.fail(5)
    bench.advance_ms(HOLD_NS / MS)
    bench.fail(1, BROKEN)
    assert bench.breaker.closed


def test_a_probe_whose_caller_leaves_makes_room_for_another():
    bench = Trouble()
    bench.fail(5)
    bench.advance_ms(HOLD_NS / MS)
    bench.scheduler.cancel(bench.submit())
    assert bench.submit().state is State.QUEUED


def test_those_who_wait_when_it_opens_are_told_at_once_and_nothing_leaks():
    bench = Trouble(max_batch_size=1)
    bench.failing = HOPELESS
    requests = bench.submit_many(20)
    bench.settle()
    assert len(bench.batches) == 5
    codes = [request.error.code for request in requests]
    assert codes == ["model_unavailable"] * 5 + ["circuit_open"] * 15
    assert (bench.violations(), bench.scheduler.in_flight) == ([], 0)
    assert bench.scheduler.slots("m").free == 1


def test_a_batch_that_still_ran_when_it_opened_and_is_answered_closes_it():
    bench = Trouble(slots=2, max_batch_size=1, service_ns=lambda batch: 100 * MS if batch.id == 1 else MS)
    slow = bench.submit()
    bench.failing = HOPELESS
    bench.submit_many(5)
    bench.advance_ms(50)
    assert not bench.breaker.closed
    bench.settle()
    assert (slow.state, bench.breaker.closed) == (State.COMPLETED, True)


def test_its_opening_is_an_error_in_the_log(logs):
    Trouble().fail(5)
    assert [entry["log_level"] for entry in logs if entry["event"] == "circuit opened"] == ["error"]
